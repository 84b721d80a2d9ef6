"""The ground of a town: how high it is and how it slopes, anywhere, also where roads lie above one another.

It consists of the lanes, the fill of junctions, the verges beside roads and the land below (`terrain`). Two roads above
each other are told apart by the caller's z, as feet or wheels would find them: the surface nearest to it within a step
counts, then the highest one below. A town whose roads are level everywhere is flat, and costs nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from minicarla.maps.junction_fill import junction_fill, junctions
from minicarla.maps.lane_edges import ASPHALT_KINDS, Lane
from minicarla.maps.terrain import Terrain, terrain_under, verges
from minicarla.numba_cache import CACHE

STEP_M = 1.0  # to a surface so far away something at z may get in one move
HEADROOM_M = 2.5  # land this far below a road is not under its asphalt but under its bridge
_FLAT_M = 1e-3
_CELL_M = 4.0
_MAX_CELLS = 1500  # along a side
_EDGE_M = 1e-3  # triangles are so much larger than they are, so that nothing falls between two
_LANE, _BESIDE = 0.0, 1.0


class Surface:
    """The ground under everything. All lengths in m, CARLA's frame.

    Attributes:
      is_flat: whether it is a plane; then `level` is its height everywhere, and nothing else is looked at.
      terrain: the land between the roads; None where it is flat.
      verges: the strips between the roads and the land, (inner, outer) borders [N, 3].
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        edges = [edge for lane in lanes for edge in (lane.left, lane.right)]
        heights = np.concatenate([edge[:, 2] for edge in edges]) if edges else np.zeros(1)
        self.is_flat = bool(np.ptp(heights) <= _FLAT_M)
        self.level = float(np.median(heights))
        self.terrain: Terrain | None = None
        self.verges: list[tuple[np.ndarray, np.ndarray]] = []
        if not self.is_flat:
            self.terrain = terrain_under(lanes)
            self.verges = verges(lanes, self.terrain)
            self._index(lanes, self.terrain)

    def _index(self, lanes: Sequence[Lane], terrain: Terrain) -> None:
        """Triangles of lanes, and of what lies between and beside them; which of them each cell of a grid touches."""
        paved = [_triangles(lane.left, lane.right) for lane in lanes]
        soft = [_triangles(inner, outer) for inner, outer in self.verges]
        for crossing in junctions(lanes, ASPHALT_KINDS):
            faces = junction_fill(crossing)
            soft += [faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]
        corners = np.concatenate(paved + soft)
        kind = np.repeat((_LANE, _BESIDE), (sum(map(len, paved)), sum(map(len, soft))))
        edges = corners[:, [1, 2, 0], :2] - corners[:, :, :2]
        area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
        kept = np.abs(area) > 1e-6
        corners, kind = corners[kept], kind[kept]
        low, high = corners[:, :, :2].min(axis=1), corners[:, :, :2].max(axis=1)
        self._corners = np.ascontiguousarray(corners)
        origin = low.min(axis=0)
        cell = max(_CELL_M, float((high.max(axis=0) - origin).max()) / _MAX_CELLS)
        first, last = (np.floor((bound - origin) / cell).astype(np.int64) for bound in (low, high))
        columns, rows = (int(count) for count in last.max(axis=0) + 1)
        start, members = _cells(first, last, columns, rows)
        frame = np.array([origin[0], origin[1], cell, *terrain.origin, terrain.cell])
        self._arrays = (_faces(corners, kind), start.reshape(rows, columns + 1), members, terrain.heights, frame)

    def height(self, x: float, y: float, z: float) -> float:
        """The surface at (x, y): the nearest to `z` within `STEP_M`, else the highest below, else the lowest above."""
        if self.is_flat:
            return self.level
        return float(_under(x, y, z, *self._arrays)[0])

    def slope(self, x: float, y: float, z: float) -> tuple[float, float]:
        """dz/dx and dz/dy of the surface that `height` finds."""
        if self.is_flat:
            return 0.0, 0.0
        _, along_x, along_y = _under(x, y, z, *self._arrays)
        return float(along_x), float(along_y)

    def heights(self, points: np.ndarray) -> np.ndarray:
        """[N] `height` of the points [N, 3]."""
        if self.is_flat:
            return np.full(len(points), self.level)
        return _under_all(np.ascontiguousarray(points, np.float64), *self._arrays)

    def stance(
        self, x: float, y: float, z: float, yaw_rad: float, half_length: float, half_width: float
    ) -> tuple[float, float, float]:
        """How something on four wheels stands at (x, y): z under its middle, pitch and roll.

        Args:
          yaw_rad: of its length, clockwise from above.
          half_length, half_width: from its middle to its wheels.

        Returns:
          m, rad (positive lifts the nose), rad (positive lowers the right side), as `carla.Rotation` has them.
        """
        if self.is_flat:
            return self.level, 0.0, 0.0
        return _stance(x, y, z, yaw_rad, half_length, half_width, *self._arrays)

    def ray(self, start: tuple[float, float, float], way: tuple[float, float, float], reach: float) -> float | None:
        """How far from `start` along the unit vector `way` the surface is met, from above or below, or None."""
        if self.is_flat:
            height = start[2] - self.level
            distance = -height / way[2] if way[2] * height < 0.0 else math.inf
        else:
            assert self.terrain is not None
            towards = np.array([*start, *way])
            terrain = self.terrain
            distance = min(_ray(self._corners, towards), _terrain_ray(terrain, towards, reach))
        return distance if distance <= reach else None


def _triangles(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[2 (N - 1), 3, 3] corners of the strip between two lines [N, 3]."""
    first = np.stack([left[:-1], right[:-1], right[1:]], axis=1)
    return np.concatenate([first, np.stack([left[:-1], right[1:], left[1:]], axis=1)])


def _faces(corners: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """[T, 13]: the plane z = p0 + p1 x + p2 y, of each edge the inward unit normal and offset, the kind.

    A point lies in the triangle where normal . point + offset is not negative for all three.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    along_x = (ab[:, 2] * ac[:, 1] - ac[:, 2] * ab[:, 1]) / area
    along_y = (ac[:, 2] * ab[:, 0] - ab[:, 2] * ac[:, 0]) / area
    parts = [a[:, 2] - along_x * a[:, 0] - along_y * a[:, 1], along_x, along_y]
    side = np.sign(area)
    for p, q in ((a, b), (b, c), (c, a)):
        edge = (q - p)[:, :2]
        length = np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-9)
        nx, ny = -side * edge[:, 1] / length, side * edge[:, 0] / length
        parts += [nx, ny, -(nx * p[:, 0] + ny * p[:, 1])]
    return np.ascontiguousarray(np.stack([*parts, kind], axis=1))


def _cells(first: np.ndarray, last: np.ndarray, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell by cell, row by row, the triangles [T] whose bounds (first and last cell, [T, 2]) touch it.

    Returns:
      start: [rows * (columns + 1)] place of each cell's first member; every row has one entry more than cells.
      members: numbers of triangles, rising in each cell.
    """
    wide, tall = (last - first + 1).T
    count = wide * tall
    triangle = np.repeat(np.arange(len(first)), count)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    column = first[triangle, 0] + within % wide[triangle]
    row = first[triangle, 1] + within // wide[triangle]
    key = row * (columns + 1) + column
    order = np.argsort(key, kind="stable")
    start = np.searchsorted(key[order], np.arange(rows * (columns + 1)))
    return start.astype(np.int64), triangle[order].astype(np.int32)


@njit(cache=CACHE)
def _under(
    x: float, y: float, z: float,
    faces: np.ndarray, start: np.ndarray, members: np.ndarray, land: np.ndarray, frame: np.ndarray,
) -> tuple[float, float, float]:  # fmt: skip
    """(height, dz/dx, dz/dy) of the surface under (x, y) that something at z stands on; see `Surface.height`."""
    near = below = lowest = beside = -1
    gap, below_z, lowest_z, beside_z = STEP_M, -np.inf, np.inf, -np.inf
    column, row = math.floor((x - frame[0]) / frame[2]), math.floor((y - frame[1]) / frame[2])
    if 0 <= row < start.shape[0] and 0 <= column < start.shape[1] - 1:
        for k in range(start[row, column], start[row, column + 1]):
            face = members[k]
            f = faces[face]
            if (
                f[3] * x + f[4] * y + f[5] < -_EDGE_M
                or f[6] * x + f[7] * y + f[8] < -_EDGE_M
                or f[9] * x + f[10] * y + f[11] < -_EDGE_M
            ):
                continue
            height = f[0] + f[1] * x + f[2] * y
            if f[12] == _BESIDE:
                if height > beside_z:
                    beside, beside_z = face, height
                continue
            if abs(height - z) < gap:
                near, gap = face, abs(height - z)
            if below_z < height <= z:
                below, below_z = face, height
            if height < lowest_z:
                lowest, lowest_z = face, height
    ground, ground_x, ground_y = _land(x, y, land, frame)
    if beside >= 0 and beside_z > ground:
        ground, ground_x, ground_y = beside_z, faces[beside, 1], faces[beside, 2]
    if lowest_z - ground > HEADROOM_M and (abs(ground - z) < gap or (near < 0 and below < 0)):
        return ground, ground_x, ground_y
    chosen = near if near >= 0 else (below if below >= 0 else lowest)
    return faces[chosen, 0] + faces[chosen, 1] * x + faces[chosen, 2] * y, faces[chosen, 1], faces[chosen, 2]


@njit(cache=CACHE)
def _land(x: float, y: float, heights: np.ndarray, frame: np.ndarray) -> tuple[float, float, float]:
    """Height of the land and its slopes, as `Terrain.at`."""
    rows, columns = heights.shape
    u = min(max((x - frame[3]) / frame[5], 0.0), columns - 1.0)
    v = min(max((y - frame[4]) / frame[5], 0.0), rows - 1.0)
    i, j = min(int(u), columns - 2), min(int(v), rows - 2)
    u, v = u - i, v - j
    z00, z01, z10, z11 = heights[j, i], heights[j, i + 1], heights[j + 1, i], heights[j + 1, i + 1]
    if u >= v:
        by_u, by_v = z01 - z00, z11 - z01
    else:
        by_u, by_v = z11 - z10, z10 - z00
    return z00 + u * by_u + v * by_v, by_u / frame[5], by_v / frame[5]


@njit(cache=CACHE)
def _under_all(
    points: np.ndarray,
    faces: np.ndarray, start: np.ndarray, members: np.ndarray, land: np.ndarray, frame: np.ndarray,
) -> np.ndarray:  # fmt: skip
    heights = np.empty(len(points))
    for k in range(len(points)):
        heights[k] = _under(points[k, 0], points[k, 1], points[k, 2], faces, start, members, land, frame)[0]
    return heights


@njit(cache=CACHE)
def _stance(
    x: float, y: float, z: float, yaw_rad: float, half_length: float, half_width: float,
    faces: np.ndarray, start: np.ndarray, members: np.ndarray, land: np.ndarray, frame: np.ndarray,
) -> tuple[float, float, float]:  # fmt: skip
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    front = rear = left = right = 0.0
    for ahead in (-1.0, 1.0):
        for aside in (-1.0, 1.0):
            wheel_x = x + ahead * half_length * cos - aside * half_width * sin
            wheel_y = y + ahead * half_length * sin + aside * half_width * cos
            height = _under(wheel_x, wheel_y, z, faces, start, members, land, frame)[0]
            if ahead > 0.0:
                front += height
            else:
                rear += height
            if aside > 0.0:
                right += height
            else:
                left += height
    pitch = math.atan2(0.5 * (front - rear), 2.0 * half_length)
    roll = math.atan2(0.5 * (left - right), 2.0 * half_width)
    return 0.25 * (front + rear), pitch, roll


@njit(cache=CACHE)
def _ray(corners: np.ndarray, ray: np.ndarray) -> float:
    """Distance along a ray (start, direction) to the nearest triangle, inf if none (Moeller and Trumbore, 1997)."""
    nearest = np.inf
    ox, oy, oz, dx, dy, dz = ray[0], ray[1], ray[2], ray[3], ray[4], ray[5]
    for k in range(len(corners)):
        ax, ay, az = corners[k, 0, 0], corners[k, 0, 1], corners[k, 0, 2]
        e1x, e1y, e1z = corners[k, 1, 0] - ax, corners[k, 1, 1] - ay, corners[k, 1, 2] - az
        e2x, e2y, e2z = corners[k, 2, 0] - ax, corners[k, 2, 1] - ay, corners[k, 2, 2] - az
        px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
        det = e1x * px + e1y * py + e1z * pz
        if abs(det) < 1e-12:
            continue
        tx, ty, tz = ox - ax, oy - ay, oz - az
        u = (tx * px + ty * py + tz * pz) / det
        if u < -1e-6 or u > 1.000001:
            continue
        qx, qy, qz = ty * e1z - tz * e1y, tz * e1x - tx * e1z, tx * e1y - ty * e1x
        v = (dx * qx + dy * qy + dz * qz) / det
        if v < -1e-6 or u + v > 1.000001:
            continue
        distance = (e2x * qx + e2y * qy + e2z * qz) / det
        if 0.0 <= distance < nearest:
            nearest = distance
    return nearest


def _terrain_ray(terrain: Terrain, ray: np.ndarray, reach: float) -> float:
    """The same for the land: of the cells that lie in the bounds of the ray."""
    rows, columns = terrain.heights.shape
    ends = np.stack([ray[:2], ray[:2] + reach * ray[3:5]])
    low, high = (
        np.clip(np.floor((bound - terrain.origin) / terrain.cell).astype(int), 0, (columns - 2, rows - 2))
        for bound in (ends.min(axis=0), ends.max(axis=0))
    )
    j, i = np.mgrid[low[1] : high[1] + 1, low[0] : high[0] + 1]
    return float(_ray(terrain_triangles(terrain, i.ravel(), j.ravel()), ray))


def terrain_triangles(terrain: Terrain, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """[2 N, 3, 3] corners of the land's triangles in N cells."""
    corner = [
        np.stack(
            [
                terrain.origin[0] + terrain.cell * (column + right),
                terrain.origin[1] + terrain.cell * (row + down),
                terrain.heights[row + down, column + right],
            ],
            axis=1,
        )
        for down, right in ((0, 0), (0, 1), (1, 1), (1, 0))
    ]
    return np.concatenate([np.stack(corner[:3], axis=1), np.stack([corner[0], corner[2], corner[3]], axis=1)])
