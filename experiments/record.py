"""The JSON file of a row: where it came from, its learning curve, its final evaluations. Data of this machine's own
places (paths, ports) stays out of it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avtd3_jax.training.logs import to_json
from avtd3_jax.whole_files import write_whole
from experiments.rows import Row
from reporting.machine import machine

TRAINED = "trained.json"  # in a run directory: the training is over, whatever has been pruned since
_LAUNCHES = "launches.jsonl"


def note_launch(folder: Path, where: Mapping[str, Any]) -> None:
    """Remembers on which machine, and at which commit, a part of a training began."""
    with (folder / _LAUNCHES).open("a") as file:
        file.write(json.dumps(where) + "\n")


def assemble(row: Row, folder: Path, evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of a row's file; `folder` is the run directory of its training."""
    found: dict[str, Any] = {
        "experiment": row.experiment.name,
        "variant": row.variant.name,
        "policy": row.variant.policy,
        "seed": row.seed,
        "command": row.command,
        "changes": row.changes if row.variant.policy == "network" else None,
        "config": None,
        "machine": machine(),
        "training": None,
        "curve": [],
        "evaluations": {name: _portable(result) for name, result in evaluations.items()},
    }
    if row.variant.policy == "network":
        provenance = json.loads((folder / "provenance.json").read_text())
        launches = lines(folder / _LAUNCHES)
        curve = lines(folder / "evaluations.jsonl")
        found["config"] = _portable(json.loads((folder / "config.json").read_text()))
        # The training chose its own XLA flags, and tells them with its device.
        found["machine"] = {name: value for name, value in launches[-1].items() if name != "xla_flags"}
        found["training"] = {
            "run": f"{row.trained_as().experiment.name}/{row.trained_as().name}",
            "simulator": _portable(provenance["simulator"]),
            "device": provenance["device"],
            "launches": [{"commit": launch["commit"], "time": launch["time"]} for launch in launches],
            "env_steps": curve[-1]["step"],
            "updates": curve[-1]["update"],
            "wall_minutes": curve[-1]["wall_s"] / 60.0,
            "first_all_successful": first_all_successful(curve),
        }
        found["curve"] = curve
    return found


def first_all_successful(curve: list[dict[str, Any]]) -> dict[str, float] | None:
    """Environment steps and wall minutes at the first evaluation whose every episode was a success."""
    for point in curve:
        if point.get("success") == 1.0:
            return {"env_steps": point["step"], "wall_minutes": point["wall_s"] / 60.0}
    return None


def write(path: Path, row: Mapping[str, Any]) -> None:
    """Writes a row in one step, an episode and a point of the curve a line: readable, and short in a diff."""
    write_whole(path, (_spread(to_json(row), "") + "\n").encode())


def last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line of a file of JSON lines; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, os.path.getsize(path) - 65_536))
        tail = file.read().decode(errors="replace")
    for line in reversed(tail.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        return found if isinstance(found, dict) else None
    return None


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines; none where there is none."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _portable(value: Any) -> Any:
    """`value` without what is this machine's alone: addresses of its servers, folders of its paths."""
    if isinstance(value, Mapping):
        return {name: _portable(inner) for name, inner in value.items() if name not in ("host", "hosts")}
    if isinstance(value, list):
        return [_portable(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value


def _spread(value: Any, indent: str, levels: int = 4) -> str:
    """JSON with one member a line down to `levels`, and each list's elements on a line each; deeper data in one."""
    inner = indent + "  "
    if levels and isinstance(value, Mapping) and value:
        members = [f"{inner}{json.dumps(name)}: {_spread(v, inner, levels - 1)}" for name, v in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if levels and isinstance(value, list) and any(isinstance(element, Mapping) for element in value):
        return "[\n" + ",\n".join(inner + json.dumps(element) for element in value) + f"\n{indent}]"
    return json.dumps(value)
