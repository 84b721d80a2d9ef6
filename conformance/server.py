"""A minicarla for one test: on the port that CARLA's code has written into it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READY_S = 180.0  # a first start compiles


class ServerError(Exception):
    """The server did not start; the message says why."""


@contextmanager
def running(port: int, maps: Path | None, log: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server with the maps of a folder, which writes its log to a file and works in `folder`.

    Raises:
      ServerError: the port is taken, or the server ended.
    """
    _wait_until_free(port)
    options = ["--maps", str(maps)] if maps is not None else []
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "minicarla", "--port", str(port), "--parent-pid", str(os.getpid()), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("minicarla ready"):
            process.wait(READY_S)
            raise ServerError(f"minicarla does not start: {_last_line(log)}")
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        process.kill()
        process.communicate()


def _wait_until_free(port: int, patience_s: float = 5.0) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        if time.monotonic() > deadline:
            raise ServerError(f"something listens on port {port}, which CARLA's code uses: stop it first")
        time.sleep(0.2)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"nothing in {log}"
