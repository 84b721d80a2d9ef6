"""A policy for another process: it acts beside an environment, with parameters that it is sent."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import jax
import numpy as np

from avtd3_jax import runtime
from avtd3_jax.agent.config import TD3Config
from avtd3_jax.agent.interface import Agent, Params
from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import EXPERT, ActionSpec, ObsSpec
from avtd3_jax.settings.schema import ExplorationConfig
from avtd3_jax.training.exploration import EpisodeNoise


@dataclass(frozen=True)
class HandedOver:
    """What makes a `BesideEnv` where it is to act, from the spaces there; plain data, to be pickled."""

    algorithm: str
    agent: TD3Config
    exploration: ExplorationConfig
    seed: int

    def __call__(self, observations: gym.Space, actions: gym.Space) -> "BesideEnv":
        """The policy for one environment."""
        specs = ObsSpec.from_space(observations), ActionSpec.from_space(actions)
        return BesideEnv(_agent(self.algorithm, self.agent, *specs), self.exploration, self.seed)


class BesideEnv:
    """Acts for one environment, by the agent's own `act`; the noise is that of the episode, as the learner has it."""

    def __init__(self, agent: Agent, exploration: ExplorationConfig, seed: int) -> None:
        self._agent = agent
        self._exploration = exploration
        self._seed = seed
        self._version: int | None = None
        self._params: Params = {}
        self._episode: int | None = None
        self._noise: EpisodeNoise | None = None

    def load(self, version: int, weights: Params) -> None:
        """Takes an agent's acting parameters; nothing where it has this version."""
        if version != self._version:
            self._version, self._params = version, jax.device_put(weights)

    def act(self, observation: Any, episode: int, explore: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """The next action [A] of an episode, and the policy's own [A] before noise, None where it only explores."""
        if self._noise is None or episode != self._episode:
            size = self._agent.action_spec.size
            self._episode, self._noise = episode, EpisodeNoise(self._exploration, size, self._seed, episode)
        if explore:
            return self._noise.explore(observation.get(EXPERT) if isinstance(observation, Mapping) else None), None
        own = self._agent.act(self._params, observation)
        return self._noise.perturb(own), own


@functools.cache
def _agent(algorithm: str, config: TD3Config, observations: ObsSpec, actions: ActionSpec) -> Agent:
    """One for all environments of the process, on one thread of a CPU."""
    os.environ.setdefault("NPROC", "1")  # XLA:CPU's number of threads
    runtime.setup("cpu")
    return make_agent(algorithm, observations, actions, config)
