"""Contenders in processes of their own, each of which measures when it is its turn.

A contender prints `READY` before each turn, measures when a line comes on its standard input, and prints a line of JSON
after its last turn.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

from reporting.machine import ROOT

READY = "ready"


class Turns:
    """A contender's process, with empty compile caches of its own; once entered it is ready for its first turn.

    Args:
      command: what to run, in the folder `home`, whose packages it imports before installed ones.
    """

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self._command = command
        self._home = home
        self._last = ""
        self._stack = ExitStack()

    def __enter__(self) -> "Turns":
        cache = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._errors = self._stack.enter_context(tempfile.TemporaryFile("w+"))
        self._process = self._stack.enter_context(
            subprocess.Popen(
                self._command,
                cwd=self._home,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(self._home), *_paths()]),
                    "XDG_CACHE_HOME": cache,
                    "TORCHINDUCTOR_CACHE_DIR": cache,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        )
        self._stack.callback(self._process.terminate)  # where it has not ended by itself
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self) -> None:
        """One turn; returns when it is over, or the process."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has failed, and `found` says how
            os.write(self._process.stdin.fileno(), b"\n")  # past the buffer, which a dead process would leave unwritten
            self._wait()

    def found(self) -> dict[str, Any]:
        """What it says after its last turn, or a "note" why it says nothing."""
        if not self._process.wait():
            return cast(dict[str, Any], json.loads(self._last))
        self._errors.seek(0)
        return {"note": (self._errors.read().strip().splitlines() or ["no word"])[-1]}

    def _wait(self) -> None:
        """For the next time that it is ready, or for its end."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == READY:
                return
            self._last = line


def _paths() -> list[str]:
    """PYTHONPATH without this checkout, which another one's processes are not to see."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in given if path and Path(path).resolve() != ROOT]


def checkout(folder: str) -> Path:
    """The folder of another checkout, for argparse."""
    path = Path(folder).resolve()
    if not (path / "benchmarks" / "train.py").is_file():
        raise argparse.ArgumentTypeError(f"{folder} holds no benchmarks/train.py: name the folder of a checkout.")
    if path == ROOT:
        raise argparse.ArgumentTypeError(f"{folder} is this checkout: name another one.")
    return path
