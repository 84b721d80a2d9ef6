"""What a run leaves to read: TensorBoard scalars and images, JSON lines of episodes and evaluations."""

import contextlib
import json
import math
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from avtd3_jax.whole_files import write_whole

_LOOK_S = 10.0  # between two looks after TensorBoard's file; what is younger may be lost with a killed run


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
    write_whole(path, (json.dumps(to_json(value), indent=2) + "\n").encode())


class RunLog:
    """TensorBoard, `episodes.jsonl` and `evaluations.jsonl` of one run directory.

    A resumed run appends: lines and points that lie beyond the step it resumes at belong to work that was lost, so
    the lines are cut there and TensorBoard is told to purge.

    No log ends a run: of what cannot be written a warning tells, once. Lines wait and are written with the next one;
    points of TensorBoard are lost.

    Args:
      workdir: the run directory.
      resume_step: environment step of the checkpoint that the run goes on from; None for a new run.
      evaluated_at: step of that checkpoint's last evaluation; a later one will be made again.
      listener: told of every scalar as well: its tag, its value and the environment step.
    """

    def __init__(
        self,
        workdir: Path,
        resume_step: int | None = None,
        evaluated_at: int = 0,
        listener: Callable[[str, float, int], None] = lambda tag, value, step: None,
    ) -> None:
        paths = workdir / "episodes.jsonl", workdir / "evaluations.jsonl"
        if resume_step is not None:
            for path, last in zip(paths, (resume_step, evaluated_at), strict=True):
                _cut(path, last)
        self._episodes, self._evaluations = (_Lines(path) for path in paths)
        self._listener = listener
        lost = None if resume_step is None else resume_step + 1
        self._points = _Points(workdir / "tensorboard", lost)

    def scalars(self, prefix: str, values: Mapping[str, Any], step: int) -> None:
        """Adds every finite number of `values` under `prefix/`; nested mappings nest their names."""
        for name, value in values.items():
            if isinstance(value, Mapping):
                self.scalars(f"{prefix}/{name}", value, step)
            elif isinstance(value, bool | int | float | np.generic) and math.isfinite(float(value)):
                self._points.add(summary.scalar(f"{prefix}/{name}", float(value)), step)
                self._listener(f"{prefix}/{name}", float(value), step)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """Adds `picture`, uint8 [H, W] or [H, W, 3]."""
        dataformats = "HW" if picture.ndim == 2 else "HWC"
        self._points.add(summary.image(name, picture, dataformats=dataformats), step)

    def episode(self, record: Mapping[str, Any]) -> None:
        """Appends one line to `episodes.jsonl`; `record` must hold `step`."""
        self._episodes.append(record)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Appends one line to `evaluations.jsonl`, the learning curve; `record` must hold `step`."""
        self._evaluations.append(record)

    def flush(self) -> None:
        """Brings TensorBoard's file up to date."""
        self._points.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        self._points.close()
        self._episodes.close()
        self._evaluations.close()


class _Lines:
    """A file of JSON lines. What a full disk does not take waits, and is written with the next line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._waiting = b""
        self._told = False

    def append(self, record: Mapping[str, Any]) -> None:
        self._waiting += json.dumps(to_json(record)).encode() + b"\n"
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            if not self._told:
                warnings.warn(
                    f"{self._path} cannot be written ({error.strerror}); training goes on, and its lines are written "
                    "when they can be. Look for a full disk.",
                    stacklevel=3,
                )
            self._told = True

    def close(self) -> None:
        self._file.close()


class _Points:
    """TensorBoard's file, written by the thread that has the points; opened anew when it is gone.

    tensorboardX's SummaryWriter has a queue and a thread before it: when that thread meets a full disk it ends, and the
    run waits for room in the queue for ever.
    """

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        self._folder = folder
        self._file: RecordWriter | None = None
        self._look_at = 0.0
        self._told = False
        with self._surviving():
            self._look_after()
            if purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                self._write(Event(wall_time=time.time(), step=purge_step, session_log=start))

    def add(self, values: Any, step: int) -> None:
        with self._surviving():
            if time.monotonic() >= self._look_at:
                self._look_after()
            self._write(Event(wall_time=time.time(), step=step, summary=values))

    def flush(self) -> None:
        with self._surviving():
            if self._file is not None:
                self._file.flush()

    def close(self) -> None:
        with self._surviving():
            if self._file is not None:
                self._file.flush()
        self._abandon()

    def _write(self, event: Event) -> None:
        if self._file is not None:
            self._file.write(event.SerializeToString())

    def _look_after(self) -> None:
        """Opens the file where there is none (any more), and brings it up to date."""
        self._look_at = time.monotonic() + _LOOK_S
        if self._file is None or not Path(self._file.path).exists():
            self._abandon()
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
            self._file = RecordWriter(str(self._folder / name))
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._file.flush()

    def _abandon(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._abandon()
            if not self._told:
                warnings.warn(
                    f"{self._folder} cannot be written ({error.strerror}); training goes on, and TensorBoard lacks its "
                    "points until it can. Look for a full disk or a removed directory.",
                    stacklevel=4,
                )
            self._told = True


def _cut(path: Path, last_step: int) -> None:
    """Leaves the lines of `path` up to `last_step`, and none that is broken off."""
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= last_step]
        write_whole(path, "".join(line + "\n" for line in kept).encode())


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return math.inf  # half a line, from a killed run
