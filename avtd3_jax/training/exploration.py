"""The random part of an episode's actions: a pure function of (seed, episode), so a resumed run repeats it."""

from collections.abc import Sequence

import numpy as np

from avtd3_jax.errors import ConfigError
from avtd3_jax.seeding import RunStream, generator
from avtd3_jax.settings.schema import ExplorationConfig


class EpisodeNoise:
    """The random part of one episode's actions.

    Args:
      config: means, deviations and correlation; a lone mean or deviation is that of every action dimension.
      action_size: A, the number of action dimensions.
      seed: the run's seed.
      episode: number of the episode within the run.

    Raises:
      ConfigError: there are neither 1 nor A means or deviations.
    """

    def __init__(self, config: ExplorationConfig, action_size: int, seed: int, episode: int) -> None:
        self._rng = generator(seed, RunStream.EXPLORATION, episode)
        self._mean = _for_each("mean", config.mean, action_size)
        self._std = _for_each("std", config.std, action_size)
        self._rho = np.float32(config.correlation)
        self._policy_noise = config.policy_noise
        self._state = self._rng.standard_normal(self._mean.shape).astype(np.float32)

    def explore(self, expert: np.ndarray | None = None) -> np.ndarray:
        """The next exploration action, [A] float32 in [-1, 1]: a stationary AR(1) process around the mean.

        Around the action of an expert [A] where there is one.
        """
        action = (self._mean if expert is None else expert) + self._std * self._state
        innovation = self._rng.standard_normal(self._mean.shape).astype(np.float32)
        self._state = self._rho * self._state + np.sqrt(1 - self._rho**2) * innovation
        return np.clip(action, -1.0, 1.0)

    def perturb(self, action: np.ndarray) -> np.ndarray:
        """The policy's action [A] with TD3's Gaussian exploration noise, kept in [-1, 1]."""
        noise = self._policy_noise * self._rng.standard_normal(action.shape).astype(np.float32)
        return np.clip(action + noise, -1.0, 1.0)


def _for_each(name: str, values: Sequence[float], action_size: int) -> np.ndarray:
    if len(values) not in (1, action_size):
        raise ConfigError(
            f"exploration.{name} has {len(values)} values and the action {action_size} dimensions: give one value for "
            "all of them, or one each."
        )
    return np.broadcast_to(np.asarray(values, np.float32), action_size)
