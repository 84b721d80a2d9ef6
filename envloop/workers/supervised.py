"""One environment of a pool, through the lives of its simulator and of its process."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.config import EnvConfig, SimulatorConfig
from envloop.description import EnvDescription
from envloop.errors import SimulatorError
from envloop.make import AnyEnvConfig
from envloop.workers.backend import Backend
from envloop.workers.chunks import unpacked
from envloop.workers.driver import Drive
from envloop.workers.messages import Began, Driven, Lost, Observation, Ready, Recovered, Reply, Stepped


@dataclass(frozen=True, slots=True)
class EpisodeBegan:
    """An episode's first observation."""

    environment: int
    observation: Observation
    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transition:
    """One whole decision."""

    environment: int
    observation: Observation
    action: NDArray[np.float32]  # [A]
    reward: float
    next_observation: Observation
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    intended: NDArray[np.float32] | None = None  # of a policy that acted beside the environment, before noise


@dataclass(frozen=True, slots=True)
class EpisodeTorn:
    """An environment that was lost is back; the episode that it was in has no last transition."""

    environment: int
    error: str
    recovery_s: float


@dataclass(frozen=True, slots=True)
class EnvLost:
    """An environment was lost, and is being brought back."""

    environment: int
    error: str


Event = EpisodeBegan | Transition | EpisodeTorn


class SupervisedEnv:
    """An environment and whoever starts it again.

    Asked something, it waits for the answer; with nothing asked it waits for an action (`acting`), for an episode to
    begin (`idle`), or for the moment to be started again.
    """

    def __init__(self, index: int, config: AnyEnvConfig, backend: Backend) -> None:
        self.index = index
        self.backend = backend
        self.observation: Observation | None = None  # the running episode's last one
        self.error = ""  # why it was lost, "" while all is well
        self._reported = False  # that it was lost
        self._failures = 0  # in a row
        self._config = config.simulator if isinstance(config, EnvConfig) else SimulatorConfig()
        self._action: NDArray[np.float32] | None = None
        self._lost_at = 0.0
        self._start_at = 0.0

    @property
    def idle(self) -> bool:
        return self._free and self.observation is None

    @property
    def acting(self) -> bool:
        return self._free and self.observation is not None

    @property
    def given_up(self) -> bool:
        """Whether it failed more often in a row than it may."""
        return self._failures > self._config.restart_attempts

    @property
    def description(self) -> EnvDescription:
        assert self.backend.ready is not None
        return self.backend.ready.description

    @property
    def _free(self) -> bool:
        return self.backend.running and not self.backend.waiting_for and not self.error

    def reset(self, seed: int) -> None:
        """Asks for an episode."""
        self._ask("reset", seed, None)

    def step(self, action: NDArray[np.float32]) -> None:
        """Asks for a step."""
        self._action = action
        self._ask("step", action)

    def drive(self, request: Drive, weights: Any) -> None:
        """Asks for steps that it acts in itself."""
        self._ask("drive", request, weights)

    def handle(self, reply: Reply) -> list[Event]:
        """Goes on from an answer; the events that it is to the pool's user."""
        if isinstance(reply, Stepped):
            return [self._stepped(reply)]
        if isinstance(reply, Driven):
            return self._driven(reply)
        if isinstance(reply, Began):
            self.observation = reply.observation
            return [EpisodeBegan(self.index, reply.observation, reply.info)]
        if isinstance(reply, Lost):
            self._lost(reply.error)
        elif isinstance(reply, Ready | Recovered) and self.error:
            torn = EpisodeTorn(self.index, self.error, time.monotonic() - self._lost_at)
            self.error, self._reported = "", False
            return [torn]
        return []

    def take_loss(self) -> EnvLost | None:
        """That it was lost, once for every loss."""
        if not self.error or self._reported:
            return None
        self._reported = True
        return EnvLost(self.index, self.error)

    def look_after(self) -> None:
        """Ends what does not answer, and starts what is gone, once its time has come."""
        if self.backend.overdue():
            self.down(SimulatorError(self.backend.silence()))
        if not self.backend.running and time.monotonic() >= self._start_at:
            try:
                self.backend.start()
            except (OSError, SimulatorError) as error:
                self.down(SimulatorError(str(error)))

    def down(self, error: SimulatorError) -> None:
        """It is gone or hangs: ends it, for `look_after` to start another."""
        self._mark_lost(str(error))
        self.backend.end()
        self._failures += 1
        delay_s = self._config.backoff_s * 2.0 ** min(self._failures - 2, 16) if self._failures > 1 else 0.0
        self._start_at = time.monotonic() + min(delay_s, self._config.backoff_max_s)

    def restart(self) -> None:
        """Another one at once, waiting until it is ready. Raises SimulatorError when it does not get ready."""
        self.backend.end()
        try:
            self.backend.start()
            self.handle(self.backend.wait())
        except SimulatorError as error:
            self.down(error)
            raise

    def interrupted(self) -> "SupervisedEnv":
        """This environment, its episode broken off."""
        if self.backend.waiting_for:
            try:
                self.backend.wait()
            except SimulatorError as error:
                self.down(error)
        self.observation = None
        return self

    def _stepped(self, reply: Stepped) -> Transition:
        assert self.observation is not None
        assert self._action is not None
        transition = Transition(
            self.index,
            self.observation,
            self._action,
            reply.reward,
            reply.observation,
            reply.terminated,
            reply.truncated,
            reply.info,
        )
        self._failures = 0
        self.observation = None if reply.terminated or reply.truncated else reply.observation
        return transition

    def _driven(self, reply: Driven) -> list[Event]:
        before = self.observation
        assert before is not None
        transitions: list[Event] = []
        for number, after in enumerate(unpacked(before, reply.observations), start=1):
            last = number == len(reply.rewards)
            transitions.append(
                Transition(
                    self.index,
                    before,
                    reply.actions[number - 1],
                    reply.rewards[number - 1],
                    after,
                    last and reply.terminated,
                    last and reply.truncated,
                    reply.infos[number - 1],
                    reply.intended[number - 1],
                )
            )
            self._failures, before = 0, after
        self.observation = None if reply.terminated or reply.truncated else before
        if reply.lost:
            self._lost(reply.lost)
        return transitions

    def _lost(self, error: str) -> None:
        """The simulator was lost: brings it back, or starts all anew where that did not help."""
        if self.error or self.observation is None:  # lost again before its first step
            self.down(SimulatorError(error))
            return
        self._mark_lost(error)
        self._ask("recover")

    def _mark_lost(self, error: str) -> None:
        if not self.error:
            self._lost_at = time.monotonic()
        self.error = error
        self.observation = None

    def _ask(self, name: str, *arguments: Any) -> None:
        try:
            self.backend.ask(name, *arguments)
        except SimulatorError as error:
            self.down(error)
