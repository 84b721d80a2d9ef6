"""The land between the roads of a map that has hills: a grid of heights that runs under the roads, and their verges.

OpenDRIVE knows roads only. Here the land lies just under the lowest road at every place, keeps the height of the
nearest road beside it, and eases off in between. A verge leads from a road's edge down to it; where that is far, as on
bridges, there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from minicarla.maps.lane_edges import Lane

DROP_M = 0.04  # of the land under the road: what lies on top hides it
VERGE_M = 3.0
MARGIN_M = 160.0  # of land around the roads
_CELL_M = 8.0
_MAX_CELLS = 500  # along a side
_ACROSS_M = 2.0  # between the samples across a lane
_MAX_VERGE_DROP_M = 2.0
_NEAR_CELLS = 1.5  # around a road the land keeps its height
_EASINGS = 200
_PASSES = 4


@dataclass(frozen=True)
class Terrain:
    """Heights (m) of a grid's nodes [rows, columns]; the first lies at `origin` (x, y), the others `cell` m apart.

    Every cell consists of two triangles, which share the edge from its first node to the one opposite.
    """

    origin: tuple[float, float]
    cell: float
    heights: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """[N] heights under the points [N, 2 or 3]; beyond the grid as at its edge."""
        rows, columns = self.heights.shape
        u, v = ((points[:, axis] - self.origin[axis]) / self.cell for axis in (0, 1))
        u, v = np.clip(u, 0.0, columns - 1.0), np.clip(v, 0.0, rows - 1.0)
        i, j = np.minimum(u.astype(int), columns - 2), np.minimum(v.astype(int), rows - 2)
        u, v = u - i, v - j
        z00, z01 = self.heights[j, i], self.heights[j, i + 1]
        z10, z11 = self.heights[j + 1, i], self.heights[j + 1, i + 1]
        return np.where(u >= v, z00 + u * (z01 - z00) + v * (z11 - z01), z00 + v * (z10 - z00) + u * (z11 - z10))


def terrain_under(lanes: Sequence[Lane]) -> Terrain:
    """The land under and around the lanes."""
    points = np.concatenate([_samples(lane) for lane in lanes])
    low = points[:, :2].min(axis=0) - MARGIN_M
    span = points[:, :2].max(axis=0) + MARGIN_M - low
    cell = max(_CELL_M, float(span.max()) / _MAX_CELLS)
    columns, rows = (int(count) for count in np.ceil(span / cell) + 1)
    place = (points[:, :2] - low) / cell
    heights = _eased(*_nearest(points[:, 2], place, rows, columns))
    terrain = Terrain((float(low[0]), float(low[1])), cell, heights)
    # Now and then a road dips below what its surroundings make of the land: lower the nodes about such places.
    corner = place.astype(int)
    for _ in range(_PASSES):
        excess = np.maximum(terrain.at(points) - (points[:, 2] - DROP_M), 0.0)
        lower = np.zeros_like(heights)
        for down in (0, 1):
            for aside in (0, 1):
                np.maximum.at(lower, (corner[:, 1] + down, corner[:, 0] + aside), excess)
        heights -= lower
    return terrain


def _samples(lane: Lane) -> np.ndarray:
    """[N, 3] points all over the lane."""
    width = float(np.linalg.norm(lane.right - lane.left, axis=1).max())
    shares = np.linspace(0.0, 1.0, int(np.ceil(width / _ACROSS_M)) + 1)
    return np.concatenate([lane.left + share * (lane.right - lane.left) for share in shares])


def _nearest(z: np.ndarray, place: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """[rows, columns] height of the road nearest to each node, and the distance to it in cells. place: [N, 2] cells."""
    fine = 4  # pixels a cell
    heights = np.full((rows * fine, columns * fine), np.inf)
    pixel = (place * fine).astype(int)
    np.minimum.at(heights, (pixel[:, 1], pixel[:, 0]), z)
    empty = np.isinf(heights).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(label.max() + 1)
    by_label[label[empty == 0]] = heights[empty == 0]
    nodes = (slice(None, None, fine), slice(None, None, fine))
    return by_label[label[nodes]], distance[nodes] / fine


def _eased(heights: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The same without cliffs far from roads, and with the lowest height all around, where the horizon begins."""
    fixed = distance <= _NEAR_CELLS
    rim = np.ones_like(fixed)
    rim[1:-1, 1:-1] = False
    known = np.where(rim, heights.min(), heights)
    fixed |= rim
    eased = known
    for _ in range(_EASINGS):
        eased = np.where(fixed, known, cv2.blur(eased, (5, 5), borderType=cv2.BORDER_REPLICATE))
    return eased


def verges(lanes: Sequence[Lane], terrain: Terrain) -> list[tuple[np.ndarray, np.ndarray]]:
    """Strips from the outer edges of roads to the land: (inner, outer) borders, each [N, 3] with N of at least 2."""
    outermost: dict[tuple[int, float, bool], Lane] = {}
    for lane in lanes:
        key = (lane.road_id, float(lane.s[0]), lane.lane_id > 0)
        if key not in outermost or abs(lane.lane_id) > abs(outermost[key].lane_id):
            outermost[key] = lane
    strips = []
    for lane in outermost.values():
        strips += _verge(lane.right, lane.right - lane.left, terrain)
    one_sided = {key[:2] for key in outermost if (*key[:2], not key[2]) not in outermost}
    for lane in lanes:  # the other edge of a road with lanes on one side only
        if abs(lane.lane_id) == 1 and (lane.road_id, float(lane.s[0])) in one_sided:
            strips += _verge(lane.left, lane.left - lane.right, terrain)
    return strips


def _verge(edge: np.ndarray, across: np.ndarray, terrain: Terrain) -> list[tuple[np.ndarray, np.ndarray]]:
    """The runs of a verge along an edge, which `across` points out of, that are not too steep."""
    out = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    foot = edge + VERGE_M * out
    foot[:, 2] = terrain.at(foot)
    inner = edge - (0.0, 0.0, 0.5 * DROP_M)
    gentle = np.abs(edge[:, 2] - foot[:, 2]) < _MAX_VERGE_DROP_M
    borders = np.flatnonzero(np.diff(np.concatenate([[False], gentle, [False]]).astype(int)))
    return [(inner[a:b], foot[a:b]) for a, b in borders.reshape(-1, 2) if b - a > 1]
