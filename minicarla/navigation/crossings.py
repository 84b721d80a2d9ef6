"""Crossings: the crosswalks of the map, each from kerb to kerb."""

from collections.abc import Sequence
from dataclasses import dataclass

import carla
import cv2
import numpy as np

from minicarla.navigation.pavements import Strip

PROBE_STEP_M = 0.25
REACH_M = 1.0  # from a crosswalk to its kerbs: maps leave gutters between them, and shoulders
MIN_WIDTH_M = 1.0
MIN_LENGTH_M = 2.0
MAX_CLIMB_M = 1.5  # between a crosswalk and its kerbs: one on a bridge has none below


@dataclass(frozen=True)
class Landing:
    """Where a crossing meets a kerb: line `kerb` of strip `strip`, from `start` to `end` m along its road."""

    strip: int
    kerb: int
    start: float
    end: float


@dataclass(frozen=True)
class Crossing:
    near: Landing
    far: Landing


def crosswalks(carla_map: carla.Map) -> list[np.ndarray]:
    """The outlines of the map's crosswalks, [N, 3] m each, as `carla.Map.get_crosswalks` gives them."""
    outlines = []
    outline: list[tuple[float, float, float]] = []
    for location in carla_map.get_crosswalks():
        point = (location.x, location.y, location.z)
        if outline and point == outline[0]:  # an outline ends where it began
            outlines.append(np.array(outline))
            outline = []
        else:
            outline.append(point)
    return [outline for outline in outlines if len(outline) > 2]


def find_crossings(strips: Sequence[Strip], outlines: Sequence[np.ndarray]) -> list[Crossing]:
    """The crosswalks that join two kerbs; the others lead nowhere and are left out."""
    kerbs = [_Kerb.of(strips, index, line) for index, strip in enumerate(strips) for line in strip.kerbs]
    taken: dict[tuple[int, int], list[Landing]] = {}
    found = []
    for outline in outlines:
        # Which way people walk, the map does not say.
        ways = [_widest_pair(_landings(kerbs, outline, axis)) for axis in (0, 1)]
        _, pair = max(ways, key=lambda way: way[0])
        if pair is None or any(_collides(landing, taken) for landing in (pair.near, pair.far)):
            continue
        found.append(pair)
        for landing in (pair.near, pair.far):
            taken.setdefault((landing.strip, landing.kerb), []).append(landing)
    return found


@dataclass(frozen=True)
class _Kerb:
    strip: int
    line: int
    s: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, strips: Sequence[Strip], index: int, line: int) -> "_Kerb":
        strip = strips[index]
        count = max(2, int((strip.s[-1] - strip.s[0]) / PROBE_STEP_M) + 1)
        s = np.linspace(strip.s[0], strip.s[-1], count)
        points = np.stack([np.interp(s, strip.s, strip.lines[line][:, k]) for k in range(3)], axis=1)
        return cls(index, line, s, points)

    def is_near(self, low: np.ndarray, high: np.ndarray) -> bool:
        return bool((self.points.max(axis=0)[:2] >= low).all() and (self.points.min(axis=0)[:2] <= high).all())

    def landing(self, inside: np.ndarray) -> Landing | None:
        """The longest stretch of points that are `inside`, if it is wide enough to walk on."""
        ends = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
        runs = [(self.s[first], self.s[end - 1]) for first, end in ends.reshape(-1, 2)]
        start, end = max(runs, key=lambda run: run[1] - run[0], default=(0.0, 0.0))
        return Landing(self.strip, self.line, float(start), float(end)) if end - start >= MIN_WIDTH_M else None

    def middle(self, landing: Landing) -> np.ndarray:
        within = (self.s >= landing.start) & (self.s <= landing.end)
        return np.asarray(self.points[within].mean(axis=0))


def _landings(kerbs: Sequence[_Kerb], outline: np.ndarray, axis: int) -> list[tuple[Landing, np.ndarray]]:
    """Where kerbs run through the crosswalk's rectangle, lengthened along one of its axes; and the middles, m."""
    centre, size, angle_deg = cv2.minAreaRect(outline[:, :2].astype(np.float32))
    reach = 0.5 * np.array(size)
    reach[axis] += REACH_M
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    axes = np.array([(cos, -sin), (sin, cos)])
    corners = np.array(centre) + np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)]) * reach @ axes.T
    found = []
    for kerb in kerbs:
        if kerb.is_near(corners.min(axis=0), corners.max(axis=0)):
            inside = (np.abs((kerb.points[:, :2] - centre) @ axes) <= reach).all(axis=1)
            inside &= np.abs(kerb.points[:, 2] - outline[:, 2].mean()) < MAX_CLIMB_M
            landing = kerb.landing(inside)
            if landing is not None:
                found.append((landing, kerb.middle(landing)))
    return found


def _widest_pair(landings: list[tuple[Landing, np.ndarray]]) -> tuple[float, Crossing | None]:
    """The pair whose narrower landing is the widest, and its width; of landings that lie far enough apart."""
    best: tuple[float, Crossing | None] = (0.0, None)
    for rank, (a, place_a) in enumerate(landings):
        for b, place_b in landings[rank + 1 :]:
            width = min(a.end - a.start, b.end - b.start)
            if width > best[0] and np.linalg.norm(place_a - place_b) >= MIN_LENGTH_M:
                best = width, Crossing(a, b)
    return best


def _collides(landing: Landing, taken: dict[tuple[int, int], list[Landing]]) -> bool:
    others = taken.get((landing.strip, landing.kerb), ())
    return any(landing.start < other.end and other.start < landing.end for other in others)
