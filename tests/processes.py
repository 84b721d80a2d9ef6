"""Processes that tests start: whatever a test comes to, they are killed with those they started, and reaped."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[1]
PATIENCE_S = 200.0


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """One, in the checkout; what it says is text to be read. `options` are Popen's."""
    said = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **{**said, **options})
    try:
        yield process
    finally:
        kill(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def kill(process: subprocess.Popen[str]) -> None:
    """The process and those it started; nothing where it has ended."""
    if process.poll() is not None:
        return
    for member in [*psutil.Process(process.pid).children(recursive=True), process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def ended(*processes: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> tuple[list[int], list[str]]:
    """Exit codes and standard outputs of all. Fails, with what they have said, where one does not end in time."""
    try:
        said = [process.communicate(timeout=patience_s)[0] for process in processes]
    except subprocess.TimeoutExpired:
        for process in processes:
            kill(process)
        pytest.fail(f"not over in {patience_s:g} s; said {[process.communicate() for process in processes]}")
    return [process.returncode for process in processes], said


def copy(source: str, target: str) -> None:
    """For `shutil.copytree`, of folders where others put compiled code under a name that it soon loses."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def until(reached: Callable[[], Any], *processes: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> Any:
    """What `reached` answers as soon as it is true. Fails, with what the processes said, where one has ended before."""
    deadline = time.monotonic() + patience_s
    while not (answer := reached()):
        ended = [process.poll() for process in processes]
        if any(code is not None for code in ended) or time.monotonic() > deadline:
            for process in processes:
                kill(process)
            said = [process.communicate() for process in processes]
            pytest.fail(f"not reached in {patience_s:g} s: exit codes {ended}, said {said}")
        time.sleep(0.05)
    return answer
