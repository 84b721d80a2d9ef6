"""The settings that the numbers in this folder's tests were derived with: 20 decisions a second, gamma 0.99.

They are those of configs/town01_of_record.py.
"""

from typing import Any

from envloop.config import EnvConfig
from envloop.task.observation import VectorConfig
from envloop.task.reward import RewardBasis, RewardConfig
from envloop.task.termination import TerminationConfig

TICK_S = 0.05
REWARD = RewardConfig(parked_value=-10.0, crash=15.0, wait_gap_m=8.0)
BASIS = RewardBasis(discount=0.99, decision_s=TICK_S, limit_mps=30.0 / 3.6)
TERMINATION = TerminationConfig(blocked_s=5.0, blocked_m=5.0)
VECTOR = VectorConfig(speed_scale=30.0, lateral_scale=3.5, point_scale=50.0)


def of_record(**changes: Any) -> EnvConfig:
    """The environment of record with changes."""
    settings: dict[str, Any] = {
        "action_repeat": 1,
        "bend_start_fraction": 0.0,
        "vector": VECTOR,
        "reward": REWARD,
        "termination": TERMINATION,
        "discount": BASIS.discount,
    }
    return EnvConfig(**{**settings, **changes})
