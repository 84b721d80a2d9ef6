"""An environment in this very process, asked as one in a process of its own is: one seed is one run."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from envloop.errors import SimulatorError
from envloop.make import AnyEnvConfig, describe, make_env
from envloop.workers.messages import Lost, Ready, Reply
from envloop.workers.worker import answer


class LocalEnv:
    """What is asked is done within `receive`, in the caller's thread; the interface is that of `ProcessEnv`."""

    def __init__(self, config: AnyEnvConfig) -> None:
        self.config = config
        self.ready: Ready | None = None
        self.env: gym.Env | None = None
        self._request: tuple[Any, ...] = ()

    @staticmethod
    def answered(asked: "Sequence[LocalEnv]", timeout_s: float) -> "list[LocalEnv]":
        """All that were asked: their answers are made when they are received."""
        return list(asked)

    @property
    def running(self) -> bool:
        return self.env is not None or bool(self._request)

    @property
    def waiting_for(self) -> str:
        return str(self._request[0]) if self._request else ""

    @property
    def phase(self) -> str:
        """What `receive` is going to spend its time on."""
        return f"env_{self.waiting_for}"

    def start(self) -> None:
        """Asks for the environment to be made."""
        self._request = ("start",)

    def ask(self, name: str, *arguments: Any) -> None:
        """Takes a request, which `receive` answers."""
        self._request = (name, *arguments)

    def receive(self) -> Reply:
        """Does what was asked. Raises SimulatorError where the environment cannot be made, and what our code raises."""
        request, self._request = self._request, ()
        if request[0] == "start":
            self.env = make_env(self.config)
            self.ready = Ready(describe(self.env))
            return self.ready
        assert self.env is not None
        return answer(self.env, *request)

    def call(self, name: str, *arguments: Any) -> Reply:
        """`ask` and its answer. Raises SimulatorError when the simulator is lost."""
        self.ask(name, *arguments)
        return self.wait()

    def wait(self) -> Reply:
        """The answer to what was asked. Raises SimulatorError when the simulator is lost."""
        reply = self.receive()
        if isinstance(reply, Lost):
            raise SimulatorError(reply.error)
        return reply

    def overdue(self) -> bool:
        """Never: the simulator's own time-outs hold here."""
        return False

    def silence(self) -> str:
        """Part of the interface; nothing here is ever silent."""
        return ""

    def hang_up(self) -> None:
        """Drops what was asked."""
        self._request = ()

    def end(self, grace_s: float = 0.0) -> None:
        """Closes the environment. May be called twice."""
        self._request = ()
        env, self.env = self.env, None
        if env is not None:
            env.close()
