"""Global planner: from a start and a goal on a map to the lane-centre points in between.

Routes keep their lane, and change to the one beside it where the map demands it and the markings allow it: before an
exit, where a lane ends.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.planning.errors import NoWayOfThatLength, PlannerError, RouteGapError
from envloop.client.planning.lane_network import Lane, lane_network
from envloop.client.planning.lane_search import CHANGE_COST_M, Arrival, arrivals
from envloop.client.planning.lane_segments import LaneKey, key_of, lane_text
from envloop.client.planning.steps import SAME_POINT_M, FloatArray
from envloop.client.planning.way_points import Piece, way_points
from envloop.task.route import LEVEL_M, wrap_degrees

_DRAWS = 1000  # of start and length, until some lane lies that far away
_CHANGES_MAX = 4  # of lane, in a way that is drawn
_OVERLAP_M = 0.5  # the lanes of a junction lie over each other


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
      points: [N, 3] lane-centre points (x, y, z), m, about a metre apart and never more than 2.
      in_junction: [N] whether a point lies in a junction.
      in_change: [N] whether a point lies in a change of lane.
      stretches: the pieces of lanes that it is made of, in order.
      lane_width_m: [N] of the lane that a point lies in.
    """

    points: FloatArray
    in_junction: NDArray[np.bool_]
    in_change: NDArray[np.bool_]
    lane_width_m: FloatArray
    stretches: tuple[Stretch, ...]

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


@dataclass(frozen=True, slots=True)
class _Place:
    """A place on a lane, metres since its beginning."""

    lane: LaneKey
    metres: float


@dataclass(frozen=True, slots=True)
class _Goal:
    """A place in the lane of an arrival, ahead of it."""

    arrival: Arrival
    metres: float


class Planner:
    """Plans and draws ways on one map.

    Args:
      carla_map: any map of the `carla` wheel; no server is needed.
      tolerance_m: how far from a lane centre a start or a goal may lie.

    Raises:
      PlannerError: the map has no driving lane, or the client fails on it.
    """

    def __init__(self, carla_map: carla.Map, tolerance_m: float = 2.0) -> None:
        self._map = carla_map
        self._tolerance_m = tolerance_m
        self.network = lane_network(carla_map)
        self._farthest_goals: dict[float, list[tuple[float, _Goal]]] = {}
        lanes = list(self.network.lanes.values())
        self._points = np.concatenate([lane.points for lane in lanes])
        self._lane_of_point = np.repeat(np.arange(len(lanes)), [len(lane.points) for lane in lanes])

    def plan(self, start: Sequence[float], goal: Sequence[float]) -> Plan:
        """The shortest way between two points (x, y) or (x, y, z) in metres, each moved to the nearest lane centre.

        Only where roads lie above each other does z matter. Of the lanes that lie over each other in a junction, that
        with the shortest way counts.

        Raises:
          PlannerError: a point is on no driving lane or on several levels, or no way leads to the goal.
        """
        best: tuple[float, _Goal] | None = None
        goals = self._places(goal, "goal")
        for place in self._places(start, "start"):
            ahead_m = self.network.lanes[place.lane].length_m - place.metres
            for arrival in arrivals(self.network, place.lane, place.metres):
                if best is not None and ahead_m + arrival.cost_m() >= best[0]:
                    break
                for end in goals:
                    if arrival.lane == end.lane and self._is_ahead(arrival, end.metres):
                        cost_m = ahead_m + arrival.cost_m() - arrival.entry_m + end.metres
                        if best is None or cost_m < best[0]:
                            best = cost_m, _Goal(arrival, end.metres)
        if best is None:
            raise PlannerError(
                f"No way leads from start {_text(start)} to goal {_text(goal)} on {self._map.name} in driving "
                "direction, even with the changes of lane that its markings allow; choose a goal ahead of the start."
                f"{self._torn}"
            )
        return self._plan(best[1])

    def draw(self, rng: np.random.Generator, min_m: float, max_m: float) -> Plan:
        """A random way: its length is uniform in [`min_m`, `max_m`], its start uniform over all lanes' metres.

        It is the shortest way between its ends, neither of which lies in a junction; the goal is drawn from all the
        roads that hold a point at that distance, in the lane that takes the fewest changes.

        Raises:
          NoWayOfThatLength: the map has none.
        """
        lanes, ends_m = self._streets
        for _ in range(_DRAWS if lanes else 0):
            place_m = rng.uniform(0.0, ends_m[-1])
            index = int(np.searchsorted(ends_m, place_m, side="right"))
            start = self.network.lanes[lanes[index]]
            begin_m = start.wide_m[1] - (ends_m[index] - place_m)
            if goals := self._goals(start, begin_m, rng.uniform(min_m, max_m)):
                with contextlib.suppress(RouteGapError):  # a place where the map is broken is driven round
                    return self._plan(goals[rng.integers(len(goals))])
        return self._plan(self._rare_goal(rng, min_m, max_m))

    @property
    def _torn(self) -> str:
        """What is wrong with the map's links."""
        torn = self.network.torn
        if not torn:
            return ""
        (before, after), more = torn[0], f" and {len(torn) - 1} more" if len(torn) > 1 else ""
        return f" The map's link from {lane_text(before)} to {lane_text(after)}{more} cannot be driven: mend it."

    @cached_property
    def _streets(self) -> tuple[list[LaneKey], FloatArray]:
        """Lanes outside of junctions, and where each ends when they are laid one behind the other, m."""
        lanes = [
            lane for lane in self.network.lanes.values() if not lane.is_junction and lane.wide_m[1] > lane.wide_m[0]
        ]
        return [lane.key for lane in lanes], np.cumsum([lane.wide_m[1] - lane.wide_m[0] for lane in lanes])

    def _goals(self, start: Lane, begin_m: float, length_m: float) -> list[_Goal]:
        """Where the shortest ways of that length end, the lanes in the order in which they are reached."""
        ahead_m = start.length_m - begin_m
        reached: dict[LaneKey, list[Arrival]] = {}
        found: list[_Goal] = []
        for arrival in arrivals(self.network, start.key, begin_m):
            if ahead_m + arrival.cost_m() > length_m + _CHANGES_MAX * CHANGE_COST_M:
                break
            reached.setdefault(arrival.lane, []).append(arrival)
            end_m = begin_m + length_m if arrival.before is None else length_m - ahead_m - arrival.offset_m
            if self._is_street(arrival, end_m):
                found.append(_Goal(arrival, end_m))
        shortest = [goal for goal in found if self._best(reached[goal.arrival.lane], goal.metres) is goal.arrival]
        fewest: dict[tuple[int, bool], int] = {}
        for goal in shortest:
            road = _direction_of(goal)
            fewest[road] = min(fewest.get(road, goal.arrival.changes), goal.arrival.changes)
        return [goal for goal in shortest if goal.arrival.changes == fewest[_direction_of(goal)]]

    def _is_street(self, arrival: Arrival, metres: float) -> bool:
        """Whether a drawn way may end there: ahead, outside of junctions, where the lane is as wide as a car."""
        lane = self.network.lanes[arrival.lane]
        ahead = metres > arrival.entry_m and self._is_ahead(arrival, metres)
        return ahead and not lane.is_junction and lane.wide_m[0] <= metres <= lane.wide_m[1]

    def _is_ahead(self, arrival: Arrival, metres: float) -> bool:
        """Whether the arrival's lane leads to that place."""
        return arrival.entry_m <= metres <= self.network.lanes[arrival.lane].reach_m(arrival.entry_m)

    def _best(self, reached: Sequence[Arrival], metres: float) -> Arrival:
        """Of the arrivals in a lane, the one by which a place ahead is reached at the least cost."""
        leading = [arrival for arrival in reached if self._is_ahead(arrival, metres)]
        return min(leading, key=lambda arrival: arrival.cost_m() - arrival.entry_m)

    def _rare_goal(self, rng: np.random.Generator, min_m: float, max_m: float) -> _Goal:
        """A way on a map with so few that chance does not meet them: from a lane's beginning to its farthest goal."""
        if max_m not in self._farthest_goals:
            self._farthest_goals[max_m] = [self._farthest(self.network.lanes[key], max_m) for key in self._streets[0]]
        farthest = self._farthest_goals[max_m]
        goals = [(length_m, goal) for length_m, goal in farthest if length_m >= min_m]
        if goals:
            return goals[rng.integers(len(goals))][1]
        longest_m = max((length_m for length_m, _ in farthest), default=0.0)
        raise NoWayOfThatLength(
            f"{self._map.name} has no way of {min_m:g} to {max_m:g} m; its longest is {longest_m:.0f} m.", longest_m
        )

    def _farthest(self, start: Lane, max_m: float) -> tuple[float, _Goal]:
        """The longest of the shortest ways from the beginning of a lane, up to `max_m`, and its length."""
        begin_m = start.wide_m[0]
        ahead_m = start.length_m - begin_m
        reached: dict[LaneKey, list[Arrival]] = {}
        longest = 0.0, _Goal(next(arrivals(self.network, start.key, begin_m)), begin_m)
        for arrival in arrivals(self.network, start.key, begin_m):
            reached.setdefault(arrival.lane, []).append(arrival)
            lane = self.network.lanes[arrival.lane]
            before_m = ahead_m + arrival.offset_m
            end_m = min(lane.wide_m[1], lane.reach_m(arrival.entry_m), max_m - before_m)
            if before_m + end_m <= longest[0] or not self._is_street(arrival, end_m):
                continue
            if self._best(reached[arrival.lane], end_m) is arrival:
                longest = before_m + end_m, _Goal(arrival, end_m)
        return longest

    def _plan(self, goal: _Goal) -> Plan:
        pieces: list[Piece] = []
        arrival: Arrival | None = goal.arrival
        end_m = goal.metres
        while arrival is not None:
            lane = self.network.lanes[arrival.lane]
            begin_m = arrival.entry_m if arrival.before is None else arrival.taken_m
            pieces.append(Piece(lane, begin_m, end_m, arrival.change_m))
            end_m, arrival = arrival.left_m, arrival.before
        pieces.reverse()
        way = way_points(pieces)
        stretches = tuple(
            Stretch(piece.lane.key, piece.begin_m, piece.end_m, _turn_deg(piece.points()), piece.lane.is_junction)
            for piece in pieces
        )
        return Plan(way.points, way.in_junction, way.in_change, way.width_m, stretches)

    def _places(self, point: Sequence[float], role: str) -> list[_Place]:
        """The place on a lane that a point means, or those on all the lanes of a junction that lie over each other."""
        x, y = (float(each) for each in point[:2])
        aside_m = np.hypot(*(self._points[:, :2] - (x, y)).T)
        z = float(point[2]) if len(point) > 2 else self._level(point, role, aside_m)
        waypoint = self._map.get_waypoint(carla.Location(x=x, y=y, z=z))
        nearest = waypoint.transform.location
        distance_m = math.hypot(nearest.x - x, nearest.y - y)
        if distance_m > self._tolerance_m:
            raise PlannerError(
                f"The {role} {_text(point)} is {distance_m:.1f} m from the nearest driving lane of {self._map.name}; "
                f"move it to ({nearest.x:.2f}, {nearest.y:.2f})."
            )
        key = self.network.lane_of.get(key_of(waypoint))
        if key is None:
            raise PlannerError(
                f"The {role} {_text(point)} lies in a lane of {self._map.name} without a length; move it."
            )
        places = [_Place(key, self.network.lanes[key].at_waypoint(waypoint))]
        if waypoint.is_junction:
            height_m = np.abs(self._points[:, 2] - nearest.z)
            places += self._overlapping(key, (aside_m <= distance_m + _OVERLAP_M) & (height_m <= LEVEL_M), aside_m)
        return places

    def _level(self, point: Sequence[float], role: str, aside_m: FloatArray) -> float:
        """The height of the only road at a point."""
        heights = self._points[aside_m <= self._tolerance_m, 2]
        if heights.size and heights.max() - heights.min() > LEVEL_M:
            raise PlannerError(
                f"The {role} {_text(point)} lies on several levels of {self._map.name}, between z = "
                f"{heights.min():.1f} and {heights.max():.1f} m; say which as X,Y,Z."
            )
        return float(self._points[int(aside_m.argmin()), 2])

    def _overlapping(self, key: LaneKey, near: NDArray[np.bool_], aside_m: FloatArray) -> Iterator[_Place]:
        """The places in other lanes of the junction whose points are `near`."""
        lanes = list(self.network.lanes.values())
        for number in np.unique(self._lane_of_point[near]):
            lane = lanes[number]
            if lane.is_junction and lane.key != key:
                own = self._lane_of_point == number
                yield _Place(lane.key, float(lane.driven_m[aside_m[own].argmin()]))


def _direction_of(goal: _Goal) -> tuple[int, bool]:
    """Road and direction."""
    road, _, lane = goal.arrival.lane
    return road, lane > 0


def _turn_deg(points: FloatArray) -> float:
    """Change of heading from the first step to the last one, degrees, right positive."""
    steps = np.diff(points[:, :2], axis=0)
    steps = steps[np.hypot(*steps.T) > SAME_POINT_M]
    if len(steps) == 0:
        return 0.0
    first, last = (math.degrees(math.atan2(y, x)) for x, y in (steps[0], steps[-1]))
    return wrap_degrees(last - first)


def _text(point: Sequence[float]) -> str:
    return f"({', '.join(f'{each:.2f}' for each in point)})"
