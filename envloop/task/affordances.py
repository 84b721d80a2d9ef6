"""What the simulator knows of the road ahead and the camera only shows, as a few numbers.

They are for losses and critics while learning (Implicit Affordances, Toromanoff et al. 2020, arXiv:1911.10868;
asymmetric actor-critic, Pinto et al. 2017, arXiv:1710.06542). No policy reads them when it drives.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envloop.task.right_of_way import CAUTION, HALF_LENGTH_M, PEOPLE, Obstacle, Passed
from envloop.task.road_scene import StopLine

REACH_M = 40.0
_SPEED_MPS = 10.0
_LIGHTS = ("red", "yellow", "green")

AFFORDANCES = (
    "vehicle ahead: nearness",
    "vehicle ahead: closing speed / 10 m/s",
    "next light: red",
    "next light: yellow",
    "next light: green",
    "next light: nearness of its stop line",
    "person on the road or beside it: nearness",
    "vehicle from the side: nearness of where it will be in the way",
    "junction whose exit is full: nearness",
)
"""What each number is. A nearness is 1 at the front bumper and 0 from 40 m on. What is not there is zeros."""

COLUMN_KINDS = ("person", "vehicle", "person on the route or beside it")
"""Of what `columns` tells the nearest one's nearness, in each column of the picture."""


def affordances(
    s: float, speed_mps: float, stop_lines: Sequence[StopLine], met: Sequence[Obstacle], passed: Sequence[Passed]
) -> NDArray[np.float32]:
    """[len(AFFORDANCES)] float32, each in [-1, 1].

    Args:
      s: arc length of the ego, m.
      stop_lines: of the route, in order.
      met: what a `right_of_way.Outlook` finds ahead of the ego.
      passed: whom it finds on the road there, or beside it.
    """
    numbers = np.zeros(len(AFFORDANCES), np.float32)
    lead = min((each for each in met if each.kind == "vehicle"), key=lambda each: each.gap_m, default=None)
    if lead is not None:
        closing = (speed_mps - lead.speed_mps) / _SPEED_MPS
        numbers[0:2] = _nearness(lead.gap_m), min(max(closing, -1.0), 1.0)
    ahead = (line.s - s - HALF_LENGTH_M for line in stop_lines), (line.state for line in stop_lines)
    line = next(((gap, state) for gap, state in zip(*ahead, strict=True) if gap >= -CAUTION.past_line_m), None)
    if line is not None and line[0] < REACH_M and line[1] in _LIGHTS:
        numbers[2 + _LIGHTS.index(line[1])] = 1.0
        numbers[5] = _nearness(line[0])
    for index, kinds in ((6, PEOPLE), (7, ("vehicle crossing",)), (8, ("full exit",))):
        numbers[index] = max((_nearness(each.gap_m) for each in met if each.kind in kinds), default=0.0)
    numbers[6] = max([float(numbers[6]), *(_nearness(each.gap_m) for each in passed)])
    return numbers


def _nearness(gap_m: float) -> float:
    return min(max(1.0 - gap_m / REACH_M, 0.0), 1.0)
