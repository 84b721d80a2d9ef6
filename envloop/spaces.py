"""What CarlaEnv observes and how it acts, as Gymnasium's spaces; no simulator is needed to know it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from envloop.config import EnvConfig
from envloop.task.affordances import AFFORDANCES, COLUMN_KINDS
from envloop.task.columns import COLUMNS
from envloop.task.observation import STACK
from envloop.task.pictures import FRAME_SIZE

Observation = dict[str, NDArray[Any]]

_VECTOR_BOUND = 100.0  # far outside of what scaled numbers reach; Gymnasium wants a finite space


def observation_space(config: EnvConfig) -> Dict:
    """What CarlaEnv observes with this configuration; see the class."""
    parts: dict[str, gym.Space] = {
        "image": Box(0, 255, (STACK, FRAME_SIZE, FRAME_SIZE), np.uint8),
        "vector": Box(-_VECTOR_BOUND, _VECTOR_BOUND, (config.vector.size,), np.float32),
    }
    observed = {name: part for name, part in parts.items() if config.observation in ("both", name)}
    if config.privileged:
        length = len(AFFORDANCES) + (COLUMNS * len(COLUMN_KINDS) if config.columns else 0)
        observed["privileged"] = Box(-1.0, 1.0, (length,), np.float32)
    return Dict(observed)


def action_space() -> Box:
    """Steer, then throttle (> 0) or brake (<= 0)."""
    return Box(-1.0, 1.0, (2,), np.float32)
