"""The map from above: for the evaluation video and for pictures of driven routes. Plain geometry, drawn with OpenCV."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np

_PIXELS_PER_METRE = 4.0
_MARGIN = 40.0  # m around the road network
_OUTLINE_TOLERANCE_M = 0.1
_TRACK_TOLERANCE_M = 0.2  # between a driven line and its thinned form
_SHEET_SCALE = 0.2
_SHIFT = 4  # OpenCV's fixed-point bits: sub-pixel edges
GRASS, ROAD, EDGE, ROUTE, EGO, NPC = (
    (58, 84, 52),
    (92, 92, 96),
    (190, 190, 190),
    (70, 160, 255),
    (255, 205, 40),
    (230, 80, 70),
)


def lane_polygons(carla_map: Any) -> list[np.ndarray]:
    """Outline [N, 2] (x, y in m) of every driving lane segment of a `carla.Map`."""
    polygons = []
    for start, _ in carla_map.get_topology():
        waypoints = [start, *start.next_until_lane_end(1.0)]
        centre = np.array([[w.transform.location.x, w.transform.location.y] for w in waypoints])
        right = np.array([[v.x, v.y] for v in (w.transform.get_right_vector() for w in waypoints)])
        half = np.array([[w.lane_width / 2] for w in waypoints])
        polygons.append(np.concatenate([centre + half * right, (centre - half * right)[::-1]]))
    return polygons


def box_corners(x: float, y: float, yaw_deg: float, half_length: float, half_width: float) -> np.ndarray:
    """The four corners [4, 2] of an oriented box on the ground."""
    yaw = np.deg2rad(yaw_deg)
    forward, right = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    return np.array([x, y]) + half_length * signs[:, :1] * forward + half_width * signs[:, 1:] * right


def thin_outline(polygon: np.ndarray) -> np.ndarray:
    """`polygon` [N, 2] (m) with the fewest of its corners that draw it to 0.1 m, float32."""
    return cv2.approxPolyDP(polygon.astype(np.float32)[:, None], _OUTLINE_TOLERANCE_M, True)[:, 0]


def thin_track(positions: Sequence[tuple[float, float]], most: int = 100) -> list[tuple[float, float]]:
    """The fewest of `positions` (x, y in m) that draw the same line to 0.2 m, coarser where more than `most` would do.

    Douglas and Peucker 1973, as OpenCV has it; the first and the last position stay, all are rounded to 0.01 m.

    Raises:
      ValueError: no positions, or `most` below 2.
    """
    if not positions or most < 2:
        raise ValueError(f"A track has at least one position and at most 2 or more, not {len(positions)} and {most}.")
    line = np.asarray(positions, np.float32)[:, None]
    tolerance = _TRACK_TOLERANCE_M
    while len(thin := cv2.approxPolyDP(line, tolerance, False)) > most:
        tolerance *= 1.5
    return [(round(float(x), 2), round(float(y), 2)) for x, y in thin[:, 0]]


class BirdsEye:
    """Draws windows of a road network with a route around the ego, heading up, and pictures of the whole.

    Args:
      polygons: driving lanes, from `lane_polygons`.
      route: [N, 2] route points, m; None for the roads alone.
    """

    def __init__(self, polygons: Sequence[np.ndarray], route: np.ndarray | None = None) -> None:
        self._polygons = list(polygons)
        self._low = np.array([polygon.min(axis=0) for polygon in polygons])
        self._high = np.array([polygon.max(axis=0) for polygon in polygons])
        self._route = route
        low, high = self._low.min(axis=0), self._high.max(axis=0)
        if route is not None:
            low, high = np.minimum(low, route.min(axis=0)), np.maximum(high, route.max(axis=0))
        self._origin, self._end = low - _MARGIN, high + _MARGIN

    def window(
        self, pose: tuple[float, float, float], boxes: Sequence[np.ndarray], size: int, metres: float
    ) -> np.ndarray:
        """A square picture, uint8 RGB [size, size, 3], `metres` wide, around the ego.

        Args:
          pose: the ego's x, y (m) and yaw (deg); it stands in the lower third, heading up.
          boxes: [4, 2] corners of everything that moves, the ego's first.
          size: pixels.
          metres: width of the view.
        """
        scale = size / metres
        yaw = np.deg2rad(pose[2])
        turn = scale * np.array([[-np.sin(yaw), np.cos(yaw)], [-np.cos(yaw), -np.sin(yaw)]])  # right is +u, ahead is -v
        offset = np.array([size / 2, size * 0.7]) - turn @ np.asarray(pose[:2])

        def pixels(points: np.ndarray) -> np.ndarray:
            return _to_fixed(points[:, :2] @ turn.T + offset)

        view = np.full((size, size, 3), GRASS, np.uint8)
        here, reach = np.asarray(pose[:2]), metres  # the farthest corner is 0.86 widths away
        near = np.flatnonzero(((self._low < here + reach) & (self._high > here - reach)).all(axis=1))
        outlines = [pixels(self._polygons[i]) for i in near]
        for outline in outlines:
            cv2.polylines(view, [outline], True, EDGE, max(1, round(0.5 * scale)), cv2.LINE_AA, _SHIFT)
        for outline in outlines:
            cv2.fillPoly(view, [outline], ROAD, cv2.LINE_AA, _SHIFT)
        if self._route is not None:
            cv2.polylines(view, [pixels(self._route)], False, ROUTE, max(1, round(scale)), cv2.LINE_AA, _SHIFT)
        for i, corners in enumerate(boxes):
            cv2.fillPoly(view, [pixels(corners)], EGO if i == 0 else NPC, cv2.LINE_AA, _SHIFT)
        return view

    @cached_property
    def _map(self) -> np.ndarray:
        """The whole, uint8 RGB, at `_PIXELS_PER_METRE`."""
        width, height = np.ceil((self._end - self._origin) * _PIXELS_PER_METRE).astype(int)
        picture = np.full((height, width, 3), GRASS, np.uint8)
        outlines = [self._fixed(polygon) for polygon in self._polygons]
        for outline in outlines:
            cv2.polylines(picture, [outline], True, EDGE, 2, cv2.LINE_AA, _SHIFT)
        for outline in outlines:
            cv2.fillPoly(picture, [outline], ROAD, cv2.LINE_AA, _SHIFT)
        if self._route is not None:
            cv2.polylines(picture, [self._fixed(self._route)], False, ROUTE, 4, cv2.LINE_AA, _SHIFT)
        return picture

    def overview(self, tracks: Sequence[np.ndarray], shown: Sequence[np.ndarray] = ()) -> np.ndarray:
        """uint8 RGB [H, W, 3]: the part of the map that `tracks` ([N, 2] driven positions, m) cover, and the tracks.

        The part covers the points [N, 2] of `shown` as well.
        """
        picture = self._map.copy()
        for track in tracks:
            cv2.polylines(picture, [self._fixed(track)], False, EGO, 3, cv2.LINE_AA, _SHIFT)
        points = (np.concatenate([*tracks, *shown]) - self._origin) * _PIXELS_PER_METRE
        pad = _MARGIN * _PIXELS_PER_METRE
        (left, top), (right, bottom) = (
            np.floor(points.min(0) - pad).astype(int),
            np.ceil(points.max(0) + pad).astype(int),
        )
        return picture[max(top, 0) : bottom, max(left, 0) : right]

    def sheet(self, ways: Sequence[np.ndarray], first: int = 0) -> np.ndarray:
        """uint8 RGB [H, W, 3]: the map once for each of `ways` ([N, 2] points, m), drawn on it, in a grid.

        They are numbered from `first` on.
        """
        small = cv2.resize(self._map, None, fx=_SHEET_SCALE, fy=_SHEET_SCALE, interpolation=cv2.INTER_AREA)
        columns = math.ceil(math.sqrt(len(ways)))
        rows = math.ceil(len(ways) / columns)
        picture = np.full((rows * small.shape[0], columns * small.shape[1], 3), GRASS, np.uint8)
        for i, way in enumerate(ways):
            tile = small.copy()
            pixels = (way - self._origin) * _PIXELS_PER_METRE * _SHEET_SCALE
            cv2.polylines(tile, [_to_fixed(pixels)], False, ROUTE, 4, cv2.LINE_AA, _SHIFT)
            for end, colour in ((0, EGO), (-1, NPC)):
                cv2.circle(tile, tuple(_to_fixed(pixels[end])), 6 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
            cv2.putText(tile, str(first + i), (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
            row, column = divmod(i, columns)
            top, left = row * small.shape[0], column * small.shape[1]
            picture[top : top + small.shape[0], left : left + small.shape[1]] = tile
        return picture

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return _to_fixed((points[:, :2] - self._origin) * _PIXELS_PER_METRE)


def _to_fixed(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)
