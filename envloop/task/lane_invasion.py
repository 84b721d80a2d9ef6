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
    """The lane that a route keeps to, at each of the route's points: half of its width, m; whether it has markings."""

    half_width_m: tuple[float, ...]
    marked: tuple[bool, ...]

    def half_width_at(self, s: float, route: Route) -> float:
        """Half of its width at arc length `s` of `route`, m."""
        return self.half_width_m[_index(s, route, len(self.half_width_m))]

    def is_marked(self, s: float, route: Route) -> bool:
        """Whether the lane has markings at arc length `s` of `route`."""
        return self.marked[_index(s, route, len(self.marked))]


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
    half_width_m = lane.half_width_at(projection.s, route)
    if abs(projection.lateral) + along + across + _BEND_M < half_width_m:
        return False
    return any(abs(route.project(x, y, projection.s).lateral) > half_width_m for x, y in _corners(ego, box))


def _index(s: float, route: Route, count: int) -> int:
    return round(min(max(s / route.length, 0.0), 1.0) * (count - 1))


def _corners(ego: EgoState, box: BoundingBox) -> list[tuple[float, float]]:
    yaw_rad = math.radians(ego.yaw_deg)
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    return [
        (ego.x + forward * cos - right * sin, ego.y + forward * sin + right * cos)
        for forward in (box.half_length_m, -box.half_length_m)
        for right in (box.half_width_m, -box.half_width_m)
    ]
