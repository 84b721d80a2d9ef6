"""A simulator's server started by a command: python -m envloop.workers.own_server PARENT COMMAND... guards it.

The guard runs COMMAND in a process group of its own and kills the group once PARENT is gone, whatever ended it, or once
it is told to end.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import psutil

from envloop.client.minicarla_process import child_environment
from envloop.client.version_check import require_carla
from envloop.errors import SimulatorError
from envloop.free_ports import free_ports
from envloop.workers.fleet import FleetConfig

_POLL_S = 0.2
_PORTS = 3  # CARLA's: calls, streams, and a secondary server's
_LOOPBACK = "127.0.0.1"


class OwnServer:
    """The server of `fleet.server_command`, answering when the constructor returns.

    Raises:
      SimulatorError: it ended, or did not answer in time.
    """

    def __init__(self, fleet: FleetConfig, timeout_s: float) -> None:
        self.port = free_ports(_PORTS)
        words = fleet.command(self.port)
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "envloop.workers.own_server", str(os.getpid()), *words],
            stdin=subprocess.DEVNULL,
            env=child_environment(),
            start_new_session=True,
        )
        try:
            self._await(timeout_s, words[0])
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        return f"{_LOOPBACK}:{self.port}"

    def alive(self) -> bool:
        return self._guard.poll() is None

    def stop(self) -> None:
        """Ends it. May be called twice."""
        if self.alive():
            self._guard.terminate()
        self._guard.wait()

    def _await(self, timeout_s: float, name: str) -> None:
        deadline, said = time.monotonic() + timeout_s, f"nothing listens on port {self.port}."
        while time.monotonic() < deadline:
            if not self.alive():
                raise SimulatorError(f"{name}, of fleet.server_command, ended with exit code {self._guard.poll()}.")
            if _listens(self.port):
                try:
                    return require_carla(_LOOPBACK, self.port, max(deadline - time.monotonic(), _POLL_S))
                except SimulatorError as error:  # it may listen before it answers
                    said = str(error)
            time.sleep(_POLL_S)
        raise SimulatorError(f"{name}, of fleet.server_command, was not ready in {timeout_s:g} s: {said}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), _POLL_S).close()
    except OSError:
        return False
    return True


def main() -> int:
    """The guard."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: told.append(got))
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"own_server: {error}", file=sys.stderr)
        return 127
    with contextlib.suppress(psutil.NoSuchProcess):
        watched = psutil.Process(parent)
        while not told and server.poll() is None and os.getppid() == parent and watched.is_running():
            time.sleep(_POLL_S)
    code = server.poll()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    return 0 if code is None else code


if __name__ == "__main__":
    sys.exit(main())
