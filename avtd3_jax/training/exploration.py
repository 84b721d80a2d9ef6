"""The random part of an episode's actions: a pure function of (seed, episode), so a resumed run repeats it."""

import numpy as np

from avtd3_jax.settings.schema import ExplorationConfig

_STREAM = 1  # keeps these draws apart from the environment's, which are seeded from the same run seed


class EpisodeNoise:
    """The random part of one episode's actions.

    Args:
      config: means, deviations and correlation.
      seed: the run's seed.
      episode: number of the episode within the run.
    """

    def __init__(self, config: ExplorationConfig, seed: int, episode: int) -> None:
        self._rng = np.random.default_rng([seed, _STREAM, episode])
        self._mean = np.asarray(config.mean, np.float32)
        self._std = np.asarray(config.std, np.float32)
        self._rho = np.float32(config.correlation)
        self._policy_noise = config.policy_noise
        self._state = self._rng.standard_normal(self._mean.shape).astype(np.float32)

    def explore(self) -> np.ndarray:
        """The next exploration action, [A] float32 in [-1, 1]: a stationary AR(1) process around the mean."""
        action = self._mean + self._std * self._state
        innovation = self._rng.standard_normal(self._mean.shape).astype(np.float32)
        self._state = self._rho * self._state + np.sqrt(1 - self._rho**2) * innovation
        return np.clip(action, -1.0, 1.0)

    def perturb(self, action: np.ndarray) -> np.ndarray:
        """The policy's action [A] with TD3's Gaussian exploration noise, kept in [-1, 1]."""
        noise = self._policy_noise * self._rng.standard_normal(action.shape).astype(np.float32)
        return np.clip(action + noise, -1.0, 1.0)
