"""What the process of an environment answers."""

from dataclasses import dataclass
from typing import Any

from envloop.env import Observation


@dataclass(frozen=True, slots=True)
class Ready:
    """The environment has its simulator; `task` says what it drives."""

    identity: dict[str, Any]
    task: str


@dataclass(frozen=True, slots=True)
class Began:
    """Reply to ("reset", seed, options)."""

    observation: Observation
    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stepped:
    """Reply to ("step", action); `seconds` is what the environment took for it."""

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Reply to ("recover",): the simulator is back."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Reply to anything: the simulator was lost, or did not come back."""

    error: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Reply to anything: the configuration or the request is wrong, and trying again would not help."""

    error: str


Reply = Ready | Began | Stepped | Recovered | Lost | Refused
