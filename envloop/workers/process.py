"""The process of one environment: start it, ask, wait for its answer with a deadline, end it."""

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import psutil

from envloop.client.minicarla_process import child_environment
from envloop.config import EnvConfig
from envloop.errors import SimulatorError, TaskError
from envloop.make import AnyEnvConfig
from envloop.workers.messages import Crashed, Lost, Ready, Refused, Reply

_MARGIN_S = 5.0
_SLOW_CALLS = 10  # of a reset, each of which may take as long as the simulator's timeout
_HALF_A_MESSAGE_S = 10  # after it a process that stopped in the middle of a message counts as lost
_IMPORTS_S = 60.0  # a first start on a slow machine compiles the renderer


class CrashedError(RuntimeError):
    """Our own code failed in an environment's process; the text is that process's traceback."""


class ProcessEnv:
    """One `python -m envloop.workers.worker` and the socket to it, asked one thing at a time.

    `ready` is the last start's answer, None before it. A process that died, hangs or cannot be reached shows as a
    `SimulatorError` of `receive`, and in `overdue`; `end` and `start` put another in its place.
    """

    phase = ""  # the other process times itself

    def __init__(self, config: AnyEnvConfig) -> None:
        self.config = config
        self.ready: Ready | None = None
        self.connection: Connection | None = None
        self.waiting_for = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = float("inf")

    @staticmethod
    def answered(asked: "Sequence[ProcessEnv]", timeout_s: float) -> "list[ProcessEnv]":
        """Those whose answer is there, after waiting a while for the first."""
        connections = {env.connection: env for env in asked if env.connection is not None}
        return [connections[cast(Connection, done)] for done in wait([*connections], timeout_s)]

    @property
    def running(self) -> bool:
        return self.connection is not None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the process; its answer will be `Ready`, `Lost` or `Refused`."""
        here, there = socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _HALF_A_MESSAGE_S, 0))
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _HALF_A_MESSAGE_S, 0))
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "envloop.workers.worker", str(there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                env=child_environment(),
                start_new_session=True,
            )
        self.connection = Connection(here.detach())
        self._send(self.config)
        self._expect("start")

    def ask(self, name: str, *arguments: Any) -> None:
        """Sends a request, whose answer `receive` returns. Raises SimulatorError when the process is gone."""
        self._send((name, *arguments))
        self._expect(name)

    def receive(self) -> Reply:
        """The answer, which must be there or on its way.

        Raises:
          SimulatorError: the process is gone.
          TaskError: it refuses what it was asked.
          CrashedError: our own code failed there.
        """
        assert self.connection is not None
        try:
            reply: Reply = self.connection.recv()
        except (EOFError, OSError) as error:
            raise SimulatorError(f"The environment's process {self.pid} ended{self._exit_code()}.") from error
        self.waiting_for, self._deadline = "", float("inf")
        if isinstance(checked(reply), Ready):
            self.ready = cast(Ready, reply)
        return reply

    def call(self, name: str, *arguments: Any) -> Reply:
        """`ask` and its answer. Raises SimulatorError when it does not come in time or the simulator is lost."""
        self.ask(name, *arguments)
        return self.wait()

    def wait(self) -> Reply:
        """The outstanding answer. Raises SimulatorError when it does not come in time or the simulator is lost."""
        assert self.connection is not None
        if not self.connection.poll(max(0.0, self._deadline - time.monotonic())):
            raise SimulatorError(self.silence())
        reply = self.receive()
        if isinstance(reply, Lost):
            raise SimulatorError(reply.error)
        return reply

    def overdue(self) -> bool:
        """Whether the answer should be there by now and is not."""
        return time.monotonic() > self._deadline and self.connection is not None and not self.connection.poll()

    def silence(self) -> str:
        """What to say of an answer that does not come."""
        return f"The environment's process {self.pid} does not answer ({self.waiting_for})."

    def hang_up(self) -> None:
        """Closes the socket, which asks the process to end."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.waiting_for, self._deadline = "", float("inf")

    def end(self, grace_s: float = 0.0) -> None:
        """Hangs up, and kills the process and its server if they are still there after `grace_s`."""
        self.hang_up()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.Error:
            children = []
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:  # those of a killed process; psutil knows a reused process id from its own
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue

    def _send(self, message: Any) -> None:
        if self.connection is None:
            raise SimulatorError("The environment's process is not started.")
        try:
            self.connection.send(message)
        except OSError as error:
            raise SimulatorError(f"The environment's process {self.pid} ended{self._exit_code()}.") from error

    def _exit_code(self) -> str:
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f" with exit code {code}"

    def _expect(self, name: str) -> None:
        self.waiting_for = name
        self._deadline = time.monotonic() + patience_s(name, self.config)


def checked(reply: Reply) -> Reply:
    """`reply`; raises TaskError for what was refused, CrashedError where our own code failed."""
    if isinstance(reply, Refused):
        raise TaskError(reply.error)
    if isinstance(reply, Crashed):
        raise CrashedError(f"an environment's process failed with\n\n{reply.traceback}")
    return reply


def patience_s(name: str, config: AnyEnvConfig) -> float:
    """Seconds that a healthy process takes at most, whatever its simulator does: it gives up waiting by itself."""
    if not isinstance(config, EnvConfig):
        return _IMPORTS_S
    sim = config.simulator
    start_s = sim.start_timeout_s + _SLOW_CALLS * sim.timeout_s
    return {
        "start": _IMPORTS_S + start_s,
        "reset": sim.start_timeout_s + (_SLOW_CALLS + config.settle_ticks) * sim.timeout_s,
        "step": _MARGIN_S + 2.0 * sim.timeout_s * config.action_repeat,
        "recover": sim.restart_attempts * (start_s + sim.backoff_max_s),
    }[name]
