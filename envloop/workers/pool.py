"""N environments behind one interface: ask each for a reset or a step, then take what the first of them answer."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envloop.description import EnvDescription
from envloop.errors import SimulatorError
from envloop.make import AnyEnvConfig, spaces_of
from envloop.workers.backend import Backend
from envloop.workers.driver import Drive
from envloop.workers.local import LocalEnv
from envloop.workers.messages import Began, Driven, Observation, Reply, Stepped
from envloop.workers.process import ProcessEnv
from envloop.workers.supervised import EnvLost, EpisodeBegan, EpisodeTorn, SupervisedEnv, Transition

_POLL_S = 0.2  # how late a stop or an overdue answer may be seen
_GRACE_S = 10.0  # for an orderly end: a car and its traffic are removed from an external server


@dataclass(frozen=True, slots=True)
class Answers:
    """What the environments have answered: of each one thing at most, or the transitions of one drive, in order."""

    began: tuple[EpisodeBegan, ...] = ()
    transitions: tuple[Transition, ...] = ()
    lost: tuple[EnvLost, ...] = ()
    torn: tuple[EpisodeTorn, ...] = ()


class Timer(Protocol):
    """Takes the time of phases."""

    def __call__(self, phase: str) -> contextlib.AbstractContextManager[None]: ...
    def add(self, phase: str, seconds: float) -> None: ...


@dataclass(frozen=True)
class _NoTimer:
    def __call__(self, phase: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def add(self, phase: str, seconds: float) -> None:
        return None


class EnvPool:
    """The environments of a run. One alone runs in this process, in lock-step; several run in a process each.

    One that dies or hangs, in its process or in its simulator, is started again while the others go on; only when all
    of them stay away does `receive` raise.

    Args:
      configs: one per environment.
      timer: told each environment's own seconds ("env_step", "env_reset"), and how long none had answered ("env_wait").
      kind: makes what runs an environment; by default LocalEnv for one alone, and ProcessEnv for several.

    Raises:
      TaskError: a configuration is wrong.
      SimulatorError: one of them cannot be started.
    """

    def __init__(
        self,
        configs: Sequence[AnyEnvConfig],
        timer: Timer | None = None,
        kind: Callable[[AnyEnvConfig], Backend] | None = None,
    ) -> None:
        kind = kind or (ProcessEnv if len(configs) > 1 else LocalEnv)
        self._timer = timer or _NoTimer()
        self.members = [SupervisedEnv(index, config, kind(config)) for index, config in enumerate(configs)]
        try:
            for member in self.members:
                member.backend.start()
            for member in self.members:
                member.handle(member.backend.wait())
        except BaseException:
            self.close(grace_s=0.0)
            raise

    @property
    def size(self) -> int:
        return len(self.members)

    @property
    def description(self) -> EnvDescription:
        """What the first environment says of itself; "hosts" of its simulator names those of all."""
        descriptions = [member.description for member in self.members]
        simulator = descriptions[0].simulator
        if simulator:
            simulator = {**simulator, "hosts": [d.simulator["host"] for d in descriptions]}
        return dataclasses.replace(descriptions[0], simulator=simulator)

    def idle(self) -> list[int]:
        """The environments between two episodes, which wait for `reset`."""
        return [member.index for member in self.members if member.idle]

    def waiting(self) -> dict[int, Observation]:
        """The observations of the environments that wait for an action."""
        return {member.index: member.observation for member in self.members if member.acting}

    def reset(self, environment: int, seed: int) -> None:
        """Asks for an episode; `receive` says when it began."""
        self.members[environment].reset(seed)

    def step(self, actions: Mapping[int, NDArray[np.float32]]) -> None:
        """Asks for a step of each environment in `actions`; `receive` answers each with a transition."""
        for environment, action in actions.items():
            self.members[environment].step(action)

    def drive(self, environment: int, *, episode: int, steps: int, explore: bool, version: int, weights: Any) -> None:
        """Asks an environment that acts for itself for steps, see `Drive`; `receive` answers with their transitions."""
        self.members[environment].drive(Drive(episode, steps, explore, version), weights)

    def receive(self, wait: bool = True) -> Answers:
        """What the environments have answered by now, after waiting a while for the first answer if told to.

        An environment answers in order: that its episode began, then its transitions, up to one that ends the episode.
        When it is lost, `lost` says why, the transition under way is dropped, and `torn` tells when it is back; all
        earlier transitions stand, and the next episode begins.

        Raises:
          SimulatorError: no environment is left that can be brought back.
          TaskError: an environment refuses what it is asked.
          CrashedError: our own code failed in a process; what fails in this one is raised as it is.
        """
        self._supervise()
        events = [event for member, reply in self._replies(_POLL_S if wait else 0.0) for event in member.handle(reply)]
        losses = [member.take_loss() for member in self.members]
        return Answers(
            tuple(event for event in events if isinstance(event, EpisodeBegan)),
            tuple(event for event in events if isinstance(event, Transition)),
            tuple(loss for loss in losses if loss is not None),
            tuple(event for event in events if isinstance(event, EpisodeTorn)),
        )

    def evaluation_env(self) -> "EvaluationEnv":
        """An environment between two episodes, for whoever drives it until the next `reset` or `step`."""
        idle = [member for member in self.members if member.idle]
        return EvaluationEnv(idle[0] if idle else self.members[0].interrupted())

    def close(self, grace_s: float = _GRACE_S) -> None:
        """Ends every environment; all of them at once. May be called twice."""
        for member in self.members:
            member.backend.hang_up()
        for member in self.members:
            member.backend.end(grace_s)

    def _replies(self, wait_s: float) -> Iterator[tuple[SupervisedEnv, Reply]]:
        for member in self._answering(wait_s):
            try:
                with self._timer(member.backend.phase) if member.backend.phase else contextlib.nullcontext():
                    reply = member.backend.receive()
            except SimulatorError as error:
                member.down(error)
                continue
            if isinstance(reply, Stepped) and not isinstance(member.backend, LocalEnv):
                self._timer.add("env_step", reply.seconds)
            elif isinstance(reply, Driven):
                for seconds in reply.seconds:
                    self._timer.add("env_step", seconds)
                    self._timer.add("act", reply.acting_s / len(reply.seconds))
            yield member, reply

    def _answering(self, wait_s: float) -> list[SupervisedEnv]:
        """Those whose answer is there, or is made in this process when it is asked for."""
        asked = {member.backend: member for member in self.members if member.backend.waiting_for}
        if not asked:
            time.sleep(wait_s)
            return []
        backends = list(asked)
        if isinstance(backends[0], LocalEnv):
            return list(asked.values())
        with self._timer("env_wait"):
            return [asked[backend] for backend in backends[0].answered(backends, wait_s)]

    def _supervise(self) -> None:
        for member in self.members:
            member.look_after()
        given_up = [member.error for member in self.members if member.given_up]
        if len(given_up) == self.size:
            raise SimulatorError(f"No environment can be brought back. {given_up[0]}")


class EvaluationEnv(gym.Env):
    """An idle environment of a pool as a Gymnasium environment: `reset`, then `step`, each waiting for the answer."""

    def __init__(self, member: SupervisedEnv) -> None:
        self._member = member
        self.observation_space, self.action_space = spaces_of(member.backend.config)

    @property
    def description(self) -> EnvDescription:
        """What the environment says of itself."""
        return self._member.description

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """As the environment's own; brings a lost simulator or process back first."""
        member = self._member
        if member.error:
            member.restart()
        reply = self._call("reset", seed, options)
        assert isinstance(reply, Began)
        return reply.observation, reply.info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """As the environment's own."""
        reply = self._call("step", action)
        assert isinstance(reply, Stepped)
        return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info

    def _call(self, name: str, *arguments: Any) -> Reply:
        try:
            return self._member.backend.call(name, *arguments)
        except SimulatorError as error:
            self._member.down(error)
            raise
