"""What an environment answers when it is asked for something, in this process or in one of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.description import EnvDescription

Observation = Any  # of the environment's space


@dataclass(frozen=True, slots=True)
class Ready:
    """The environment has been made, and its simulator is there."""

    description: EnvDescription


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
class Driven:
    """Reply to ("drive", Drive, weights): n steps in order, of which the last alone may have ended the episode.

    observations: what each step showed that was not seen before, see `chunks.packed`.
    intended: actions [A] of the policy, before noise; None for one that explored.
    seconds, acting_s: what the environment took for each step, and all actions together.
    lost: why the simulator was lost after them, "" where it was not.
    """

    observations: Any
    actions: NDArray[np.float32]  # [n, A]
    intended: list[NDArray[np.float32] | None]
    rewards: list[float]
    terminated: bool
    truncated: bool
    infos: list[dict[str, Any]]
    seconds: list[float]
    acting_s: float
    lost: str = ""


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


@dataclass(frozen=True, slots=True)
class Crashed:
    """Reply to anything: our own code failed. `traceback` is the process's own."""

    traceback: str


Reply = Ready | Began | Stepped | Driven | Recovered | Lost | Refused | Crashed
