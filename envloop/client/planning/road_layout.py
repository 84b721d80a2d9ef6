"""What `carla.Map` does not tell of its roads: where lane sections end, which lanes there are, which rule they keep.

Read from the map's OpenDRIVE text. The client numbers sections in the order of the file, and lets a section end where
the next greater s begins (LibCarla's road/Road.h).
"""

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Section:
    """One lane section: s from `start` to `end` in metres, and the ids of its driving lanes in the file's order.

    `is_followed` says whether another one begins at its end.
    """

    start: float
    end: float
    driving: tuple[int, ...]
    is_followed: bool

    @property
    def length_m(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class RoadLayout:
    """A road's sections by the client's section ids, and whether it is driven on the left (`rule="LHT"`)."""

    sections: tuple[Section, ...]
    left_hand: bool

    def runs_along(self, lane: int) -> bool:
        """Whether a lane is driven in the direction of s: on the right of the reference line, or on its left."""
        return (lane > 0) == self.left_hand


def road_layouts(opendrive: str) -> dict[int, RoadLayout]:
    """The roads of a map by their id; `opendrive` is a text that `carla.Map` has accepted."""
    root = ET.fromstring(opendrive)
    for element in root.iter():  # the client knows no namespaces
        element.tag = element.tag.rpartition("}")[2]
    return {int(_number(road, "id")): _layout(road) for road in root.iterfind("road")}


def _layout(road: ET.Element) -> RoadLayout:
    elements = road.findall("lanes/laneSection")
    starts = [_number(element, "s") for element in elements]
    length = _number(road, "length")
    sections = []
    for element, start in zip(elements, starts, strict=True):
        end = min((s for s in starts if s > start), default=length)
        lanes = (int(_number(lane, "id")) for lane in element.iterfind("*/lane") if lane.get("type") == "driving")
        sections.append(Section(start, end, tuple(lane for lane in lanes if lane != 0), end in starts))
    return RoadLayout(tuple(sections), road.get("rule") == "LHT")


def _number(element: ET.Element, name: str) -> float:
    """An attribute as the client reads it: 0 where there is none."""
    try:
        value = float(element.get(name, "0"))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
