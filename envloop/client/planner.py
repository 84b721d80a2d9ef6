"""Global planner: from a start and a goal on a map to the lane-centre points in between.

The graph has one node per lane segment (road, section, lane) and one edge per lane-to-lane connection of
`carla.Map.get_topology()`; routes keep their lane, so they go on to a neighbouring lane only where a road leads there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import carla
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from envloop.errors import TaskError
from envloop.task.route import wrap_degrees

LaneKey = tuple[int, int, int]  # road, section, lane

FloatArray = NDArray[np.float64]

_SPACING_M = 1.0
_SAME_POINT_M = 0.05
_DRAWS = 1000  # of start and length, until some lane lies that far away


class PlannerError(TaskError):
    """No route leads from the start to the goal."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a lane: from `begin_m` to `end_m`, metres since the lane's beginning.

    `turn_deg` is the change of heading between its ends, in (-180, 180], right positive; `in_junction` says whether the
    lane is one of a junction.
    """

    lane: LaneKey
    begin_m: float
    end_m: float
    turn_deg: float
    in_junction: bool


@dataclass(frozen=True)
class Plan:
    """A way along driving lanes, in driving direction.

    Attributes:
      points: [N, 3] lane-centre points (x, y, z), m, about a metre apart.
      in_junction: [N] whether a point lies in a junction.
      stretches: the pieces of lanes that it is made of, in order.
      lane_width_m: of the lane that it begins in.
    """

    points: FloatArray
    in_junction: NDArray[np.bool_]
    stretches: tuple[Stretch, ...]
    lane_width_m: float

    @cached_property
    def length_m(self) -> float:
        """Length along the lanes."""
        return sum(stretch.end_m - stretch.begin_m for stretch in self.stretches)

    def shared_m(self, other: "Plan") -> float:
        """Metres of this way that `other` drives along too, in the same lane."""
        return sum(
            max(0.0, min(mine.end_m, its.end_m) - max(mine.begin_m, its.begin_m))
            for mine in self.stretches
            for its in other._by_lane.get(mine.lane, ())
        )

    @cached_property
    def _by_lane(self) -> dict[LaneKey, list[Stretch]]:
        """A way round a block can drive along two pieces of one lane."""
        by_lane: dict[LaneKey, list[Stretch]] = {}
        for stretch in self.stretches:
            by_lane.setdefault(stretch.lane, []).append(stretch)
        return by_lane


@dataclass(frozen=True)
class _Lane:
    """A lane's centre: points [N, 3], metres driven to each of them [N], and the map's own s there [N] (increasing)."""

    points: FloatArray
    driven_m: FloatArray
    map_s: FloatArray
    is_junction: bool
    width_m: float

    @property
    def length_m(self) -> float:
        return float(self.driven_m[-1])


class Planner:
    """Plans and draws ways on one map; what it has looked up once it keeps.

    Args:
      carla_map: any map of the `carla` wheel; no server is needed.
      tolerance_m: how far from a lane centre a start or a goal may lie.
    """

    def __init__(self, carla_map: carla.Map, tolerance_m: float = 2.0) -> None:
        self._map = carla_map
        self._tolerance_m = tolerance_m
        self._lanes: dict[LaneKey, _Lane] = {}
        self._ways: dict[LaneKey, tuple[dict[LaneKey, float], dict[LaneKey, list[LaneKey]]]] = {}
        self.graph = nx.DiGraph()
        for entry, successor in carla_map.get_topology():
            for beginning in (entry, successor):
                if _key(beginning) not in self._lanes:
                    self._lanes[_key(beginning)] = _lane_from(beginning)
            # Dijkstra sums edge weights, so an edge costs the lane that it leaves.
            self.graph.add_edge(_key(entry), _key(successor), weight=self._lanes[_key(entry)].length_m)

    def plan(self, start: tuple[float, float], goal: tuple[float, float]) -> Plan:
        """The shortest way between two points (x, y) in metres, each moved to the nearest lane centre.

        Raises:
          PlannerError: a point is on no driving lane, or no way leads to the goal.
        """
        first, last = self._waypoint(start, "start"), self._waypoint(goal, "goal")
        begin_m, end_m = self._driven_m(first), self._driven_m(last)
        if _key(first) == _key(last) and end_m >= begin_m:
            return self._along([_key(first)], begin_m, end_m)
        way = self._ways_from(_key(first))[1].get(_key(last))
        if way is None:
            raise PlannerError(
                f"No way leads from start {_text(start)} to goal {_text(goal)} without a lane change or a turn "
                f"against traffic; choose a goal that lies ahead of the start on {self._map.name}."
            )
        return self._along([_key(first), *way], begin_m, end_m)

    def draw(self, rng: np.random.Generator, min_m: float, max_m: float) -> Plan:
        """A random way: its length is uniform in [`min_m`, `max_m`], its start uniform over all lanes' metres.

        It is the shortest way between its ends, neither of which lies in a junction; the goal is drawn from all the
        lanes that hold a point at that distance.

        Raises:
          PlannerError: the map has no way of such a length.
        """
        lanes, ends_m = self._streets
        for _ in range(_DRAWS if lanes else 0):
            place_m = rng.uniform(0.0, ends_m[-1])
            index = int(np.searchsorted(ends_m, place_m, side="right"))
            start = lanes[index]
            begin_m = self._lanes[start].length_m - (ends_m[index] - place_m)
            if goals := list(self._goals(start, begin_m, rng.uniform(min_m, max_m))):
                way, end_m = goals[rng.integers(len(goals))]
                return self._along([start, *way], begin_m, end_m)
        raise PlannerError(f"{self._map.name} has no way of {min_m:g} to {max_m:g} m; choose other lengths.")

    @cached_property
    def _unconnected(self) -> dict[LaneKey, carla.Waypoint]:
        """About the beginning of each lane that the topology leaves out; the client's own search for it can crash."""
        first: dict[LaneKey, carla.Waypoint] = {}
        for waypoint in self._map.generate_waypoints(_SPACING_M):
            key = _key(waypoint)
            if key not in self._lanes and (key not in first or _map_s(waypoint) < _map_s(first[key])):
                first[key] = waypoint
        return first

    @cached_property
    def _streets(self) -> tuple[list[LaneKey], FloatArray]:
        """Lanes outside of junctions, and where each ends when they are laid one behind the other, m."""
        lanes = [key for key in self.graph if not self._lanes[key].is_junction]
        return lanes, np.cumsum([self._lanes[key].length_m for key in lanes])

    def _goals(self, start: LaneKey, begin_m: float, length_m: float) -> Iterator[tuple[list[LaneKey], float]]:
        """Lanes after `start`, and metres into the last of them, of every shortest way of that length."""
        ahead_m = self._lanes[start].length_m - begin_m
        if length_m <= ahead_m:
            yield [], begin_m + length_m
        distances, ways = self._ways_from(start)
        for key, distance_m in distances.items():
            end_m = length_m - ahead_m - distance_m
            lane = self._lanes[key]
            ahead_in_start = key == start and end_m >= begin_m  # that goal lies ahead, without the way round
            if 0.0 < end_m <= lane.length_m and not lane.is_junction and not ahead_in_start:
                yield ways[key], end_m

    def _ways_from(self, start: LaneKey) -> tuple[dict[LaneKey, float], dict[LaneKey, list[LaneKey]]]:
        """Metres between the end of `start` and the beginning of each lane, and the lanes from there to it."""
        if start not in self.graph:  # a dead end joins nothing
            return {}, {}
        if start not in self._ways:
            successors = list(self.graph.successors(start))
            self._ways[start] = nx.multi_source_dijkstra(self.graph, successors) if successors else ({}, {})
        return self._ways[start]

    def _along(self, keys: list[LaneKey], begin_m: float, end_m: float) -> Plan:
        """The way through these lanes, from metres into the first to metres into the last."""
        lanes = [self._lanes[key] for key in keys]
        begins = [begin_m] + [0.0] * (len(lanes) - 1)
        ends = [lane.length_m for lane in lanes[:-1]] + [end_m]
        pieces = [_between(*piece) for piece in zip(lanes, begins, ends, strict=True)]
        junctions = [np.full(len(piece), lane.is_junction) for piece, lane in zip(pieces, lanes, strict=True)]
        points = np.concatenate(pieces)
        kept = _without_repeats(points)
        turns, at_junctions = map(_turn_deg, pieces), [lane.is_junction for lane in lanes]
        stretches = tuple(Stretch(*each) for each in zip(keys, begins, ends, turns, at_junctions, strict=True))
        return Plan(points[kept], np.concatenate(junctions)[kept], stretches, lanes[0].width_m)

    def _waypoint(self, point: tuple[float, float], role: str) -> carla.Waypoint:
        x, y = point
        waypoint = self._map.get_waypoint(carla.Location(x=float(x), y=float(y), z=0.0))
        if waypoint is None:
            raise PlannerError(f"The map {self._map.name} has no driving lane; load another one.")
        nearest = waypoint.transform.location
        distance = float(np.hypot(nearest.x - x, nearest.y - y))
        if distance > self._tolerance_m:
            raise PlannerError(
                f"The {role} {_text(point)} is {distance:.1f} m from the nearest driving lane of {self._map.name}; "
                f"move it to ({nearest.x:.2f}, {nearest.y:.2f})."
            )
        return waypoint

    def _driven_m(self, waypoint: carla.Waypoint) -> float:
        """Metres from the beginning of the waypoint's lane to it."""
        lane = self._lane(waypoint)
        return float(np.interp(_map_s(waypoint), lane.map_s, lane.driven_m))

    def _lane(self, waypoint: carla.Waypoint) -> _Lane:
        """The lane that the waypoint lies in."""
        key = _key(waypoint)
        if key not in self._lanes:
            beginning = self._unconnected.get(key, waypoint)
            self._lanes[key] = _lane_from(min(waypoint, beginning, key=_map_s))
        return self._lanes[key]


def _lane_from(beginning: carla.Waypoint) -> _Lane:
    waypoints = [beginning, *beginning.next_until_lane_end(_SPACING_M)]
    points = np.array([_xyz(each) for each in waypoints], dtype=np.float64)
    steps = np.hypot(*np.diff(points[:, :2], axis=0).T)
    return _Lane(
        points=points,
        driven_m=np.concatenate([[0.0], np.cumsum(steps)]),
        map_s=np.array([_map_s(each) for each in waypoints]),
        is_junction=beginning.is_junction,
        width_m=float(beginning.lane_width),
    )


def _between(lane: _Lane, begin_m: float, end_m: float) -> FloatArray:
    """[N, 3] points of a lane from one place in it to another, both included."""
    inside = lane.driven_m[(lane.driven_m > begin_m) & (lane.driven_m < end_m)]
    wanted = np.concatenate([[begin_m], inside, [end_m]])
    return np.stack([np.interp(wanted, lane.driven_m, column) for column in lane.points.T], axis=1)


def _turn_deg(points: FloatArray) -> float:
    """Change of heading from the first step to the last one, degrees, right positive."""
    steps = np.diff(points[:, :2], axis=0)
    steps = steps[np.hypot(*steps.T) > _SAME_POINT_M]
    if len(steps) == 0:
        return 0.0
    first, last = (math.degrees(math.atan2(y, x)) for x, y in (steps[0], steps[-1]))
    return wrap_degrees(last - first)


def _without_repeats(points: FloatArray) -> NDArray[np.bool_]:
    """[N] which points to keep: not a lane's first one where it repeats the end of the lane before, but the goal."""
    step = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1)
    keep: NDArray[np.bool_] = np.concatenate([[True], step > _SAME_POINT_M])
    keep[-1] = True
    if len(points) > 2 and step[-1] <= _SAME_POINT_M:
        keep[-2] = False
    return keep


def _map_s(waypoint: carla.Waypoint) -> float:
    """Increases in driving direction: left lanes (id > 0) are driven against the reference line's s."""
    return -float(waypoint.s) if waypoint.lane_id > 0 else float(waypoint.s)


def _key(waypoint: carla.Waypoint) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _xyz(waypoint: carla.Waypoint) -> tuple[float, float, float]:
    location = waypoint.transform.location
    return location.x, location.y, location.z


def _text(point: tuple[float, float]) -> str:
    return f"({point[0]:.2f}, {point[1]:.2f})"
