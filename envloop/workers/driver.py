"""What acts beside its environment: so many steps a request, by a policy with the parameters that came with it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envloop.errors import SimulatorError
from envloop.workers.chunks import packed
from envloop.workers.messages import Driven, Observation

CHUNK_S = 1.0  # after which a request is answered with what has been made


@dataclass(frozen=True, slots=True)
class Drive:
    """A request.

    episode: number within the run, which the noise of the actions follows from.
    steps: at most so many; fewer where the episode ends, or after `CHUNK_S`.
    explore: whether the actions are the exploration's, without the policy.
    version: of the parameters that come with it.
    """

    episode: int
    steps: int
    explore: bool
    version: int


class Policy(Protocol):
    """Acts for one environment."""

    def load(self, version: int, weights: Any) -> None:
        """Takes parameters; nothing where it has this version."""

    def act(
        self, observation: Observation, episode: int, explore: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The next action [A] of an episode, and the policy's own before noise; None where it only explores."""


PolicyMaker = Callable[[spaces.Space, spaces.Space], Policy]  # of observations and actions; pickled by name


class Driver:
    """An environment and what acts for it."""

    def __init__(self, env: gym.Env, make_policy: PolicyMaker) -> None:
        self._env = env
        self._policy = make_policy(env.observation_space, env.action_space)
        self._observation: Observation | None = None

    def began(self, observation: Observation) -> None:
        """An episode began with this observation."""
        self._observation = observation

    def drive(self, request: Drive, weights: Any) -> Driven:
        """Steps, up to the episode's end or the simulator's loss. Raises what else policy and environment raise."""
        before = observation = self._observation
        assert before is not None
        if not request.explore:
            self._policy.load(request.version, weights)
        seen: list[Observation] = []
        actions, intended, rewards, infos, seconds = [], [], [], [], []
        terminated = truncated = False
        acting_s, lost = 0.0, ""
        began = time.perf_counter()
        until = began + CHUNK_S
        while len(seen) < request.steps and not (terminated or truncated) and (began < until or not seen):
            action, own = self._policy.act(observation, request.episode, request.explore)
            acted = time.perf_counter()
            acting_s += acted - began
            try:
                observation, reward, terminated, truncated, info = self._env.step(action)
            except SimulatorError as error:
                lost = str(error)
                break
            began = time.perf_counter()
            seconds.append(began - acted)
            seen.append(observation)
            actions.append(action)
            intended.append(own)
            rewards.append(float(reward))
            infos.append(info)
        self._observation = observation
        made = np.array(actions, np.float32)
        return Driven(
            packed(before, seen), made, intended, rewards, terminated, truncated, infos, seconds, acting_s, lost
        )
