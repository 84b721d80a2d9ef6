"""Several environments, each in a process of its own with its own simulator, as one endless stream of transitions."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any, Protocol, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envloop.config import EnvConfig
from envloop.env import Observation, action_space, observation_space
from envloop.errors import SimulatorError
from envloop.rollout import TornEpisode, Transition
from envloop.workers.messages import Began, Lost, Ready, Recovered, Refused, Reply, Stepped
from envloop.workers.process import EnvProcess

Actions = Mapping[int, NDArray[np.float32]]
Policy = Callable[[Mapping[int, Observation]], Actions]

_POLL_S = 0.2  # how late a stop or an overdue answer may be seen
_GRACE_S = 10.0  # for an orderly end: a car and its traffic are removed from an external server


class Timer(Protocol):
    """Takes the time of phases."""

    def __call__(self, phase: str) -> contextlib.AbstractContextManager[None]: ...
    def add(self, phase: str, seconds: float) -> None: ...


class Fleet:
    """N environments that run beside each other and beside whoever consumes their transitions.

    One that dies or hangs, in its process or in its simulator, is started again while the others go on; the run ends
    only when all of them stay away.

    Args:
      configs: one per environment.

    Raises:
      ValueError: a configuration is wrong.
      SimulatorError: one of them cannot be started.
    """

    def __init__(self, configs: Sequence[EnvConfig]) -> None:
        self.members = [_Member(index, config) for index, config in enumerate(configs)]
        try:
            for member in self.members:
                member.process.start()
            for member in self.members:
                member.handle(member.process.wait())
        except BaseException:
            self.close(grace_s=0.0)
            raise

    @property
    def size(self) -> int:
        return len(self.members)

    def identity(self) -> dict[str, Any]:
        """The first environment's simulator; "hosts" names all."""
        found = [member.process.ready for member in self.members]
        return {**found[0].identity, "hosts": [ready.identity["host"] for ready in found if ready]} if found[0] else {}

    @property
    def task(self) -> str:
        """What is driven, for people."""
        ready = self.members[0].process.ready
        return ready.task if ready else ""

    def transitions(
        self,
        policy: Policy,
        begin_episode: Callable[[int, int], int],
        meanwhile: Callable[[], None],
        *,
        stop: Callable[[], bool],
        first_episode: int = 0,
        on_lost: Callable[[int, str], None] = lambda environment, error: None,
        on_torn: Callable[[TornEpisode], None] = lambda torn: None,
        timer: Timer | None = None,
    ) -> Iterator[Transition]:
        """Transitions of all environments, in the order in which they come, until `stop` says so.

        Episodes are numbered in the order in which they begin, whichever environment drives them. Those of one
        environment never interleave; a torn one shows as in `rollout`.

        Args:
          policy: observations by environment -> actions by environment, of those that wait for one.
          begin_episode: (episode, environment) -> seed of its reset.
          meanwhile: called while the environments step.
          on_lost: told the number of an environment that was lost, and why.
          on_torn: told about each torn episode after its environment is back.
          timer: told each environment's own seconds ("env_step"), and how long none had an answer ("env_wait").

        Raises:
          SimulatorError: no environment is left that can be brought back.
          ValueError: an environment refuses what it is asked.
        """
        episode = first_episode
        while not stop():
            for member in self.members:
                if member.idle:
                    member.begin(episode, begin_episode(episode, member.index))
                    episode += 1
            acting = {m.index: m.observation for m in self.members if m.observation is not None and m.acting}
            if acting:
                for index, action in policy(acting).items():
                    self.members[index].step(action)
                meanwhile()
            for member, reply in self._replies(timer):
                if timer is not None and isinstance(reply, Stepped):
                    timer.add("env_step", reply.seconds)
                if (torn := member.torn_by(reply)) is not None:
                    on_torn(torn)
                if (transition := member.handle(reply)) is not None:
                    yield transition
            for member in self.members:
                if member.error and not member.reported:
                    member.reported = True
                    on_lost(member.index, member.error)

    def spare(self) -> "SpareEnv":
        """An environment between two episodes, for whoever wants to drive it until the next transition is asked for."""
        idle = [member for member in self.members if member.idle]
        return SpareEnv(idle[0] if idle else self.members[0].interrupted())

    def close(self, grace_s: float = _GRACE_S) -> None:
        """Ends every process; all of them at once. May be called twice."""
        for member in self.members:
            member.process.hang_up()
        for member in self.members:
            member.process.end(grace_s)

    def _replies(self, timer: Timer | None) -> Iterator[tuple["_Member", Reply]]:
        """What the members have answered by now, after waiting for the first answer; looks after those that do not."""
        self._look_after()
        waiting = {m.process.connection: m for m in self.members if m.process.connection and m.process.waiting_for}
        if not waiting:
            time.sleep(_POLL_S)
        with timer("env_wait") if timer else contextlib.nullcontext():
            answered = wait(list(waiting), _POLL_S)
        for connection in answered:
            member = waiting[cast(Any, connection)]
            try:
                reply = member.process.receive()
            except SimulatorError as error:
                member.down(error)
            else:
                yield member, reply

    def _look_after(self) -> None:
        for member in self.members:
            if member.process.overdue():
                member.down(SimulatorError(member.process.silence()))
            member.revive()
        given_up = [member.error for member in self.members if member.failures > member.attempts]
        if len(given_up) == self.size:
            raise SimulatorError(f"No environment can be brought back. {given_up[0]}")


class _Member:
    """One environment's place in the fleet, through the lives of its processes.

    Asked something, it waits for the answer; with nothing asked it waits for an action (`acting`), for an episode to
    begin (`idle`), or for the moment to start its process again.
    """

    def __init__(self, index: int, config: EnvConfig) -> None:
        self.index = index
        self.process = EnvProcess(config)
        self.attempts = config.simulator.restart_attempts
        self.observation: Observation | None = None  # the running episode's last one
        self.failures = 0  # in a row
        self.error = ""  # why it was lost, "" while all is well
        self.reported = False  # that it was lost
        self._config = config.simulator
        self._action: NDArray[np.float32] | None = None
        self._episode, self._step = -1, -1
        self._lost_at = 0.0
        self._start_at = 0.0

    @property
    def idle(self) -> bool:
        return self._free and self.observation is None

    @property
    def acting(self) -> bool:
        return self._free and self.observation is not None

    @property
    def _free(self) -> bool:
        return self.process.connection is not None and not self.process.waiting_for and not self.error

    def begin(self, episode: int, seed: int) -> None:
        """Asks for episode `episode`."""
        self._episode, self._step = episode, 0
        self._ask("reset", seed, None)

    def step(self, action: NDArray[np.float32]) -> None:
        """Asks for a step."""
        self._action = action
        self._ask("step", action)

    def handle(self, reply: Reply) -> Transition | None:
        """Goes on from an answer; the transition where it completes one. Raises ValueError for a refusal."""
        if isinstance(reply, Refused):
            raise ValueError(reply.error)
        if isinstance(reply, Stepped):
            return self._stepped(reply)
        if isinstance(reply, Began):
            self.observation = reply.observation
        elif isinstance(reply, Lost):
            self._lost(reply.error)
        elif isinstance(reply, Ready | Recovered):
            self.error, self.reported = "", False
        return None

    def torn_by(self, reply: Reply) -> TornEpisode | None:
        """The episode that was lost, when `reply` says that the environment is back."""
        if not (isinstance(reply, Ready | Recovered) and self.error):
            return None
        return TornEpisode(
            episode=self._episode,
            steps=max(self._step, 0),
            error=self.error,
            recovery_s=time.monotonic() - self._lost_at,
            environment=self.index,
        )

    def down(self, error: SimulatorError) -> None:
        """The process is gone or hangs: ends it, for `revive` to start another."""
        self._mark_lost(str(error))
        self.process.end()
        self.failures += 1
        delay_s = self._config.backoff_s * 2.0 ** min(self.failures - 2, 16) if self.failures > 1 else 0.0
        self._start_at = time.monotonic() + min(delay_s, self._config.backoff_max_s)

    def revive(self) -> None:
        """Starts another process where there is none and the time has come."""
        if self.process.connection is None and time.monotonic() >= self._start_at:
            try:
                self.process.start()
            except (OSError, SimulatorError) as error:
                self.down(SimulatorError(str(error)))

    def restart(self) -> None:
        """Another process at once, waiting until it is ready. Raises SimulatorError when it does not get ready."""
        self.process.end()
        try:
            self.process.start()
            self.handle(self.process.wait())
        except SimulatorError as error:
            self.down(error)
            raise

    def interrupted(self) -> "_Member":
        """This member, its episode broken off."""
        if self.process.waiting_for:
            try:
                self.process.wait()
            except SimulatorError as error:
                self.down(error)
        self.observation = None
        return self

    def _stepped(self, reply: Stepped) -> Transition:
        assert self.observation is not None
        assert self._action is not None
        transition = Transition(
            self.observation,
            self._action,
            reply.reward,
            reply.observation,
            reply.terminated,
            reply.truncated,
            reply.info,
            self._episode,
            self._step,
            self.index,
        )
        self.failures = 0
        self._step += 1
        self.observation = None if reply.terminated or reply.truncated else reply.observation
        return transition

    def _lost(self, error: str) -> None:
        """The simulator was lost: brings it back, or starts the process anew where that did not help."""
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
            self.process.ask(name, *arguments)
        except SimulatorError as error:
            self.down(error)


class SpareEnv(gym.Env):
    """An idle member of a fleet as a Gymnasium environment: `reset`, then `step`, each waiting for the answer."""

    def __init__(self, member: _Member) -> None:
        self._member = member
        self.observation_space = observation_space(member.process.config)
        self.action_space = action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """As CarlaEnv's; brings a lost simulator or process back first."""
        member = self._member
        if member.error:
            member.restart()
        reply = self._call("reset", seed, options)
        assert isinstance(reply, Began)
        return reply.observation, reply.info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """As CarlaEnv's."""
        reply = self._call("step", action)
        assert isinstance(reply, Stepped)
        return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info

    def _call(self, name: str, *arguments: Any) -> Reply:
        try:
            return self._member.process.call(name, *arguments)
        except SimulatorError as error:
            self._member.down(error)
            raise
