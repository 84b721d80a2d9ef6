"""What a run leaves to read: TensorBoard scalars and images, JSON lines of episodes and evaluations, phase timings."""

import contextlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter


def to_json(value: Any) -> Any:
    """Plain JSON data: numpy scalars become Python's, non-finite numbers null (JSON has none)."""
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Writes `value` to `path` in one step: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(json.dumps(to_json(value), indent=2) + "\n")
    part.replace(path)


class PhaseTimer:
    """Mean wall time of each named phase since the last `collect`; the phases are named in a profile's trace too."""

    def __init__(self) -> None:
        self._total: dict[str, float] = defaultdict(float)
        self._count: dict[str, int] = defaultdict(int)

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            with jax.profiler.TraceAnnotation(phase):
                yield
        finally:
            self.add(phase, time.perf_counter() - start)

    def add(self, phase: str, seconds: float) -> None:
        """Counts a call that was timed elsewhere."""
        self._total[phase] += seconds
        self._count[phase] += 1

    def collect(self) -> dict[str, float]:
        """Milliseconds per call of each phase; starts anew."""
        counts = dict(self._count)
        return {name: 1e3 * total / counts[name] for name, total in self.totals().items()}

    def totals(self) -> dict[str, float]:
        """Seconds in each phase since the last call of this or of `collect`; starts anew."""
        totals = dict(self._total)
        self._total.clear()
        self._count.clear()
        return totals


class RunLog:
    """TensorBoard, `episodes.jsonl` and `evaluations.jsonl` of one run directory.

    A resumed run appends: lines and points that lie beyond the step it resumes at belong to work that was lost, so
    the lines are cut there and TensorBoard is told to purge.

    Args:
      workdir: the run directory.
      resume_step: environment step of the checkpoint that the run goes on from; None for a new run.
      evaluated_at: step of that checkpoint's last evaluation; a later one will be made again.
    """

    def __init__(self, workdir: Path, resume_step: int | None = None, evaluated_at: int = 0) -> None:
        paths = workdir / "episodes.jsonl", workdir / "evaluations.jsonl"
        if resume_step is not None:
            for path, last in zip(paths, (resume_step, evaluated_at), strict=True):
                _cut(path, last)
        self._episodes, self._evaluations = (path.open("a", buffering=1) for path in paths)
        lost = None if resume_step is None else resume_step + 1
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=lost)

    def scalars(self, prefix: str, values: Mapping[str, Any], step: int) -> None:
        """Adds every finite number of `values` under `prefix/`; nested mappings nest their names."""
        for name, value in values.items():
            if isinstance(value, Mapping):
                self.scalars(f"{prefix}/{name}", value, step)
            elif isinstance(value, bool | int | float | np.generic) and math.isfinite(float(value)):
                self._writer.add_scalar(f"{prefix}/{name}", float(value), step)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """Adds `picture`, uint8 [H, W] or [H, W, 3]."""
        self._writer.add_image(name, picture, step, dataformats="HW" if picture.ndim == 2 else "HWC")

    def episode(self, record: Mapping[str, Any]) -> None:
        """Appends one line to `episodes.jsonl`; `record` must hold `step`."""
        self._episodes.write(json.dumps(to_json(record)) + "\n")

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Appends one line to `evaluations.jsonl`, the learning curve; `record` must hold `step`."""
        self._evaluations.write(json.dumps(to_json(record)) + "\n")

    def flush(self) -> None:
        """Brings TensorBoard's file up to date."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        self._writer.close()
        self._episodes.close()
        self._evaluations.close()


def _cut(path: Path, last_step: int) -> None:
    """Leaves the lines of `path` up to `last_step`, and none that is broken off."""
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= last_step]
        part = path.with_suffix(path.suffix + ".part")
        part.write_text("".join(line + "\n" for line in kept))
        part.replace(path)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return math.inf  # half a line, from a killed run
