"""Lane surfaces of a road network as sampled edges, read through `carla.Map`.

Its waypoints have the elevation of the road, and none of its superelevation: that is added here (`superelevation`). On
roads with `rule="LHT"` its lanes of positive id are driven along the road and those of negative id against it, and left
and right of a waypoint are as the driver sees them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import carla
import numpy as np

from minicarla.maps.superelevation import Banking

SAMPLE_STEP_M = 2.0
ASPHALT_KINDS = frozenset(
    (
        "Driving",
        "Bidirectional",
        "Parking",
        "Entry",
        "Exit",
        "OnRamp",
        "OffRamp",
        "Stop",
        "Biking",
        "Special1",
        "Special2",
        "Special3",
        "RoadWorks",
    )
)
_END_TOLERANCE_M = 0.01
_LEVEL: Mapping[int, Banking] = MappingProxyType({})


@dataclass(frozen=True)
class Marking:
    """Paint on a lane's edge. kind, colour: names of `carla.LaneMarkingType`, `carla.LaneMarkingColor`; width in m."""

    kind: str
    colour: str
    width: float


@dataclass(frozen=True)
class Lane:
    """One lane of one road section, sampled along the road.

    left, right: [N, 3] m, the edges; right is the one away from the road's middle. s: [N] m along the road.
    left_marks, right_marks: the N markings at the samples. kind: name of its `carla.LaneType`.
    """

    road_id: int
    lane_id: int
    kind: str
    junction_id: int | None
    s: np.ndarray
    left: np.ndarray
    right: np.ndarray
    left_marks: tuple[Marking, ...]
    right_marks: tuple[Marking, ...]


def read_lanes(carla_map: carla.Map, banked: Mapping[int, Banking] = _LEVEL) -> list[Lane]:
    """All lanes of the road sections that have a driving lane, ordered by road, section and lane.

    `banked` has the tilted roads by their ids.
    """
    sections: dict[tuple[int, int], dict[int, list[carla.Waypoint]]] = {}
    for waypoint in carla_map.generate_waypoints(SAMPLE_STEP_M):
        section = sections.setdefault((waypoint.road_id, waypoint.section_id), {})
        section.setdefault(waypoint.lane_id, []).append(waypoint)
    lanes: list[Lane] = []
    for road_id, section_id in sorted(sections):
        beside = list(_section_lanes(carla_map, sections[road_id, section_id]))
        lanes += _tilted(beside, banked[road_id]) if road_id in banked else beside
    return lanes


def _section_lanes(carla_map: carla.Map, driving: dict[int, list[carla.Waypoint]]) -> Iterator[Lane]:
    runs = [sorted(run, key=lambda waypoint: waypoint.s) for run in driving.values()]
    longest = max(runs, key=len)
    middle = longest[len(longest) // 2]
    first, last = _section_end(carla_map, longest[0], -1.0), _section_end(carla_map, longest[-1], 1.0)
    count = max(2, int(np.ceil((last - first) / SAMPLE_STEP_M)) + 1)
    s = np.linspace(first, last, count)
    lane_ids = sorted({lane_id for run in runs for lane_id in _neighbours(run[len(run) // 2])})
    for lane_id in lane_ids:
        points = [carla_map.get_waypoint_xodr(middle.road_id, lane_id, float(value)) for value in s]
        kept = [i for i, point in enumerate(points) if point is not None]
        if len(kept) > 1:
            yield _lane([points[i] for i in kept], s[kept])


def _section_end(carla_map: carla.Map, waypoint: carla.Waypoint, direction: float) -> float:
    """s of the lane section's end beyond `waypoint`, by bisection: the API does not name it."""
    inside = waypoint.s
    outside = inside + direction * 2.0 * SAMPLE_STEP_M
    while abs(outside - inside) > _END_TOLERANCE_M:
        middle = 0.5 * (inside + outside)
        found = carla_map.get_waypoint_xodr(waypoint.road_id, waypoint.lane_id, middle) if middle >= 0.0 else None
        if found is not None and found.section_id == waypoint.section_id:
            inside = middle
        else:
            outside = middle
    return inside


def _neighbours(waypoint: carla.Waypoint) -> set[int]:
    """Ids of the lanes on this side of the road, the waypoint's own included."""
    found = {waypoint.lane_id}
    for step in ("get_left_lane", "get_right_lane"):
        other = getattr(waypoint, step)()
        while other is not None and other.lane_id * waypoint.lane_id > 0 and other.lane_id not in found:
            found.add(other.lane_id)
            other = getattr(other, step)()
    return found


def _lane(points: list[carla.Waypoint], s: np.ndarray) -> Lane:
    transforms = [point.transform for point in points]
    centre = np.array([(t.location.x, t.location.y, t.location.z) for t in transforms])
    yaw_rad = np.deg2rad([t.rotation.yaw for t in transforms])
    rightwards = np.stack([-np.sin(yaw_rad), np.cos(yaw_rad), np.zeros_like(yaw_rad)], axis=1)
    half_width = 0.5 * np.array([point.lane_width for point in points])[:, None]
    left_marks = tuple(_marking(point.left_lane_marking) for point in points)
    right_marks = tuple(_marking(point.right_lane_marking) for point in points)
    start = points[0]
    # A waypoint looks the way that is driven. Where one keeps to the right, its right is away from the road's middle.
    if _drives_on_the_left(centre, yaw_rad, start.lane_id):
        rightwards, left_marks, right_marks = -rightwards, right_marks, left_marks
    return Lane(
        road_id=start.road_id,
        lane_id=start.lane_id,
        kind=str(start.lane_type),
        junction_id=start.junction_id if start.is_junction else None,
        s=s,
        left=centre - half_width * rightwards,
        right=centre + half_width * rightwards,
        left_marks=left_marks,
        right_marks=right_marks,
    )


def _drives_on_the_left(centre: np.ndarray, yaw_rad: np.ndarray, lane_id: int) -> bool:
    """Whether the lane, sampled with rising s, is driven against the road on its right side or along it on its left."""
    along, aside = centre[1, :2] - centre[0, :2]
    with_the_road = along * np.cos(yaw_rad[0]) + aside * np.sin(yaw_rad[0]) > 0.0
    return bool(with_the_road == (lane_id > 0))


def _tilted(section: list[Lane], banking: Banking) -> Iterator[Lane]:
    """The lanes of one section with the height that the road's roll gives them."""
    for lane in section:
        side = 1.0 if lane.lane_id > 0 else -1.0
        inner = [other for other in section if 0.0 < other.lane_id * side < lane.lane_id * side]
        width = np.linalg.norm(lane.right - lane.left, axis=1)
        passed = sum((np.interp(lane.s, other.s, np.linalg.norm(other.right - other.left, axis=1)) for other in inner),
                     np.zeros(len(width)))  # fmt: skip
        rise, start = banking.rise(lane.s), banking.lane_offset.at(lane.s)
        left, right = lane.left.copy(), lane.right.copy()
        left[:, 2] += rise * (start + side * passed)
        right[:, 2] += rise * (start + side * (passed + width))
        yield replace(lane, left=left, right=right)


def _marking(mark: carla.LaneMarking | None) -> Marking:
    if mark is None:
        return Marking("NONE", "White", 0.0)
    return Marking(str(mark.type), str(mark.color), float(mark.width))
