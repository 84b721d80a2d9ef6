"""A minicarla of the benchmark's own, on a port that it keeps through its lives."""

import signal
import subprocess
import sys
from typing import Self

from robustness.faults.training import ROOT


class Server:
    """One `python -m minicarla`; use it in `with`."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, on the port that it had before; returns when it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minicarla", "--port", str(self.port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        if "port=" not in ready:
            raise RuntimeError(f"minicarla did not start on port {self.port}")
        self.port = int(ready.split("port=")[1].split()[0])

    def kill(self) -> None:
        """Ends it without a warning; also one that is stopped."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stop(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
