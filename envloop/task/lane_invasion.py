"""Lane invasions, from the route's geometry and the car's box.

CARLA's own sensor.other.lane_invasion is computed in another thread of the client and now and then arrives a tick late,
which no two runs share. This is the same question asked in step with the ticks: does a corner of the car reach over the
marking of its lane? Junctions have no markings.
"""

import math
from dataclasses import dataclass

from envloop.task.observation import EgoState, heading_error_deg
from envloop.task.route import Projection, Route

_BEND_M = 0.4  # how far a corner may be off the straight-line estimate in a bend of 8 m radius


@dataclass(frozen=True, slots=True)
class RouteLane:
    """The lane that a route keeps to; `marked` says for each of the route's points whether its lane has markings."""

    half_width_m: float
    marked: tuple[bool, ...]

    def is_marked(self, s: float, route: Route) -> bool:
        """Whether the lane has markings at arc length `s` of `route`."""
        share = min(max(s / route.length, 0.0), 1.0)
        return self.marked[round(share * (len(self.marked) - 1))]


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """The car's box: half of its length and width, m (CARLA 0.9.16's Tesla Model 3 by default)."""

    half_length_m: float = 2.396
    half_width_m: float = 1.082


def over_marking(ego: EgoState, projection: Projection, route: Route, lane: RouteLane, box: BoundingBox) -> bool:
    """Whether a corner of the car is on the far side of its lane's marking."""
    if not lane.is_marked(projection.s, route):
        return False
    error_rad = math.radians(heading_error_deg(ego, projection))
    along, across = abs(math.sin(error_rad)) * box.half_length_m, abs(math.cos(error_rad)) * box.half_width_m
    if abs(projection.lateral) + along + across + _BEND_M < lane.half_width_m:
        return False
    return any(abs(route.project(x, y, projection.s).lateral) > lane.half_width_m for x, y in _corners(ego, box))


def _corners(ego: EgoState, box: BoundingBox) -> list[tuple[float, float]]:
    yaw_rad = math.radians(ego.yaw_deg)
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    return [
        (ego.x + forward * cos - right * sin, ego.y + forward * sin + right * cos)
        for forward in (box.half_length_m, -box.half_length_m)
        for right in (box.half_width_m, -box.half_width_m)
    ]
