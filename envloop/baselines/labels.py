"""What a scripted driver would do, beside every observation: for losses while learning, never for a policy."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from envloop.baselines.policies import LABELLERS, Policy
from envloop.env import CarlaEnv
from envloop.errors import TaskError
from envloop.spaces import Observation

EXPERT = "expert"


class ExpertLabels(gym.Wrapper):
    """Adds "expert" to the observation, float32 [2]: the action of a scripted driver in this very state.

    The driver is asked in the states that whoever acts comes to. It drives nothing.
    """

    def __init__(self, env: CarlaEnv, driver: str) -> None:
        """`driver`: one of `LABELLERS`."""
        super().__init__(env)
        self._carla = env
        self._make_policy = LABELLERS[driver]
        self._policy: Policy
        self.observation_space = labelled(env.observation_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        observation, info = self._carla.reset(seed=seed, options=options)
        self._policy = self._make_policy(self._carla, seed or 0)
        return self._with_label(observation), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._carla.step(action)
        return self._with_label(observation), reward, terminated, truncated, info

    def _with_label(self, observation: Observation) -> Observation:
        return {**observation, EXPERT: self._policy(observation)}


def labelled(space: gym.Space) -> spaces.Dict:
    """The observation space with the label in it."""
    assert isinstance(space, spaces.Dict)
    return spaces.Dict({**space.spaces, EXPERT: spaces.Box(-1.0, 1.0, (2,))})


def check_driver(name: str) -> None:
    """Raises TaskError where there is no scripted driver of that name."""
    if name not in LABELLERS:
        raise TaskError(f"expert is {name!r}; choose one of {', '.join(LABELLERS)}, or leave it empty.")
