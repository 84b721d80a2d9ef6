"""What a run directory tells, as far as it is there."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avtd3_jax.errors import InputError
from avtd3_jax.report.event_files import Curve, read_scalars


@dataclass(frozen=True)
class Evaluation:
    """One file of `evaluations/`: its name without the ending, its content, and when it was written (seconds)."""

    name: str
    result: Mapping[str, Any]
    written: float

    @property
    def step(self) -> int | None:
        return self.result.get("step")

    @property
    def title(self) -> str:
        """What was driven by whom, in a line."""
        who = f"step {self.step:,}" if self.step is not None else str(self.result.get("policy"))
        where = self.result.get("suite") or self.result.get("route") or ""
        scenario = self.result.get("scenario")
        density = f", traffic {scenario}" if scenario is not None else ""
        return f"{who}: {where}{density}, {len(self.result['episodes'])} episodes"


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
      name: of the directory, with as many of those above it as tell it from other runs'.
      folder: the directory.
      config, provenance: what the run wrote; {} for none.
      curve: the lines of `evaluations.jsonl`.
      evaluations: in order of their steps and of their writing, those of scripted policies last.
      scalars: what TensorBoard shows, by tag.
      episodes: how many training episodes there were.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    curve: list[Mapping[str, Any]]
    evaluations: list[Evaluation]
    scalars: Mapping[str, Curve]
    episodes: int


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Raises InputError where a directory holds neither a run nor evaluations."""
    return [_read_run(folder, name) for folder, name in zip(folders, names(folders), strict=True)]


def names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder, never one twice: its own, with those above it where that is not enough."""
    parts = [folder.resolve().parts for folder in folders]
    found: list[str] = []
    for own in parts:
        depth = next((n for n in range(1, len(own)) if sum(other[-n:] == own[-n:] for other in parts) == 1), 1)
        name = os.fsencode("/".join(own[-depth:])).decode(errors="replace")
        before = sum(other == own for other in parts[: len(found)])
        found.append(f"{name} ({before + 1})" if before else name)
    return found


def _read_run(folder: Path, name: str) -> Run:
    evaluations = _evaluations(folder / "evaluations")
    config = _json(folder / "config.json")
    if not config and not evaluations:
        raise InputError(
            f"{folder} holds no run: give the directory that a training or an evaluation wrote, runs/NAME."
        )
    return Run(
        name=name,
        folder=folder,
        config=config,
        provenance=_json(folder / "provenance.json"),
        curve=_lines(folder / "evaluations.jsonl"),
        evaluations=evaluations,
        scalars=read_scalars(folder / "tensorboard"),
        episodes=len(_lines(folder / "episodes.jsonl")),
    )


def _evaluations(folder: Path) -> list[Evaluation]:
    found = []
    for path in sorted(folder.glob("*.json")):
        result = _json(path)
        if result.get("episodes"):
            found.append(Evaluation(path.stem, result, path.stat().st_mtime))
    return sorted(found, key=lambda one: (one.step is None, one.step or 0, one.written))


def parsed(text: str) -> Any:
    """JSON, or what Python calls so: its NaN and Infinity become None, which a browser can read.

    Raises:
      ValueError: it is neither.
    """
    return json.loads(text, parse_constant=lambda name: None)


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a file; {} where there is none, or half a one."""
    try:
        found = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> list[Mapping[str, Any]]:
    """The whole objects in a file of JSON lines."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found: list[Mapping[str, Any]] = []
    for line in text.splitlines():
        try:
            read = parsed(line)
        except ValueError:  # half a line, from a killed run
            continue
        if isinstance(read, dict):
            found.append(read)
    return found
