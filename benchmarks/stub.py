"""An environment of the driving task's spaces that costs next to nothing: Gymnasium's `benchmarks.stub:Frames-v0`."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

EPISODE = 300  # steps
_PICTURES = 64  # made once


class Frames(gym.Env):
    """Observes {"image": uint8 [84, 84], "vector": float32 [23]}, new ones each step; acts in [-1, 1]^2.

    The pictures are of noise, with the step's number in their first pixels; episodes end by time.
    """

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, (84, 84), np.uint8),
            "vector": spaces.Box(-np.inf, np.inf, (23,), np.float32),
        }
    )
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        rng = np.random.default_rng(0)
        self._pictures = rng.integers(0, 256, (_PICTURES, 84, 84), np.uint8)
        self._vector = rng.random(23, np.float32)
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first of the pictures."""
        self._step = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next of them."""
        self._step += 1
        return self._observation(), self._step / EPISODE, False, self._step >= EPISODE, {}

    def _observation(self) -> dict[str, np.ndarray]:
        image = self._pictures[self._step % _PICTURES].copy()
        image[0, :2] = divmod(self._step, 256)
        return {"image": image, "vector": self._vector + self._step}


class FixedAction:
    """A policy for an environment that acts for itself, which costs next to nothing either."""

    ACTION = np.array([0.0, 0.5], np.float32)

    def __init__(self, observations: spaces.Space, actions: spaces.Space) -> None:
        return None

    def load(self, version: int, weights: Any) -> None:
        """Nothing."""

    def act(self, observation: Any, episode: int, explore: bool) -> tuple[np.ndarray, None]:
        """Always the same."""
        return self.ACTION, None


gym.register("Frames-v0", entry_point="benchmarks.stub:Frames", disable_env_checker=True)
