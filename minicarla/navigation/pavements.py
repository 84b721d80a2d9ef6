"""The pavements of any OpenDRIVE map as strips of cells, and the roads that lie between two of them."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from xml.etree import ElementTree as ET

import carla
import numpy as np

from minicarla.maps.lane_spans import LaneSpan, lane_spans

ROADWAY = ("driving", "bidirectional")
SAMPLE_STEP_M = 2.0
CHORD_TOLERANCE_M = 0.06  # by which a cell's straight edge may miss the lane's own
MAX_CELL_M = 25.0  # paths run by the middles of the cells' edges, so long cells make detours
MIN_WIDTH_M = 0.5  # of a cell; narrower ones are no place to walk
CLEARANCE_M = 0.3  # from houses and kerbs: the radius of the crowd's walkers (LibCarla, nav/Navigation.cpp)
_BORDER_M = 1e-3  # CARLA resolves s at a section's border to either side of it


class Area(IntEnum):
    """What a polygon is; source: NavAreas in LibCarla's nav/Navigation.h."""

    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3


@dataclass
class Strip:
    """Cells side by side along one lane section.

    s: [N] m along the road. lines: B polylines of [N, 3] m from the road's left to its right; between lines k and k + 1
    lie cells of the kind areas[k], or nothing where that is None. kerbs: the lines between a pavement and the roadway.
    """

    s: np.ndarray
    lines: list[np.ndarray]
    areas: list[Area | None]
    kerbs: tuple[int, ...]

    def insert(self, stations: Iterable[float]) -> None:
        """Adds samples at these s (m), by linear interpolation."""
        s = np.union1d(self.s, np.fromiter(stations, np.float64))
        self.lines = [np.stack([np.interp(s, self.s, line[:, k]) for k in range(3)], axis=1) for line in self.lines]
        self.s = s

    def thin(self, kept: Iterable[float], free_of: Sequence[tuple[float, float]]) -> None:
        """Drops the samples that straight edges between the others follow within `CHORD_TOLERANCE_M`.

        Args:
          kept: stations (m) that stay.
          free_of: spans (m) within which none stays.
        """
        inside = np.zeros(len(self.s), bool)
        for start, end in free_of:
            inside |= (self.s > start) & (self.s < end)
        inside[[0, -1]] = False
        points = np.stack(self.lines, axis=1)[~inside]
        s = self.s[~inside]
        fixed = np.isin(s, np.fromiter(kept, np.float64))
        chosen = [0]
        while chosen[-1] < len(s) - 1:
            chosen.append(_furthest(s, points, fixed, chosen[-1]))
        self.s = s[chosen]
        self.lines = [points[chosen, k] for k in range(len(self.lines))]


def _furthest(s: np.ndarray, points: np.ndarray, fixed: np.ndarray, start: int) -> int:
    """The last sample that a straight edge of every line from `start` may reach."""
    for end in range(start + 2, len(s)):
        first, last = points[start], points[end]
        share = (s[start + 1 : end] - s[start]) / (s[end] - s[start])
        chord = first + share[:, None, None] * (last - first)
        off = np.abs(points[start + 1 : end] - chord).max()
        if fixed[end - 1] or s[end] - s[start] > MAX_CELL_M or off > CHORD_TOLERANCE_M:
            return end - 1
    return len(s) - 1


def read_strips(root: ET.Element, carla_map: carla.Map) -> list[Strip]:
    """A strip for every lane section that has a pavement, ordered by road and section.

    Outside junctions, sections without a driving lane are not built (`lane_edges.read_lanes`): who walked there would
    walk on air.
    """
    grouped = itertools.groupby(lane_spans(root), key=lambda span: (span.road, span.start))
    sections = (list(spans) for _, spans in grouped)
    built = (s for s in sections if s[0].junction >= 0 or any(span.type == "driving" for span in s))
    strips = (_read_strip(carla_map, spans) for spans in built)
    return [strip for strip in strips if strip is not None]


def _read_strip(carla_map: carla.Map, spans: list[LaneSpan]) -> Strip | None:
    leftmost_first = spans[::-1]
    lines: list[np.ndarray] = []
    areas: list[Area | None] = []
    kerbs: list[int] = []
    stations: np.ndarray | None = None
    last, before = len(leftmost_first) - 1, -1
    for first, end in _pavements(leftmost_first):
        read = _edges(carla_map, leftmost_first[first : end + 1])
        if read is None:
            continue
        stations, left, right = read
        left, right = _inset(left, right)
        if lines:
            is_road = any(span.type in ROADWAY for span in leftmost_first[before + 1 : first])
            areas.append(Area.ROAD if is_road else None)
        before = end
        base = len(lines)
        lines += [left, right]
        areas.append(Area.SIDEWALK)
        kerbs += [base] if first > 0 else []
        kerbs += [base + 1] if end < last else []
    return None if stations is None else Strip(stations, lines, areas, tuple(kerbs))


def _pavements(lanes: list[LaneSpan]) -> list[tuple[int, int]]:
    """First and last index of every run of neighbouring pavements."""
    runs = itertools.groupby(range(len(lanes)), key=lambda index: lanes[index].type == "sidewalk")
    members = [list(indices) for is_pavement, indices in runs if is_pavement]
    return [(indices[0], indices[-1]) for indices in members]


def _edges(carla_map: carla.Map, lanes: list[LaneSpan]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Stations and the outer edges of neighbouring lanes, left and right as seen along the road; None if unreadable."""
    span = lanes[0]
    length = max(span.end - span.start - 2.0 * _BORDER_M, 0.0)
    s = np.linspace(0.0, length, max(2, math.ceil(length / SAMPLE_STEP_M) + 1)) + span.start + _BORDER_M
    edges = []
    for lane, side in ((lanes[0], -1.0), (lanes[-1], 1.0)):
        edge = _lane_edge(carla_map, lane, s, side)
        if edge is None:
            return None
        edges.append(edge)
    left, right = edges
    if float(np.linalg.norm(right - left, axis=1).max()) < MIN_WIDTH_M or length < _BORDER_M:
        return None
    return s, left, right


def _lane_edge(carla_map: carla.Map, lane: LaneSpan, s: np.ndarray, side: float) -> np.ndarray | None:
    """[N, 3] m: the lane's edge, the right one along the road for `side` 1 and the left one for -1."""
    points = [carla_map.get_waypoint_xodr(lane.road, lane.lane, float(value)) for value in s]
    if any(point is None for point in points):
        return None
    transforms = [point.transform for point in points]
    centre = np.array([(t.location.x, t.location.y, t.location.z) for t in transforms])
    yaw_rad = np.deg2rad([t.rotation.yaw for t in transforms])
    # A waypoint on a lane of positive id looks against the road.
    rightwards = np.stack([-np.sin(yaw_rad), np.cos(yaw_rad), np.zeros_like(yaw_rad)], axis=1)
    along = 1.0 if lane.lane < 0 else -1.0
    half_width = 0.5 * np.array([point.lane_width for point in points])[:, None]
    return centre + side * along * half_width * rightwards


def _inset(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A pavement's edges, moved inwards by `CLEARANCE_M` where there is room for that."""
    across = right - left
    width = np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    inset = np.where(width > 2.0 * CLEARANCE_M + MIN_WIDTH_M, CLEARANCE_M, 0.0) * across / width
    return left + inset, right - inset
