"""The driving lanes of a map, how they follow each other, and where one may change between them.

A `Lane` runs along one road, through all of its lane sections; the lanes of `carla.Map` are its segments. The client's
`next_until_lane_end` is not used: it runs on into the next section, and ends the process where a lane ends in the
middle of a road (carla#2511). Each segment is walked by `next`, as far as its own section goes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.lane_steps import FloatArray, spread
from envloop.client.road_layout import RoadLayout, Section, road_layouts
from envloop.errors import TaskError

LaneKey = tuple[int, int, int]  # road, section, lane

GAP_MAX_M = 2.0  # between two points that follow each other; also the height of a kerb that no link leads over
CHANGE_MIN_M = 15.0  # what a change to the next lane takes at least: at 30 km/h as hard as a bend of 13 m radius
TURN_BACK = -0.2  # cosine: nobody turns by more than 100 degrees on the spot
WIDTH_MIN_M = 2.0  # a Model 3 is 1.85 m wide, 2.16 m with its mirrors
_SPACING_M = 1.0
_FINE_M = 0.25  # on the outside of tight bends
_STRETCHED_M = 1.8
_ROUNDING_M = 2.0**-52  # next() of exactly the rest of a section would leave it
_NO_LENGTH_M = 1e-3
# At the very end of a section within a road the client would look up width and offset of the next one.
_INSIDE_M = 1e-6
_SOLID = (carla.LaneMarkingType.Solid, carla.LaneMarkingType.SolidSolid)


class PlannerError(TaskError):
    """No route leads from the start to the goal, or the map cannot be planned on."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Where one may change to the lane `to` beside: metres since the beginning of the lane that is left."""

    to: LaneKey
    begin_m: float
    end_m: float


@dataclass(frozen=True)
class Lane:
    """A lane along one road, in driving direction.

    Attributes:
      key: of its first segment.
      points: [N, 3] of its centre, m.
      driven_m: [N] metres from its beginning to each point.
      map_s: [N] the road's own s there, negated where the lane runs against it, so that it increases.
      width_m: [N].
      along: whether it is driven in the direction of the road's s.
      is_junction: whether its road belongs to a junction.
      walls_m: metres to where nobody can drive on: the lane closes to nothing and opens again, or its points jump.
      wide_m: from where to where it is as wide as a car; nothing where its end is not behind its beginning.
    """

    key: LaneKey
    points: FloatArray
    driven_m: FloatArray
    map_s: FloatArray
    width_m: FloatArray
    along: bool
    is_junction: bool
    walls_m: tuple[float, ...]
    wide_m: tuple[float, float]

    @property
    def length_m(self) -> float:
        return float(self.driven_m[-1])

    def at(self, map_s: float) -> float:
        """Metres driven to the place of that `map_s`."""
        return float(np.interp(map_s, self.map_s, self.driven_m))

    def at_waypoint(self, waypoint: carla.Waypoint) -> float:
        """Metres driven to a waypoint of this lane."""
        return self.at(_map_s(waypoint, self.along))

    def s_at(self, metres: float) -> float:
        """The `map_s` of a place."""
        return float(np.interp(metres, self.driven_m, self.map_s))

    def reach_m(self, from_m: float) -> float:
        """How far one can drive on from there: to its end, or to the next wall."""
        return min((wall for wall in self.walls_m if wall >= from_m), default=self.length_m)


@dataclass(frozen=True)
class LaneNetwork:
    """All driving lanes of a map.

    Attributes:
      lanes: by key, in the order of the client's topology.
      successors: of each lane, those that a link leads to from its end.
      openings: of each lane, in order, where its markings let one change to a lane beside it.
      lane_of: the lane that each segment is part of.
    """

    lanes: dict[LaneKey, Lane]
    successors: dict[LaneKey, list[LaneKey]]
    openings: dict[LaneKey, list[Opening]]
    lane_of: dict[LaneKey, LaneKey]


@dataclass(frozen=True)
class _Segment:
    """A lane within one section: as in `Lane`; `may_change` is [N, 2], whether markings let one go left, go right."""

    key: LaneKey
    points: FloatArray
    map_s: FloatArray
    width_m: FloatArray
    may_change: NDArray[np.bool_]
    along: bool
    is_junction: bool


def lane_network(carla_map: carla.Map) -> LaneNetwork:
    """Walks along all driving lanes of a map.

    Raises:
      PlannerError: it has no driving lane, or the client fails on it.
    """
    roads = road_layouts(carla_map.to_opendrive())
    try:
        segments, links = _segments(carla_map, roads)
    except RuntimeError as error:
        raise PlannerError(
            f"The carla client cannot walk along the lanes of {carla_map.name}: {error}; mend the map."
        ) from error
    if not segments:
        raise PlannerError(f"The map {carla_map.name} has no driving lane; load another one.")
    chains = _chains(segments, links)
    lanes = {chain[0]: _lane([segments[key] for key in chain]) for chain in chains}
    lane_of = {key: chain[0] for chain in chains for key in chain}
    ends = {chain[0]: chain[-1] for chain in chains}
    successors = {head: [lane_of[key] for key in links[ends[head]]] for head in lanes}
    openings = {chain[0]: _openings(chain, segments, lanes, lane_of) for chain in chains}
    return LaneNetwork(lanes, successors, openings, lane_of)


def key_of(waypoint: carla.Waypoint) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _segments(
    carla_map: carla.Map, roads: dict[int, RoadLayout]
) -> tuple[dict[LaneKey, _Segment], dict[LaneKey, list[LaneKey]]]:
    """Every driving lane of every section that has a length, and the links between them that can be driven."""
    beginnings: dict[LaneKey, carla.Waypoint] = {}
    links: dict[LaneKey, list[LaneKey]] = {}
    for entry, successor in carla_map.get_topology():
        for waypoint in (entry, successor):
            if waypoint.lane_type == carla.LaneType.Driving:
                beginnings.setdefault(key_of(waypoint), waypoint)
        # The client pairs a lane that leads nowhere with its own end (carla PR#5378).
        leads_nowhere = key_of(entry) == key_of(successor) and entry.s != successor.s
        if not leads_nowhere and successor.lane_type == carla.LaneType.Driving:
            links.setdefault(key_of(entry), []).append(key_of(successor))
    for road, layout in roads.items():
        for number, section in enumerate(layout.sections):
            for lane in section.driving:
                if (road, number, lane) not in beginnings:  # the client leaves out some of the lanes that lead nowhere
                    beginning = _beginning(carla_map, road, lane, section, along=layout.runs_along(lane))
                    if beginning is not None:
                        beginnings.setdefault(key_of(beginning), beginning)
    long = {key for key in beginnings if roads[key[0]].sections[key[1]].length_m > _NO_LENGTH_M}
    segments = {key: _segment(beginning, roads[key[0]], long) for key, beginning in beginnings.items() if key in long}
    followed = {key: _followed(key, links, long) for key in segments}
    return segments, {
        key: [after for after in keys if _can_follow(segments[key], segments[after])] for key, keys in followed.items()
    }


def _beginning(carla_map: carla.Map, road: int, lane: int, section: Section, *, along: bool) -> carla.Waypoint | None:
    middle = carla_map.get_waypoint_xodr(road, lane, (section.start + section.end) / 2.0)
    if middle is None or section.length_m <= _NO_LENGTH_M:
        return None
    back_m = (middle.s - section.start if along else section.end - middle.s) - 1e-6
    found = middle.previous(back_m) if back_m > 0.0 else []
    return found[0] if len(found) == 1 and key_of(found[0]) == key_of(middle) else middle


def _segment(beginning: carla.Waypoint, layout: RoadLayout, long: set[LaneKey]) -> _Segment:
    key = key_of(beginning)
    section, along = layout.sections[key[1]], layout.runs_along(key[2])
    waypoints = _walk(beginning, section, _SPACING_M, along=along)
    points = _points(waypoints)
    if len(points) > 1 and _steps(points).max() > _STRETCHED_M:
        waypoints = _walk(beginning, section, _FINE_M, along=along)
        points = _points(waypoints)
    may_change = np.zeros((len(waypoints), 2), dtype=bool)
    if any(beside in long for beside in _beside(key, along=along)) and not beginning.is_junction:
        may_change[:] = [_may_change(waypoint) for waypoint in waypoints]
    return _Segment(
        key=key,
        points=points,
        map_s=np.array([_map_s(each, along) for each in waypoints]),
        width_m=np.array([each.lane_width for each in waypoints], dtype=np.float64),
        may_change=may_change,
        along=along,
        is_junction=beginning.is_junction,
    )


def _may_change(waypoint: carla.Waypoint) -> tuple[bool, bool]:
    """Whether markings let one go to the left, to the right; the client forbids no solid line that says nothing."""
    allowed = waypoint.lane_change
    sides = (carla.LaneChange.Left, waypoint.left_lane_marking), (carla.LaneChange.Right, waypoint.right_lane_marking)
    left, right = (
        allowed in (side, carla.LaneChange.Both) and (marking is None or marking.type not in _SOLID)
        for side, marking in sides
    )
    return left, right


def _walk(beginning: carla.Waypoint, section: Section, step_m: float, *, along: bool) -> list[carla.Waypoint]:
    """From a lane's beginning to the end of its section."""
    waypoints = [beginning]
    if section.is_followed and not along:
        waypoints = beginning.next(_INSIDE_M)[:1] or waypoints

    def rest_m() -> float:
        s = waypoints[-1].s
        return section.end - s if along else s - section.start

    while rest_m() >= step_m and _append_next(waypoints, step_m):
        pass
    last_m = rest_m() - (_INSIDE_M if section.is_followed and along else _ROUNDING_M)
    if last_m > _ROUNDING_M:
        _append_next(waypoints, last_m)
    return waypoints


def _append_next(waypoints: list[carla.Waypoint], distance_m: float) -> bool:
    """Whether the lane goes on for that long."""
    following = waypoints[-1].next(distance_m)
    if len(following) != 1 or key_of(following[0]) != key_of(waypoints[-1]):
        return False
    waypoints.append(following[0])
    return True


def _followed(key: LaneKey, links: dict[LaneKey, list[LaneKey]], long: set[LaneKey]) -> list[LaneKey]:
    """The lanes after this one, where those of sections without a length are skipped."""
    found: list[LaneKey] = []
    waiting, seen = list(links.get(key, ())), set()
    while waiting:
        after = waiting.pop(0)
        if after in seen:
            continue
        seen.add(after)
        if after in long:
            found.append(after)
        else:
            waiting += links.get(after, ())
    return found


def _can_follow(before: _Segment, after: _Segment) -> bool:
    """Whether a link is one that a car can drive: in a broken map they lead anywhere."""
    if np.linalg.norm(after.points[0] - before.points[-1]) > GAP_MAX_M:
        return False
    directions = [_direction(points) for points in (before.points[-3:], after.points[:3])]
    return float(directions[0] @ directions[1]) > TURN_BACK


def _direction(points: FloatArray) -> FloatArray:
    """[2] unit vector, or nothing where the points are one."""
    step = points[-1, :2] - points[0, :2]
    length = np.hypot(*step)
    return step / length if length > 1e-9 else np.zeros(2)


def _chains(segments: dict[LaneKey, _Segment], links: dict[LaneKey, list[LaneKey]]) -> list[list[LaneKey]]:
    """The segments of each lane, in the order of their first segments."""
    into: dict[LaneKey, list[LaneKey]] = {key: [] for key in segments}
    for key, afters in links.items():
        for after in afters:
            into[after].append(key)

    def goes_on(key: LaneKey) -> LaneKey | None:
        """The next segment on the same road, where there is no choice on either side."""
        if len(links[key]) != 1:
            return None
        after = links[key][0]
        on_the_road = after[0] == key[0] and segments[after].along == segments[key].along
        ahead = segments[after].map_s[0] > segments[key].map_s[0]
        return after if on_the_road and ahead and into[after] == [key] else None

    continued = {goes_on(key) for key in segments}
    chains = []
    for key in segments:
        if key in continued:
            continue
        chain = [key]
        while (following := goes_on(chain[-1])) is not None:
            chain.append(following)
        chains.append(chain)
    return chains


def _lane(segments: Sequence[_Segment]) -> Lane:
    points, s, width = (
        np.concatenate([getattr(each, name) for each in segments]) for name in ("points", "map_s", "width_m")
    )
    joints = np.cumsum([len(each.points) for each in segments])[:-1]
    steps = [points[joint - 1] - points[joint] for joint in joints]
    for joint, step in zip(joints, steps, strict=True):
        points[joint:] += spread(points[joint:], step)
    # A section begins where the last one has ended.
    points, s, width = (np.delete(array, joints, axis=0) for array in (points, s, width))
    driven = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    wide = np.flatnonzero(width >= WIDTH_MIN_M)
    return Lane(
        key=segments[0].key,
        points=points,
        driven_m=driven,
        map_s=s,
        width_m=width,
        along=segments[0].along,
        is_junction=segments[0].is_junction,
        walls_m=tuple(driven[sorted({*_jumps(_steps(points)), *_closings(wide)})]),
        wide_m=(float(driven[wide[0]]), float(driven[wide[-1]])) if wide.size else (0.0, 0.0),
    )


def _jumps(steps: FloatArray) -> Iterable[int]:
    """The last point before each jump."""
    return (int(i) for i in np.flatnonzero(steps > GAP_MAX_M))


def _closings(wide: NDArray[np.int64]) -> Iterable[int]:
    """The last point of each wide piece but the last; a lane may begin and end as narrow as it likes."""
    return (int(i) for i in wide[:-1][np.diff(wide) > 1])


def _openings(
    chain: list[LaneKey],
    segments: dict[LaneKey, _Segment],
    lanes: dict[LaneKey, Lane],
    lane_of: dict[LaneKey, LaneKey],
) -> list[Opening]:
    lane = lanes[chain[0]]
    found: list[Opening] = []
    for column in range(2):
        to: list[LaneKey | None] = []
        s: list[float] = []
        for key in chain:
            segment = segments[key]
            beside = _beside(key, along=segment.along)[column]
            to += [lane_of.get(beside) if allowed else None for allowed in segment.may_change[:, column]]
            s += segment.map_s.tolist()
        found += _runs(lane, to, s, lanes)
    return sorted(found, key=lambda opening: opening.begin_m)


def _runs(lane: Lane, to: list[LaneKey | None], s: list[float], lanes: dict[LaneKey, Lane]) -> Iterable[Opening]:
    """The stretches, long enough, along which `to` is the same lane and both are as wide as a car."""
    begin = 0
    for i in range(1, len(to) + 1):
        if i < len(to) and to[i] == to[begin]:
            continue
        other = to[begin]
        if other is not None:
            places = np.array(s[begin:i])
            both = np.minimum(
                np.interp(places, lane.map_s, lane.width_m), np.interp(places, lanes[other].map_s, lanes[other].width_m)
            )
            wide = np.flatnonzero(both >= WIDTH_MIN_M)
            for run in np.split(wide, np.flatnonzero(np.diff(wide) > 1) + 1):
                if run.size:
                    ends = lane.at(places[run[0]]), lane.at(places[run[-1]])
                    if ends[1] - ends[0] >= CHANGE_MIN_M:
                        yield Opening(other, *ends)
        begin = i


def _beside(key: LaneKey, *, along: bool) -> tuple[LaneKey, LaneKey]:
    """The lanes to its left and to its right, if there are such; beyond the middle, id 0, one drives the other way."""
    road, section, lane = key
    leftwards = 1 if along else -1
    return (road, section, lane + leftwards), (road, section, lane - leftwards)


def _map_s(waypoint: carla.Waypoint, along: bool) -> float:
    return float(waypoint.s) if along else -float(waypoint.s)


def _points(waypoints: Sequence[carla.Waypoint]) -> FloatArray:
    """[N, 3]."""
    locations = [waypoint.transform.location for waypoint in waypoints]
    return np.array([(each.x, each.y, each.z) for each in locations], dtype=np.float64)


def _steps(points: FloatArray) -> FloatArray:
    """[N - 1] distances between points that follow each other."""
    return np.linalg.norm(np.diff(points, axis=0), axis=1)
