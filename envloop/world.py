"""What a run drives in: one environment in this process, in lock-step, or several in processes of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envloop.config import EnvConfig
from envloop.env import CarlaEnv, Observation
from envloop.rollout import TornEpisode, Transition, rollout
from envloop.workers.fleet import Fleet, Timer


class Actor(Protocol):
    """Who chooses the actions and learns."""

    def begin_episode(self, episode: int, environment: int = 0) -> int: ...
    def act(self, observation: Observation) -> NDArray[np.float32]: ...
    def act_all(self, observations: Mapping[int, Observation]) -> Mapping[int, NDArray[np.float32]]: ...
    def learn(self) -> None: ...


class World(Protocol):
    """The environments of a run."""

    identity: dict[str, Any]
    task: str

    def transitions(self, actor: Actor, first_episode: int, stop: Callable[[], bool]) -> Iterator[Transition]: ...

    def evaluation_env(self) -> gym.Env: ...

    def close(self) -> None: ...


def open_world(
    configs: Sequence[EnvConfig],
    timer: Timer,
    on_lost: Callable[[int, str], None],
    on_torn: Callable[[TornEpisode], None],
) -> World:
    """The environments of `configs`, ready to be driven; `on_lost` hears of processes, `on_torn` of every torn episode.

    Raises:
      ValueError, SimulatorError: as CarlaEnv does.
    """
    if len(configs) == 1:
        return _Alone(configs[0], timer, on_torn)
    return _Several(configs, timer, on_lost, on_torn)


class _Alone:
    """One environment in this process: one seed gives one run."""

    def __init__(self, config: EnvConfig, timer: Timer, on_torn: Callable[[TornEpisode], None]) -> None:
        self._env = CarlaEnv(config)
        self._timer = timer
        self._on_torn = on_torn
        self.identity = self._env.simulator.identity()
        self.task = self._env.task

    def transitions(self, actor: Actor, first_episode: int, stop: Callable[[], bool]) -> Iterator[Transition]:
        env = _TimedEnv(self._env, self._timer)
        return rollout(env, actor.act, actor.begin_episode, first_episode=first_episode, on_torn=self._on_torn)

    def evaluation_env(self) -> gym.Env:
        return self._env

    def close(self) -> None:
        self._env.close()


class _Several:
    """One process and one simulator per environment; each acts when it is ready, so timing decides the order."""

    def __init__(
        self,
        configs: Sequence[EnvConfig],
        timer: Timer,
        on_lost: Callable[[int, str], None],
        on_torn: Callable[[TornEpisode], None],
    ) -> None:
        self._fleet = Fleet(configs)
        self._timer = timer
        self._on_lost = on_lost
        self._on_torn = on_torn
        self.identity = self._fleet.identity()
        self.task = self._fleet.task

    def transitions(self, actor: Actor, first_episode: int, stop: Callable[[], bool]) -> Iterator[Transition]:
        return self._fleet.transitions(
            actor.act_all,
            actor.begin_episode,
            actor.learn,
            stop=stop,
            first_episode=first_episode,
            on_lost=self._on_lost,
            on_torn=self._on_torn,
            timer=self._timer,
        )

    def evaluation_env(self) -> gym.Env:
        return self._fleet.spare()

    def close(self) -> None:
        self._fleet.close()


class _TimedEnv(gym.Wrapper):
    """Adds the environment's share to the phase timings."""

    def __init__(self, env: gym.Env, timer: Timer) -> None:
        super().__init__(env)
        self._timer = timer

    def step(self, action: Any) -> Any:
        with self._timer("env_step"):
            return self.env.step(action)

    def reset(self, **kwargs: Any) -> Any:
        with self._timer("env_reset"):
            return self.env.reset(**kwargs)
