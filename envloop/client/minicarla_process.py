"""The process of an embedded minicarla server: start it, wait until it is ready, stop it."""

import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import envloop
from envloop.client.errors import process_start
from envloop.errors import SimulatorError
from envloop.terminal import is_watched

_READY = "minicarla ready "
_SILENCE_S = 4.0  # that nobody at a terminal wonders about
_FIRST_START = "minicarla starts; the first start compiles it, for half a minute or more"


class EmbeddedServer:
    """One `python -m minicarla` on a free loopback port, ready when the constructor returns.

    Args:
      arguments: command line after the module's name (`--town Town01`, `--xodr FILE`).
      timeout_s: how long it may take to become ready.
      log_dir: folder for the server's standard error; a new temporary one when empty.

    Raises:
      SimulatorError: the server ended or did not become ready in time.
    """

    def __init__(self, arguments: list[str], timeout_s: float, log_dir: str = "") -> None:
        with process_start("The embedded simulator"):
            self._process, self.log_path = _started(arguments, Path(log_dir or tempfile.gettempdir()))
        try:
            with process_start("The embedded simulator"):
                ready = self._wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise
        self.port = int(ready["port"])
        self.version = ready["version"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, grace_s: float = 0.0) -> None:
        """SIGTERM, then SIGKILL after `grace_s` (at once when 0). An empty log is removed. May be called twice."""
        if self.alive():
            if grace_s > 0:
                self._process.terminate()
            else:
                self._process.kill()
            try:
                self._process.wait(max(grace_s, 1.0))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self.log_path.exists() and self.log_path.stat().st_size == 0:
            self.log_path.unlink()

    def _wait_ready(self, timeout_s: float) -> dict[str, str]:
        """Key-value pairs of the ready line."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        received, told = b"", not is_watched()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in received:
                if not told and not selector.select(_SILENCE_S):
                    print(_FIRST_START, file=sys.stderr, flush=True)
                told = True
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise SimulatorError(self._why_it_is_late(timeout_s))
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    raise SimulatorError(self._why_it_ended())
                received += chunk
        line = received.decode(errors="replace").splitlines()[0]
        if not line.startswith(_READY):
            raise SimulatorError(f"The embedded simulator said {line!r} instead of being ready; see {self.log_path}.")
        return dict(pair.split("=", 1) for pair in line.removeprefix(_READY).split())

    def _why_it_is_late(self, timeout_s: float) -> str:
        late = f"The embedded simulator was not ready within {timeout_s:g} s"
        if said := self._last_words():
            return f"{late} ({said}); see {self.log_path}."
        return f"{late}. A busy machine, or a first start, which compiles, needs longer: raise sim.start_timeout_s."

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        reason = self._last_words() or f"exit code {code}, nothing in its log"
        return f"The embedded simulator did not start: {reason}"

    def _last_words(self) -> str:
        """The last line of the server's log, "" when it is empty."""
        said = [line for line in self.log_path.read_text(errors="replace").splitlines() if line.strip()]
        return said[-1].strip() if said else ""


def _started(arguments: list[str], log_folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """The server's process, and the file that takes its standard error."""
    log_folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="minicarla-", suffix=".log", dir=log_folder)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "minicarla", "--port", "0", "--parent-pid", str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=handle,
            env=child_environment(),
            # Ctrl-C in the terminal is for the trainer, which still needs its server to write a last checkpoint.
            start_new_session=True,
        )
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(handle)
    return process, Path(name)


def child_environment() -> dict[str, str]:
    """The parent's environment, in which the child finds this very package."""
    root = str(Path(envloop.__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
