"""Rays from one point: which face each of them meets first, and how near it is. Compiled by numba.

All rays of a measurement start at the sensor, so no search tree is needed. A convex face is met by the rays on the
inner side of four planes through the sensor and its edges, and the reciprocal of the distance along a ray is an affine
function of the ray's direction, as in `raster`. Each face is compared with the rays that its angles leave over, in
loops that the compiler turns into vector instructions: measured, some 30 ns a ray in a town.

The sensor's frame is x forward, y right, z up, in m. Faces are met from their visible side only.
"""

import math

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE
from minicarla.render.mesh import Material

NOTHING = -1
_SHADOW = int(Material.SHADOW)
_f = np.float32
# Neighbours that share an edge both take a ray that runs along it: 0.1 mm at 100 m.
_EDGE_SLACK = _f(1e-6)
_ANGLE_SLACK_RAD = 1e-4
_STEEP = 1e9  # tangent of an elevation of 90 degrees
# Rows of the scratch array [9, 3]: four corners; the face's plane over its distance; the planes of the four edges.
_PLANE, _EDGES = 4, 5
SCRATCH = (9, 3)


@njit(cache=CACHE, error_model="numpy")
def _approach(corners: np.ndarray, face: int, to_sensor: np.ndarray, reach: float, scratch: np.ndarray) -> bool:
    """Brings corners[face] into the sensor's frame; False if no ray of that reach can meet its visible side."""
    for i in range(4):
        px, py, pz = float(corners[face, i, 0]), float(corners[face, i, 1]), float(corners[face, i, 2])
        for axis in range(3):
            row = to_sensor[axis]
            scratch[i, axis] = row[0] * px + row[1] * py + row[2] * pz + row[3]
    x, y, z = scratch[0, 0], scratch[0, 1], scratch[0, 2]
    ax, ay, az = scratch[1, 0] - x, scratch[1, 1] - y, scratch[1, 2] - z
    bx, by, bz = scratch[2, 0] - x, scratch[2, 1] - y, scratch[2, 2] - z
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    along = nx * x + ny * y + nz * z  # negative: the sensor is on the visible side
    if along >= -1e-9 * length or along < -reach * length:
        return False
    scratch[_PLANE, 0], scratch[_PLANE, 1], scratch[_PLANE, 2] = nx / along, ny / along, nz / along
    for i in range(4):
        j = (i + 1) & 3
        ex = scratch[j, 1] * scratch[i, 2] - scratch[j, 2] * scratch[i, 1]
        ey = scratch[j, 2] * scratch[i, 0] - scratch[j, 0] * scratch[i, 2]
        ez = scratch[j, 0] * scratch[i, 1] - scratch[j, 1] * scratch[i, 0]
        scale = 1.0 / max(math.sqrt(ex * ex + ey * ey + ez * ez), 1e-12)
        scratch[_EDGES + i, 0], scratch[_EDGES + i, 1], scratch[_EDGES + i, 2] = ex * scale, ey * scale, ez * scale
    return True


@njit(cache=CACHE, error_model="numpy")
def _horizontal_bounds(scratch: np.ndarray) -> tuple[float, float, float, float]:
    """Bounds of a face seen from above: nearest and farthest distance from the sensor, first and last azimuth (rad).

    The last azimuth may be larger than pi; both are infinite if the face is right above or below the sensor.
    """
    nearest, farthest = 1e30, 0.0
    lefts, rights = 0, 0
    for i in range(4):
        j = (i + 1) & 3
        x, y = scratch[i, 0], scratch[i, 1]
        dx, dy = scratch[j, 0] - x, scratch[j, 1] - y
        farthest = max(farthest, x * x + y * y)
        turn = x * dy - y * dx
        lefts += turn >= 0.0
        rights += turn <= 0.0
        square = dx * dx + dy * dy
        at = min(max(-(x * dx + y * dy) / square, 0.0), 1.0) if square > 0.0 else 0.0
        fx, fy = x + at * dx, y + at * dy
        nearest = min(nearest, fx * fx + fy * fy)
    nearest, farthest = math.sqrt(nearest), math.sqrt(farthest)
    if lefts == 4 or rights == 4 or nearest < 1e-3:
        # A wall's four turns are not all alike, unless it is seen edge on: then its azimuths do not matter.
        return 0.0, farthest, -math.inf, math.inf
    angle = math.atan2(scratch[0, 1], scratch[0, 0])
    low, high = angle, angle
    for i in range(1, 4):
        # An edge that passes the sensor by spans less than half a circle.
        step = math.atan2(scratch[i, 1], scratch[i, 0]) - angle
        if step > math.pi:
            step -= 2.0 * math.pi
        elif step < -math.pi:
            step += 2.0 * math.pi
        angle += step
        low, high = min(low, angle), max(high, angle)
    if low < -math.pi:
        low, high = low + 2.0 * math.pi, high + 2.0 * math.pi
    return nearest, farthest, low, high


@njit(cache=CACHE)
def _first_at_least(values: np.ndarray, bound: float) -> int:
    """Place of the first of the ascending `values` that is not below `bound`."""
    low, high = 0, values.size
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=CACHE, error_model="numpy")
def _scan_face(
    face: int, scratch: np.ndarray, reach: float, elevation: np.ndarray, azimuth: np.ndarray, row_trig: np.ndarray,
    column_trig: np.ndarray, nearness: np.ndarray, faces: np.ndarray,
) -> None:  # fmt: skip
    """Gives `face`, which `_approach` left in `scratch`, to every ray of the fan that it is nearest to."""
    nearest, farthest, first, last = _horizontal_bounds(scratch)
    if nearest > reach:
        return
    low_z = min(min(scratch[0, 2], scratch[1, 2]), min(scratch[2, 2], scratch[3, 2]))
    high_z = max(max(scratch[0, 2], scratch[1, 2]), max(scratch[2, 2], scratch[3, 2]))
    low = low_z / max(farthest if low_z > 0.0 else nearest, 1e-9)
    high = high_z / max(nearest if high_z > 0.0 else farthest, 1e-9)
    top = _first_at_least(elevation, low - _ANGLE_SLACK_RAD * (1.0 + abs(low)))
    bottom = _first_at_least(elevation, high + _ANGLE_SLACK_RAD * (1.0 + abs(high)))
    if top >= bottom:
        return
    first, last = first - _ANGLE_SLACK_RAD, last + _ANGLE_SLACK_RAD
    if last - first >= 2.0 * math.pi:
        first, last = -math.inf, math.inf
    begin, end = _first_at_least(azimuth, first), _first_at_least(azimuth, last)
    # What reaches beyond the seam at +-pi goes on on its other side.
    wrapped_end = _first_at_least(azimuth, last - 2.0 * math.pi) if last < math.inf else 0
    wrapped_begin = _first_at_least(azimuth, first + 2.0 * math.pi) if first < -math.pi else azimuth.size
    for row in range(top, bottom):
        if begin < end:
            _scan_row(face, scratch, row_trig[row], column_trig, nearness[row], faces[row], begin, end)
        if wrapped_end > 0:
            _scan_row(face, scratch, row_trig[row], column_trig, nearness[row], faces[row], 0, min(wrapped_end, begin))
        if wrapped_begin < azimuth.size:
            _scan_row(
                face, scratch, row_trig[row], column_trig, nearness[row], faces[row], max(wrapped_begin, end),
                azimuth.size,
            )  # fmt: skip


@njit(cache=CACHE)
def _scan_row(
    face: int, scratch: np.ndarray, trig: np.ndarray, column_trig: np.ndarray, nearness: np.ndarray, faces: np.ndarray,
    begin: int, end: int,
) -> None:  # fmt: skip
    """One row of `_scan_face`: the rays begin..end-1 of one elevation."""
    flat, up = trig[0], trig[1]
    nx, ny, nz = _f(flat * scratch[4, 0]), _f(flat * scratch[4, 1]), _f(up * scratch[4, 2])
    ax, ay, az = _f(flat * scratch[5, 0]), _f(flat * scratch[5, 1]), _f(up * scratch[5, 2]) + _EDGE_SLACK
    bx, by, bz = _f(flat * scratch[6, 0]), _f(flat * scratch[6, 1]), _f(up * scratch[6, 2]) + _EDGE_SLACK
    cx, cy, cz = _f(flat * scratch[7, 0]), _f(flat * scratch[7, 1]), _f(up * scratch[7, 2]) + _EDGE_SLACK
    dx, dy, dz = _f(flat * scratch[8, 0]), _f(flat * scratch[8, 1]), _f(up * scratch[8, 2]) + _EDGE_SLACK
    zero, face32 = _f(0.0), np.int32(face)
    forward, right = column_trig[0, begin:end], column_trig[1, begin:end]
    nearness_run, faces_run = nearness[begin:end], faces[begin:end]
    for k in range(nearness_run.size):
        x, y = forward[k], right[k]
        near = nx * x + ny * y + nz
        inside = min(min(ax * x + ay * y + az, bx * x + by * y + bz), min(cx * x + cy * y + cz, dx * x + dy * y + dz))
        closer = (inside >= zero) & (near > nearness_run[k])
        nearness_run[k] = near if closer else nearness_run[k]
        faces_run[k] = face32 if closer else faces_run[k]


@njit(cache=CACHE)
def gather_town(
    corners: np.ndarray, planes: np.ndarray, chunk_start: np.ndarray, chunk_ball: np.ndarray, eye: np.ndarray,
    to_sensor: np.ndarray, reach: float, found: np.ndarray, ids: np.ndarray,
) -> int:  # fmt: skip
    """Collects the faces of the town that rays from the sensor could meet.

    Args:
      corners, planes, chunk_start, chunk_ball: see `raster.draw_static`.
      eye: [3] float64, the sensor in the world. to_sensor: [3, 4] float64, from the world to its frame.
      reach: m, how far the rays go.
      found: [N, 9, 3] float64, written: what `SCRATCH` holds, for each face. ids: [N] int32, written.

    Returns:
      How many there are.
    """
    count = 0
    eye_x, eye_y, eye_z = eye[0], eye[1], eye[2]
    for chunk in range(chunk_ball.shape[0]):
        x, y, z = chunk_ball[chunk, 0] - eye_x, chunk_ball[chunk, 1] - eye_y, chunk_ball[chunk, 2] - eye_z
        limit = reach + chunk_ball[chunk, 3]
        if x * x + y * y + z * z > limit * limit:
            continue
        for face in range(chunk_start[chunk], chunk_start[chunk + 1]):
            if planes[face, 0] * eye_x + planes[face, 1] * eye_y + planes[face, 2] * eye_z <= planes[face, 3]:
                continue
            if _approach(corners, face, to_sensor, reach, found[count]):
                ids[count] = face
                count += 1
    return count


@njit(cache=CACHE)
def gather_actors(
    corners: np.ndarray, materials: np.ndarray, mesh_start: np.ndarray, actor_mesh: np.ndarray,
    actor_to_world: np.ndarray, actor_radius: np.ndarray, actor_face: np.ndarray, eye: np.ndarray,
    to_sensor: np.ndarray, reach: float, found: np.ndarray, ids: np.ndarray, count: int,
) -> int:  # fmt: skip
    """Appends the actors' faces to the first `count` that `gather_town` has found; the new number.

    See `raster.draw_actors` for the actors' arrays and `gather_town` for the others.
    """
    body_to_sensor = np.empty((3, 4))
    for actor in range(actor_mesh.shape[0]):
        place = actor_to_world[actor]
        x, y, z = place[0, 3] - eye[0], place[1, 3] - eye[1], place[2, 3] - eye[2]
        limit = reach + actor_radius[actor]
        if x * x + y * y + z * z > limit * limit:
            continue
        for row in range(3):
            for column in range(4):
                total = to_sensor[row, 3] if column == 3 else 0.0
                for k in range(3):
                    total += to_sensor[row, k] * place[k, column]
                body_to_sensor[row, column] = total
        start = mesh_start[actor_mesh[actor]]
        for face in range(start, mesh_start[actor_mesh[actor] + 1]):
            if materials[face] != _SHADOW and _approach(corners, face, body_to_sensor, reach, found[count]):
                ids[count] = actor_face[actor] + face - start
                count += 1
    return count


@njit(cache=CACHE)
def scan_fan(
    count: int, found: np.ndarray, ids: np.ndarray, reach: float, elevation: np.ndarray, azimuth: np.ndarray,
    row_trig: np.ndarray, column_trig: np.ndarray, nearness: np.ndarray, faces: np.ndarray,
) -> None:  # fmt: skip
    """Finds what a fan of rays meets: R rows of one elevation each, C columns of one azimuth each.

    Args:
      count, found, ids: from `gather_town` and `gather_actors`. reach: m.
      elevation: [R] float64, ascending tangents. azimuth: [C] float64, rad in [-pi, pi], ascending.
      row_trig: [R, 2] float64, cosine and sine of each elevation. column_trig: [2, C] float32, of each azimuth.
      nearness: [R, C] float32, written: 1/distance. faces: [R, C] int32, written: the face's id, or `NOTHING`.
    """
    nearness[:] = _f(1.0 / reach)
    faces[:] = NOTHING
    for k in range(count):
        _scan_face(ids[k], found[k], reach, elevation, azimuth, row_trig, column_trig, nearness, faces)


@njit(cache=CACHE)
def scan_list(
    count: int, found: np.ndarray, ids: np.ndarray, directions: np.ndarray, reaches: np.ndarray, nearness: np.ndarray,
    faces: np.ndarray,
) -> None:  # fmt: skip
    """Finds what single rays meet; meant for some hundreds of them.

    Args:
      count, found, ids: from `gather_town` and `gather_actors`.
      directions: [N, 3] float64 unit vectors in the sensor's frame. reaches: [N] float64, m.
      nearness: [N] float64, written: 1/distance. faces: [N] int32, written: the face's id, or `NOTHING`.
    """
    slack = -float(_EDGE_SLACK)
    for ray in range(directions.shape[0]):
        x, y, z = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        best, face = 1.0 / reaches[ray], NOTHING
        for k in range(count):
            planes = found[k]
            near = planes[_PLANE, 0] * x + planes[_PLANE, 1] * y + planes[_PLANE, 2] * z
            if near <= best:
                continue
            inside = True
            for edge in range(_EDGES, _EDGES + 4):
                inside &= planes[edge, 0] * x + planes[edge, 1] * y + planes[edge, 2] * z >= slack
            if inside:
                best, face = near, ids[k]
        nearness[ray], faces[ray] = best, face
