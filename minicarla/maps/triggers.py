"""Where signs and lights speak to vehicles: boxes on the lanes that a signal is valid for, where CARLA has them.

Source: CARLA's USignComponent and its children (SpeedLimitComponent.cpp, StopSignComponent.cpp,
TrafficLightComponent.cpp).
"""

import math
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import OrientedBox
from minicarla.maps.lane_spans import LaneSpan, lane_spans, pose_of

STOP_HALF_LENGTH_M, STOP_HALF_HEIGHT_M = 1.5, 1.0
STOP_BACK_M = 3.0  # of the box's middle from the signal, or from the junction
STOP_WIDTH_SHARE = 0.25  # half width of a box at which vehicles stop, per lane width
_INSIDE_M = 1e-3  # CARLA resolves s at a section's border to either side of it
_STEP_BACK_M = 0.2  # from the start of a connecting lane to the one before it

Place = tuple[LaneSpan, float]  # a lane of one section, and s along its road, m


class LaneTriggers:
    """The places of a map's signals on its driving lanes, and boxes there."""

    def __init__(self, root: ET.Element, carla_map: carla.Map) -> None:
        self._map = carla_map
        self._spans: dict[tuple[int, int], list[LaneSpan]] = {}
        for span in lane_spans(root):
            if span.type == "driving":
                self._spans.setdefault((span.road, span.lane), []).append(span)

    def places(self, landmarks: Iterable[carla.Landmark]) -> Iterator[Place]:
        """Every driving lane that one of the landmarks (mentions of a signal) is valid for, at its s."""
        for landmark in landmarks:
            for first, last in landmark.get_lane_validities():
                for lane in range(min(first, last), max(first, last) + 1):
                    span = self._span(landmark.road_id, lane, landmark.s)
                    if span is not None:
                        yield span, landmark.s

    def before_junction(self, place: Place) -> Place:
        """The end of the lane that leads to a place in a junction, if exactly one from outside does; or the place."""
        span, _ = place
        before = self.places_before(span) if span.junction != -1 else []
        return before[0] if len(before) == 1 and before[0][0].junction == -1 else place

    def places_before(self, span: LaneSpan) -> list[Place]:
        """The ends of the lanes from which traffic comes onto this one."""
        waypoint = self._waypoint((span, span.entry))
        found = []
        for before in [] if waypoint is None else waypoint.previous(_STEP_BACK_M):
            lane = self._span(before.road_id, before.lane_id, before.s)
            if lane is not None:
                found.append((lane, lane.exit))
        return found

    def lanes_of_junction(self, junction: int) -> list[LaneSpan]:
        """Its driving lanes."""
        return [span for spans in self._spans.values() for span in spans if span.junction == junction]

    def stop_box(self, place: Place) -> OrientedBox | None:
        """The box at which CARLA's vehicles notice a light, a stop or a yield sign."""
        return self._box(place, STOP_BACK_M, STOP_HALF_LENGTH_M, STOP_WIDTH_SHARE, STOP_HALF_HEIGHT_M)

    def square_box(self, place: Place, half_share: float) -> OrientedBox | None:
        """A cube whose front is at the place, `half_share` of the lane's width in half size."""
        half = self._half(place, half_share)
        return None if half is None else self._box(place, half, half, half_share, half)

    def cover(self, span: LaneSpan, half_share: float) -> tuple[OrientedBox, ...]:
        """Cubes of that half size from one end of the lane to the other, next to each other."""
        half = self._half((span, span.start), half_share)
        if half is None:
            return ()
        count = max(1, math.ceil((span.end - span.start) / (2.0 * half)))
        steps = ((span, span.start + (number + 0.5) * (span.end - span.start) / count) for number in range(count))
        return tuple(box for place in steps if (box := self._box(place, 0.0, half, half_share, half)) is not None)

    def _half(self, place: Place, share: float) -> float | None:
        waypoint = self._waypoint(place)
        return None if waypoint is None else share * waypoint.lane_width

    def _box(self, place: Place, back: float, length: float, width_share: float, height: float) -> OrientedBox | None:
        """`back` m against the traffic from the place, but still on the same lane; the rest are half sizes."""
        span, s = place
        waypoint = self._waypoint((span, s - back if span.drives_along else s + back))
        if waypoint is None:
            return None
        pose = pose_of(waypoint.transform)
        return OrientedBox(pose.x, pose.y, pose.z, pose.yaw, length, width_share * waypoint.lane_width, height)

    def _waypoint(self, place: Place) -> carla.Waypoint | None:
        span, s = place
        s = min(max(s, span.start + _INSIDE_M), max(span.end - _INSIDE_M, span.start + _INSIDE_M))
        return self._map.get_waypoint_xodr(span.road, span.lane, s)

    def _span(self, road: int, lane: int, s: float) -> LaneSpan | None:
        spans = self._spans.get((road, lane), ())
        return next((span for span in spans if span.start <= s <= span.end + _INSIDE_M), None)
