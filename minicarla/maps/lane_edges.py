"""Lane surfaces of a road network as sampled edges, read through `carla.Map`."""

from collections.abc import Iterator
from dataclasses import dataclass

import carla
import numpy as np

SAMPLE_STEP_M = 2.0
_END_TOLERANCE_M = 0.01


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


def read_lanes(carla_map: carla.Map) -> list[Lane]:
    """All lanes of the road sections that have a driving lane, ordered by road, section and lane."""
    sections: dict[tuple[int, int], dict[int, list[carla.Waypoint]]] = {}
    for waypoint in carla_map.generate_waypoints(SAMPLE_STEP_M):
        section = sections.setdefault((waypoint.road_id, waypoint.section_id), {})
        section.setdefault(waypoint.lane_id, []).append(waypoint)
    return [lane for key in sorted(sections) for lane in _section_lanes(carla_map, sections[key])]


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
    # A waypoint on a lane of positive id looks against the road: its right is away from the middle, as on the others.
    start = points[0]
    return Lane(
        road_id=start.road_id,
        lane_id=start.lane_id,
        kind=str(start.lane_type),
        junction_id=start.junction_id if start.is_junction else None,
        s=s,
        left=centre - half_width * rightwards,
        right=centre + half_width * rightwards,
        left_marks=tuple(_marking(point.left_lane_marking) for point in points),
        right_marks=tuple(_marking(point.right_lane_marking) for point in points),
    )


def _marking(mark: carla.LaneMarking | None) -> Marking:
    if mark is None:
        return Marking("NONE", "White", 0.0)
    return Marking(str(mark.type), str(mark.color), float(mark.width))
