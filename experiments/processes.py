"""One child process at a time, that ends in order when this one is told to stop."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from experiments.bound import bound

ROOT = Path(__file__).parents[1]  # children run here: configs/ is found, and no path of this machine is in a command
_POLL_S = 0.2


class CommandError(RuntimeError):
    """A command that failed; the message is its last line."""


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """SIGINT or SIGTERM came, and the child has ended."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class Processes:
    """Runs commands one after the other; use it in `with`, in the main thread.

    A child lives in a session of its own and so hears of a Ctrl-C from here alone: SIGINT, whatever came, since every
    command of this project saves what it can on that. A second signal is passed on too, and stops it at once.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen | None = None
        self._received: signal.Signals | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        log: Path,
        watch: Callable[[], None],
        every_s: float,
        held: Sequence[int] = (),
    ) -> None:
        """Runs `python -m module arguments`, its output appended to `log`; calls `watch` every `every_s` seconds.

        The file descriptors `held` are the child's too: a lock on them lasts until both have ended. A child whose
        parent is killed is told to end as well.

        Raises:
          CommandError: it failed.
          Stopped: a signal came; the child has ended.
        """
        self.check()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                bound(module, list(arguments)),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=held,
            )
            try:
                self._wait(self._child, watch, every_s)
            except BaseException:  # whatever ends this process, such as a closed output pipe, must not leave a child
                self._child.send_signal(signal.SIGINT)
                self._child.wait()
                raise
        code, self._child = self._child.returncode, None
        self.check()
        if code:
            raise CommandError(f"python -m {module} ended with {code}: {_last_line(log)} (all of it: {log})")

    def check(self) -> None:
        """Raises Stopped where a signal has come."""
        if self._received:
            raise Stopped(self._received)

    def _wait(self, child: subprocess.Popen, watch: Callable[[], None], every_s: float) -> None:
        if self._received:  # it came before there was a child to tell
            child.send_signal(signal.SIGINT)
        watched = time.monotonic()
        while child.poll() is None:
            time.sleep(_POLL_S)
            if time.monotonic() - watched >= every_s:
                watch()
                watched = time.monotonic()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.Signals(number)
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
