"""Every GPU benchmark in one call of under nine minutes, so that it can be run again at any time.

python -m benchmarks.gpu [--json FILE]        on a machine with an NVIDIA GPU
python -m benchmarks.gpu --dry-run            the same parts on the CPU with tiny sizes, whose figures mean nothing

Every part is a process with a budget of its own, ended with all its children when that is spent; what it had found by
then is kept, the file is written after every part, and the parts' budgets add up to less than nine minutes. Without
PyTorch or Stable-Baselines3 their rows are left out. Float32 products are TF32 on both sides, JAX's default on a GPU.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import util
from pathlib import Path
from typing import Any

from avtd3_jax import runtime
from benchmarks import train
from benchmarks.common import since_start
from benchmarks.contenders import Spec
from benchmarks.learner import floor_rates, race, with_floor
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

AT_ONCE = 8  # updates per dispatch
_ROW = "ROW "


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    options.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    options.add_argument("--patience", type=float, default=1.0, help="times the budgets, for a busy machine")
    options.add_argument("--part", choices=list(PARTS), help="be this part: print its rows")
    args = options.parse_args()
    if args.part:
        budget_s, work = PARTS[args.part]
        for row in work(args.dry_run, args.patience * budget_s - since_start()):
            print(_ROW + json.dumps({k: asdict(v) if isinstance(v, Spread) else v for k, v in row.items()}), flush=True)
        return
    where, rows = machine() | {"device": "none yet"}, []
    for name in args.parts:
        began = time.monotonic()
        found, problem = bounded(name, args.dry_run, args.patience)
        rows += found
        print(f"part {name}: {len(found)} rows in {time.monotonic() - began:.0f} s {problem}", flush=True)
        if problem:
            rows.append({"what": f"part {name}", "note": problem})
        for row in [row for row in rows if row["what"] == "device"]:
            rows.remove(row)
            where |= {"device": row["device"], "xla_flags": row["xla_flags"]}
        if args.json is not None:  # what is measured is kept, whatever happens later
            publish(finished(rows), where, args.json)
    publish(finished(rows), where, args.json)


def bounded(part: str, dry_run: bool, patience: float) -> tuple[list[dict[str, Any]], str]:
    """The rows that the process of `part` printed within its budget, and what went wrong with it, "" for nothing."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--patience", str(patience)]
    command += ["--dry-run"] if dry_run else []
    budget_s = patience * PARTS[part][0]
    with tempfile.TemporaryFile("w+") as printed:  # a pipe would have to be read beside waiting
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            # Several processes share one GPU.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            stdout=printed,
            start_new_session=True,
        )
        problem = ""
        try:
            if process.wait(budget_s):
                problem = f"ended with exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"was ended after its {budget_s:.0f} s"
        finally:
            _end_session(process)
        printed.seek(0)
        lines = printed.read().splitlines()
    found = [json.loads(line.removeprefix(_ROW)) for line in lines if line.startswith(_ROW)]
    return [{k: Spread(**v) if isinstance(v, dict) else v for k, v in row.items()} for row in found], problem


def _end_session(process: subprocess.Popen) -> None:
    """Ends `process` and whatever it started and left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def finished(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows` with the percentages of the floor, once that is measured."""
    rates = [row for row in rows if row["what"].startswith("floor")]
    if not rates:
        return rows
    types = {rate.get("compute") for rate in rates}
    return [with_floor(row, rates) if "feed" in row and row["compute"] in types else row for row in rows]


def base(dry_run: bool) -> Spec:
    """What is ours of record, fed as training on a GPU would be."""
    return Spec(
        "ours",
        batch=8 if dry_run else 256,
        feed="replay",
        at_once=2 if dry_run else AT_ONCE,
        device="cpu" if dry_run else "gpu",
        small=dry_run,
    )


def rivals(first: Spec, dry_run: bool, names: tuple[str, ...]) -> list[Spec]:
    """Those of `names` that are installed; a dry run compiles none."""
    installed = {"torch": util.find_spec("torch"), "SB3": util.find_spec("stable_baselines3")}
    names = tuple(name for name in names if installed[name.split()[0]] and not (dry_run and "compiled" in name))
    return [replace(first, variant=name, at_once=1, feed="fixed" if name == "SB3" else "replay") for name in names]


def contest(specs: list[Spec], dry_run: bool, budget_s: float, rounds: int = 3) -> Iterator[dict[str, Any]]:
    """The race of `specs`; building may take what the racing leaves of the budget."""
    seconds, rounds = (0.2, 1) if dry_run else (1.5, rounds)
    racing_s = 1.3 * rounds * seconds * len(specs) + 15.0
    yield from race(specs, rounds, seconds, at_once=True, build_timeout_s=budget_s - racing_s)


def float32(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """Batch 256 in every way of feeding it, and the rivals."""
    first = base(dry_run)
    ours = [
        first,
        replace(first, at_once=1),
        replace(first, feed="device ring"),
        replace(first, feed="device ring", at_once=1),
        replace(first, feed="fixed"),
    ]
    names = ("torch eager", "torch eager NHWC", "torch compiled", "torch compiled NHWC", "SB3")
    yield from contest(ours + rivals(first, dry_run, names), dry_run, budget_s)


def bfloat16(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """Batch 256 computed in bfloat16."""
    first = replace(base(dry_run), compute_dtype="bfloat16")
    ours = [first, replace(first, feed="device ring"), replace(first, feed="fixed")]
    names = ("torch eager NHWC", "torch compiled NHWC")
    yield from contest(ours + rivals(first, dry_run, names), dry_run, budget_s)


def batch_64(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """A small batch, in both types."""
    first = replace(base(dry_run), batch=4 if dry_run else 64)
    ours = [first, replace(first, feed="device ring"), replace(first, compute_dtype="bfloat16")]
    yield from contest(ours + rivals(first, dry_run, ("torch eager", "torch compiled NHWC")), dry_run, budget_s)


def batch_sizes(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """Ours alone, for the curve."""
    sizes = (4, 16) if dry_run else (32, 128, 512, 1024)
    for row in contest([replace(base(dry_run), batch=size) for size in sizes], dry_run, budget_s, rounds=2):
        row.pop("x ours", None)  # there is nobody else
        yield row


def whole(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """The whole of training, lock-step and overlapping."""
    values: dict[str, Any] = {
        "device": "cpu" if dry_run else "gpu",
        "scenario": "0",
        "replay.prefetch": 2 if dry_run else 16,
    }
    values |= {"batch_size": 8 if dry_run else 256, "updates_per_step": 1.0}
    runs = (("overlap", 2 if dry_run else AT_ONCE), ("lock-step", 1), ("overlap", 1))
    for contender, at_once in runs[:2] if dry_run else runs:
        # Each by itself: what is done is kept when the budget ends.
        entrant = train.Entrant(contender, {**values, "updates_per_dispatch": at_once})
        (row,) = train.contest([entrant], *((0.5, 1) if dry_run else (2.0, 2)))
        row.pop(f"x {contender}", None)
        row["what"] = f"training, {contender}"
        yield row | {"updates/dispatch": at_once}


def limits(dry_run: bool, budget_s: float) -> Iterator[dict[str, Any]]:
    """What the hardware allows, and its name."""
    info = runtime.setup("cpu" if dry_run else "gpu")
    yield from floor_rates(("float32", "bfloat16"), info.platform, 0.2 if dry_run else 2.0)
    yield {"what": "device", "device": f"{info.device} ({info.device_kind})", "xla_flags": info.xla_flags}


# In order of importance; seconds, and work.
PARTS: dict[str, tuple[float, Callable[[bool, float], Iterator[dict[str, Any]]]]] = {
    "limits": (25.0, limits),
    "float32": (165.0, float32),
    "bfloat16": (90.0, bfloat16),
    "training": (105.0, whole),
    "batch-64": (80.0, batch_64),
    "batch-sizes": (50.0, batch_sizes),
}


if __name__ == "__main__":
    main()
