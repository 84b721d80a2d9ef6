"""What a navigator says before a junction: follow the lane, turn left, go straight on, turn right.

It is all that a policy is told of its way in conditional imitation learning and in NoCrash (Codevilla et al. 2018,
arXiv:1710.02410, and 2019, arXiv:1904.08980).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envloop.task.route import Route, wrap_degrees

COMMANDS = ("follow", "left", "straight", "right")
AHEAD_M = 25.0  # before a junction, from where on its command is given; as far as the default route points reach
_STRAIGHT_DEG = 30.0  # what turns less goes straight on
_BESIDE_M = 2.0  # a way's direction before and after a junction is taken so far outside of it


@dataclass(frozen=True, slots=True)
class Turn:
    """A junction on a route: arc length (m) of its beginning and its end, and which of `COMMANDS` leads through it."""

    begin: float
    end: float
    command: str


def turns(route: Route, in_junction: ArrayLike) -> tuple[Turn, ...]:
    """The junctions of a route, in order.

    Args:
      in_junction: for each of the route's points, whether it lies in one.
    """
    places = route.stretches(in_junction)
    return tuple(Turn(begin, end, _command(route, begin, end)) for begin, end in places)


def command_at(junctions: Sequence[Turn], s: float) -> str:
    """The command at arc length `s`, m: of the junction that the car is in or that begins within `AHEAD_M`."""
    ahead = next((turn for turn in junctions if turn.end >= s), None)
    return "follow" if ahead is None or ahead.begin > s + AHEAD_M else ahead.command


def one_hot(command: str) -> NDArray[np.float32]:
    """[len(COMMANDS)] float32."""
    return np.eye(len(COMMANDS), dtype=np.float32)[COMMANDS.index(command)]


def _command(route: Route, begin: float, end: float) -> str:
    turned = wrap_degrees(route.heading_at(end + _BESIDE_M) - route.heading_at(begin - _BESIDE_M))  # right positive
    return "straight" if abs(turned) < _STRAIGHT_DEG else "right" if turned > 0.0 else "left"
