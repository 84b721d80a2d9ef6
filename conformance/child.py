"""A program of somebody else's as a child process: how it ended, in one word and one line."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["passed", "failed", "skipped"]

_GRACE_S = 20.0  # between Ctrl-C and the end of a script that tidies up behind itself
_PRESSES = 4  # of Ctrl-C in that time
_MISSING = re.compile(r"No module named '?([\w.]+)'?|cannot import (pygame|numpy|PIL|matplotlib)\b")
_NEWER = re.compile(r"module 'carla' has no attribute '(\w+)'")
# An exception's last line: its type, perhaps within modules, and what it says.
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning|Failure|Exit)\b.*", re.MULTILINE)
_INTERRUPTED = "KeyboardInterrupt"


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
      verdict: it passed if it ended with 0 or ran on until it was stopped, without a traceback.
      seconds: how long it ran.
      reason: one line; "" where it passed.
    """

    verdict: Verdict
    seconds: float
    reason: str = ""


def run(command: Sequence[str], folder: Path, environment: dict[str, str], limit_s: float, endless: bool) -> Ending:
    """Runs a command in a folder, with Ctrl-C after `limit_s` seconds: failed then, unless it is `endless`."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        with _ctrl_c_is_heard():
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        try:
            stopped = not _ended(process, limit_s)
            if stopped:
                _press_ctrl_c(process)
        finally:
            _kill_group(process)
        seconds = time.monotonic() - began
        output.seek(0)
        said = output.read().decode(errors="replace")
    return _judged(process.returncode, said, seconds, stopped, endless)


@contextmanager
def _ctrl_c_is_heard() -> Iterator[None]:
    """Behind a shell's & and nohup it is ignored; a child would inherit that, and could not be stopped.

    A handler is not inherited: the child begins with the default. (`preexec_fn` would fork beside JAX's threads.)
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """As often as it takes: a script's bare `except` may swallow one."""
    for _ in range(_PRESSES):
        os.killpg(process.pid, signal.SIGINT)
        if _ended(process, _GRACE_S / _PRESSES):
            return


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The child and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judged(code: int, said: str, seconds: float, stopped: bool, endless: bool) -> Ending:
    if missing := _MISSING.search(said):
        return Ending("skipped", seconds, f"needs the module {missing[1] or missing[2]}")
    if newer := _NEWER.search(said):
        return Ending("skipped", seconds, f"is written for another version of the client, which has carla.{newer[1]}")
    exceptions = [line for line in _EXCEPTION.findall(said) if not line.startswith(_INTERRUPTED)]
    if stopped and not endless:
        return Ending("failed", seconds, f"not done after {seconds:.0f} s")
    if code < 0 and not (stopped and -code == signal.SIGINT):
        return Ending("failed", seconds, f"ended by signal {-code} ({signal.Signals(-code).name})")
    if "Traceback (most recent call last)" in said and exceptions:
        return Ending("failed", seconds, exceptions[-1].strip()[:200])
    if code and not stopped:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return Ending("failed", seconds, (exceptions or lines or [f"exit code {code}"])[-1][:200])
    return Ending("passed", seconds)


def environment(*paths: Path) -> dict[str, str]:
    """The parent's environment for scripts that open windows, where there may be no screen, and import from `paths`."""
    inherited = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    return {
        **os.environ,
        "SDL_VIDEODRIVER": "dummy",
        "SDL_AUDIODRIVER": "dummy",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([*map(str, paths), *inherited]),
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into somebody else's folder
    }


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]
