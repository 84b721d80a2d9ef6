"""What a run directory tells, as far as it is there."""

import json
from collections.abc import Mapping
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
      name: of the directory.
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


def read_run(folder: Path) -> Run:
    """Raises InputError where the directory holds neither a run nor evaluations."""
    evaluations = _evaluations(folder / "evaluations")
    config = _json(folder / "config.json")
    if not config and not evaluations:
        raise InputError(
            f"{folder} holds no run: give the directory that a training or an evaluation wrote, runs/NAME."
        )
    return Run(
        name=folder.resolve().name,
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


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a file; {} where there is none, or half a one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> list[Mapping[str, Any]]:
    """The whole lines of a file of JSON lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # half a line, from a killed run
            continue
    return found
