"""What an environment says of itself to whoever trains or evaluates in it: plain data."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EnvDescription:
    """What a run may know of its environment beyond Gymnasium's interface.

    Attributes:
      task: what is done, in words for people.
      simulator: which simulator the figures come from, plain data for JSON; {} for none.
      action_names: one name for each number of the action.
      decision_s: simulated seconds per step; 0 where the environment has no time.
      reward_terms_key: `info` key, in every step, of the reward's terms by name, whose sum is the reward; "" for none.
      episode_metrics_key: `info` key, in an episode's last step, of its metrics by name; "" for none.
      speed_key: `info` key, after every reset and step, of the speed in m/s; "" for none.
      pose_key: `info` key, after every reset and step, of where the car is, "x" and "y" in m among others; "" for none.
      picture_key: `info` key, now and then, of a picture for people to watch, a JPEG; "" for none.
    """

    task: str
    action_names: tuple[str, ...]
    simulator: dict[str, Any] = field(default_factory=dict)
    decision_s: float = 0.0
    reward_terms_key: str = ""
    episode_metrics_key: str = ""
    speed_key: str = ""
    pose_key: str = ""
    picture_key: str = ""
