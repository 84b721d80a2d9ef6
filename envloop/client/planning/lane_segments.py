"""The driving lanes of a map within one lane section each, walked along, and the links between them.

The client's `next_until_lane_end` is not used: it runs on into the next section, and ends the process where a lane ends
in the middle of a road (carla#2511). Each segment is walked by `next`, as far as its own section goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.planning.road_layout import RoadLayout, Section
from envloop.client.planning.steps import FloatArray, gaps_m

LaneKey = tuple[int, int, int]  # road, section, lane

GAP_MAX_M = 2.0  # between two points that follow each other
TURN_BACK = -0.2  # cosine: nobody turns by more than 100 degrees on the spot
_SPACING_M = 1.0
_FINE_M = 0.25  # on the outside of tight bends
_STRETCHED_M = 1.8
_ROUNDING_M = 2.0**-52  # next() of exactly the rest of a section would leave it
_NO_LENGTH_M = 1e-3
# At the very end of a section within a road the client would look up width and offset of the next one.
_INSIDE_M = 1e-6
_SOLID = (carla.LaneMarkingType.Solid, carla.LaneMarkingType.SolidSolid)


@dataclass(frozen=True)
class Segment:
    """A driving lane within one section, in driving direction.

    Attributes:
      key: which one.
      points: [N, 3] of its centre, m.
      map_s: [N] the road's own s there, negated where the lane runs against it, so that it increases.
      width_m: [N].
      may_change: [N, 2] whether the markings let one change to the left, to the right.
      along: whether it is driven in the direction of the road's s.
      is_junction: whether its road belongs to a junction.
    """

    key: LaneKey
    points: FloatArray
    map_s: FloatArray
    width_m: FloatArray
    may_change: NDArray[np.bool_]
    along: bool
    is_junction: bool


@dataclass(frozen=True)
class Segments:
    """All segments that have a length, in the order of the client's topology, and the links between them.

    `torn` are the links of the map that no car can follow: they join ends that do not meet, or turn back.
    """

    by_key: dict[LaneKey, Segment]
    links: dict[LaneKey, list[LaneKey]]
    torn: tuple[tuple[LaneKey, LaneKey], ...]


def key_of(waypoint: carla.Waypoint) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def lane_text(key: LaneKey) -> str:
    """A lane for people."""
    road, section, lane = key
    return f"lane {lane} of road {road}, section {section}"


def beside(key: LaneKey, *, along: bool) -> tuple[LaneKey, LaneKey]:
    """The lanes to its left and to its right, if there are such; beyond the middle, id 0, one drives the other way."""
    road, section, lane = key
    leftwards = 1 if along else -1
    return (road, section, lane + leftwards), (road, section, lane - leftwards)


def map_s_of(waypoint: carla.Waypoint, along: bool) -> float:
    """The waypoint's s as in `Segment`."""
    return float(waypoint.s) if along else -float(waypoint.s)


def read_segments(carla_map: carla.Map, roads: dict[int, RoadLayout]) -> Segments:
    """Walks along every driving lane of every section; `roads` are the map's layouts by road id."""
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
    pairs = [(key, after) for key, afters in followed.items() for after in afters]
    torn = {pair: None for pair in pairs if not _can_follow(segments[pair[0]], segments[pair[1]])}
    whole = {key: [after for after in afters if (key, after) not in torn] for key, afters in followed.items()}
    return Segments(segments, whole, tuple(torn))


def _beginning(carla_map: carla.Map, road: int, lane: int, section: Section, *, along: bool) -> carla.Waypoint | None:
    middle = carla_map.get_waypoint_xodr(road, lane, (section.start + section.end) / 2.0)
    if middle is None or section.length_m <= _NO_LENGTH_M:
        return None
    back_m = (middle.s - section.start if along else section.end - middle.s) - 1e-6
    found = middle.previous(back_m) if back_m > 0.0 else []
    return found[0] if len(found) == 1 and key_of(found[0]) == key_of(middle) else middle


def _segment(beginning: carla.Waypoint, layout: RoadLayout, long: set[LaneKey]) -> Segment:
    key = key_of(beginning)
    section, along = layout.sections[key[1]], layout.runs_along(key[2])
    waypoints = _walk(beginning, section, _SPACING_M, along=along)
    points = _points(waypoints)
    if len(points) > 1 and gaps_m(points).max() > _STRETCHED_M:
        waypoints = _walk(beginning, section, _FINE_M, along=along)
        points = _points(waypoints)
    may_change = np.zeros((len(waypoints), 2), dtype=bool)
    if not long.isdisjoint(beside(key, along=along)) and not beginning.is_junction:
        may_change[:] = [_may_change(waypoint) for waypoint in waypoints]
    return Segment(
        key=key,
        points=points,
        map_s=np.array([map_s_of(each, along) for each in waypoints]),
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

    while rest_m() >= step_m and _append_next(waypoints, step_m, along=along):
        pass
    last_m = rest_m() - (_INSIDE_M if section.is_followed and along else _ROUNDING_M)
    if last_m > _ROUNDING_M:
        _append_next(waypoints, last_m, along=along)
    return waypoints


def _append_next(waypoints: list[carla.Waypoint], distance_m: float, *, along: bool) -> bool:
    """Whether the lane goes on for that long."""
    last, following = waypoints[-1], waypoints[-1].next(distance_m)
    if len(following) != 1 or key_of(following[0]) != key_of(last):
        return False
    if map_s_of(following[0], along) <= map_s_of(last, along):  # a ring has begun anew
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


def _can_follow(before: Segment, after: Segment) -> bool:
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


def _points(waypoints: Sequence[carla.Waypoint]) -> FloatArray:
    """[N, 3]."""
    locations = [waypoint.transform.location for waypoint in waypoints]
    return np.array([(each.x, each.y, each.z) for each in locations], dtype=np.float64)
