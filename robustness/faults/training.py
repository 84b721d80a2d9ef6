"""A training as its user sees it: the command in a terminal, its progress bar, what it says."""

import contextlib
import fcntl
import itertools
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).parents[2]
CONFIG = "configs/town01.py"
SMALL: dict[str, Any] = {
    "agent.encoder": "small",
    "agent.trunk_width": 16,
    "batch_size": 8,
    "checkpoint_every": 0,
    "device": "cpu",
    "env.camera.height": 84,
    "env.camera.width": 84,
    "eval_every": 0,
    "exploration_steps": 50,
    "log_every": 20,
    "replay.capacity": 20_000,
    "sim.backoff_max_s": 1.0,
    "sim.backoff_s": 0.2,
    "sim.restart_attempts": 300,
    "sim.start_timeout_s": 240.0,
    "sim.timeout_s": 2.0,
}
START_S = 180.0
_PROGRESS = re.compile(r"\| (\d+)/\d+ \[")
_TORN = re.compile(r"episode (\d+) lost its simulator after (\d+) steps, which are kept; back after [\d.]+ s \((.*)\)")


class TrainingEnded(RuntimeError):  # noqa: N818 (what happened, as with StopIteration)
    """The training ended, or stood still, when it should have gone on; the text has its last words."""


@dataclass(frozen=True)
class Torn:
    """What the training says of an episode that lost its simulator, and when it was said (monotonic seconds)."""

    said_at: float
    episode: int
    steps: int
    error: str


class Training:
    """One `python -m avtd3_jax.train` in a pseudo-terminal; use it in `with`, which leaves none of its processes."""

    def __init__(
        self,
        workdir: Path,
        values: Mapping[str, Any],
        *,
        resume: bool = False,
        environment: Mapping[str, str] | None = None,
        base: Mapping[str, Any] = SMALL,
    ) -> None:
        """`values` of the configuration, over those of `base`."""
        self.workdir = workdir
        self.step = 0
        self.lines: list[str] = []
        self.torn: list[Torn] = []
        self.progress: list[tuple[float, int]] = []  # (monotonic seconds, step)
        self._seen: dict[int, psutil.Process] = {}
        config = [f"--config.{name}={value}" for name, value in {**base, **values}.items()]
        command = [sys.executable, "-m", "avtd3_jax.train", "--config", CONFIG, "--workdir", str(workdir), *config]
        terminal, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 400, 0, 0))
        self.process = subprocess.Popen(
            [*command, *(["--resume"] if resume else [])],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._listener = threading.Thread(target=self._listen, args=(terminal,), daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.family()
        for process in self._seen.values():  # psutil kills no stranger that has got a dead one's number
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()
        self._listener.join(10.0)

    def family(self) -> list[psutil.Process]:
        """The training and all its descendants."""
        try:
            trainer = psutil.Process(self.process.pid)
            family = [trainer, *trainer.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self._seen |= {process.pid: process for process in family}
        return family

    def orphans(self) -> list[str]:
        """Command lines of its descendants that outlive it, after a moment of grace."""
        _, alive = psutil.wait_procs(list(self._seen.values()), timeout=10.0)
        return [" ".join(_command(process)) for process in alive]

    def child(self, module: str, number: int = 0) -> psutil.Process:
        """The `number`-th of its descendants, oldest first, that runs `python -m module`; waits for it a little."""
        deadline = time.monotonic() + 20.0
        while True:
            found = [process for process in self.family() if module in _command(process)]
            if len(found) > number:
                return found[number]
            if time.monotonic() > deadline:
                raise TrainingEnded(f"the training has no process {number} of {module}: {self.last_words()}")
            time.sleep(0.05)

    def reach(self, step: int, timeout_s: float = START_S) -> None:
        """Waits for environment step `step`. Raises TrainingEnded."""
        self.until(lambda: self.step >= step, timeout_s, f"step {step}")

    def until(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits until `reached()`. Raises TrainingEnded when it ends before, or stands still for `timeout_s`."""
        deadline, step = time.monotonic() + timeout_s, self.step
        while not reached():
            if self.process.poll() is not None:
                self._listener.join(10.0)
                if reached():
                    return
                raise TrainingEnded(f"ended with {self.process.returncode} before {what}: {self.last_words()}")
            if self.step > step:
                deadline, step = time.monotonic() + timeout_s, self.step
            if time.monotonic() > deadline:
                raise TrainingEnded(f"no {what} in {timeout_s:g} s, at step {self.step}: {self.last_words()}")
            time.sleep(0.02)

    def finish(self, timeout_s: float = START_S) -> int:
        """Waits for its end; the exit code."""
        self.until(lambda: self.process.poll() is not None, timeout_s, "end")
        self._listener.join(10.0)
        return int(self.process.returncode)

    def standstill_s(self, since: float) -> float:
        """The longest time without a new step since the moment `since` (monotonic seconds)."""
        moments = [since, *(moment for moment, _ in self.progress if moment > since)]
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)

    def said(self, text: str) -> bool:
        """Whether a line of its output holds `text`."""
        return any(text in line for line in self.lines)

    def last_words(self) -> str:
        """The last lines that it has printed."""
        return " / ".join(self.lines[-3:]) or "it said nothing"

    def _listen(self, terminal: int) -> None:
        waiting = b""
        with contextlib.suppress(OSError):  # EIO: the last process that had the terminal is gone
            while received := os.read(terminal, 65536):
                *parts, waiting = re.split(rb"[\r\n]+", waiting + received)
                for part in parts:
                    self._hear(part.decode(errors="replace").strip())
                if progress := _PROGRESS.search(waiting.decode(errors="replace")):
                    self._advance(int(progress[1]))
        os.close(terminal)

    def _hear(self, line: str) -> None:
        if progress := _PROGRESS.search(line):
            self._advance(int(progress[1]))
        elif line:
            self.lines.append(line)
            if torn := _TORN.search(line):
                self.torn.append(Torn(time.monotonic(), int(torn[1]), int(torn[2]), torn[3]))

    def _advance(self, step: int) -> None:
        if step > self.step:
            self.step = step
            self.progress.append((time.monotonic(), step))


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
