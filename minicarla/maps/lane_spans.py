"""Lane geometry of any OpenDRIVE map: which lanes there are from the XML, where they run from `carla.Map`."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import Pose

NO_SURFACE = ("none",)


@dataclass(frozen=True, slots=True)
class LaneSpan:
    """One lane along one lane section: s from `start` to `end` (m); of a road where traffic keeps to which side."""

    road: int
    junction: int
    lane: int
    type: str
    start: float
    end: float
    left_hand: bool

    @property
    def drives_along(self) -> bool:
        """Whether its traffic drives along the road, not against it."""
        return (self.lane < 0) != self.left_hand

    @property
    def entry(self) -> float:
        """s at which its traffic comes in, m."""
        return self.start if self.drives_along else self.end

    @property
    def exit(self) -> float:
        """s at which its traffic leaves, m."""
        return self.end if self.drives_along else self.start

    @property
    def outward_deg(self) -> float:
        """What the yaw of a waypoint must be turned by to look away from the road's middle."""
        return -90.0 if self.left_hand else 90.0


def is_left_hand(road: ET.Element) -> bool:
    """Whether traffic keeps to the left on the road: its lanes of positive id are driven along it.

    The wheel's `carla.Map` does the same: it turns the waypoints round, and pairs and follows the lanes accordingly.
    """
    return road.get("rule") == "LHT"


def lane_spans(root: ET.Element) -> list[LaneSpan]:
    """Every lane with a surface, sorted by road, section and lane id."""
    spans = []
    for road in root.iter("road"):
        sections = sorted(road.iterfind("lanes/laneSection"), key=lambda section: float(section.get("s", "0")))
        starts = [float(section.get("s", "0")) for section in sections]
        for section, start, end in zip(sections, starts, [*starts[1:], float(road.get("length", "0"))], strict=True):
            spans += [
                LaneSpan(
                    int(road.get("id", "-1")), int(road.get("junction", "-1")), int(lane.get("id", "0")),
                    lane.get("type", "none"), start, end,
                    is_left_hand(road),
                )
                for lane in section.iterfind("*/lane")
                if lane.get("id") != "0" and lane.get("type", "none") not in NO_SURFACE
            ]  # fmt: skip
    return sorted(spans, key=lambda span: (span.road, span.start, span.lane))


def outermost(spans: list[LaneSpan]) -> list[LaneSpan]:
    """Of every section, the lane furthest from the middle on either side."""
    furthest: dict[tuple[int, float, bool], LaneSpan] = {}
    for span in spans:
        key = (span.road, span.start, span.lane > 0)
        if key not in furthest or abs(span.lane) > abs(furthest[key].lane):
            furthest[key] = span
    return list(furthest.values())


def pose_of(transform: carla.Transform) -> Pose:
    """The same as plain data, angles in [-180, 180): on lanes that run against their road CARLA gives 360 and more."""
    location, rotation = transform.location, transform.rotation
    pitch, yaw, roll = ((angle + 180.0) % 360.0 - 180.0 for angle in (rotation.pitch, rotation.yaw, rotation.roll))
    return Pose(location.x, location.y, location.z, pitch, yaw, roll)


def waypoints_along(carla_map: carla.Map, span: LaneSpan, step: float) -> Iterator[carla.Waypoint]:
    """Waypoints on the lane's centre, at most `step` metres apart, both ends included."""
    # CARLA resolves s at a section's border to either side of it; a millimetre keeps the ends inside.
    length = max(span.end - span.start - 2e-3, 0.0)
    count = max(int(length / step + 0.999), 1)
    for number in range(count + 1):
        waypoint = carla_map.get_waypoint_xodr(span.road, span.lane, span.start + 1e-3 + length * number / count)
        if waypoint is not None:
            yield waypoint
