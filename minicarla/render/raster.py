"""The rasteriser: which face is seen in each sample of the picture, and how far away it is.

Compiled by numba. Faces are convex quads; each sample keeps the nearest one. Corners keep their sub-pixel place, and
1/z of a face is an exact affine function of the sample's place, so depth is as exact as float32 and layers 1 cm apart
never fight.

Camera space is x right, y down, z along the optical axis, in m.
"""

import math

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE
from minicarla.render.mesh import Material

NEAR_M = 0.1
NOTHING = -1
_SHADOW = int(Material.SHADOW)
# Rows of the scratch array [7, 5]: up to five corners (x, y, z in camera space, then x, y in the picture), the face's
# plane over its distance (n / (n . p): its product with a ray is 1/z), and the rows of the picture that it may touch.
_PLANE, _ROWS = 5, 6
_SCRATCH = (7, 5)
_BLOCK = 16  # samples


@njit(cache=CACHE, error_model="numpy")
def _project(
    corners: np.ndarray, face: int, to_camera: np.ndarray, focal: float, width: int, height: int, scratch: np.ndarray
) -> int:
    """Brings corners[face] into the picture; returns its number of corners there, 0 if no sample can show it."""
    half_x, half_y = 0.5 * width, 0.5 * height
    reach_x, reach_y = half_x / focal, half_y / focal
    behind, left, right, above, below = 0, 0, 0, 0, 0
    for i in range(4):
        px, py, pz = float(corners[face, i, 0]), float(corners[face, i, 1]), float(corners[face, i, 2])
        x = to_camera[0, 0] * px + to_camera[0, 1] * py + to_camera[0, 2] * pz + to_camera[0, 3]
        y = to_camera[1, 0] * px + to_camera[1, 1] * py + to_camera[1, 2] * pz + to_camera[1, 3]
        z = to_camera[2, 0] * px + to_camera[2, 1] * py + to_camera[2, 2] * pz + to_camera[2, 3]
        scratch[i, 0], scratch[i, 1], scratch[i, 2] = x, y, z
        behind += z < NEAR_M
        left += x < -z * reach_x
        right += x > z * reach_x
        above += y < -z * reach_y
        below += y > z * reach_y
    if behind == 4 or left == 4 or right == 4 or above == 4 or below == 4:
        return 0
    x, y, z = scratch[0, 0], scratch[0, 1], scratch[0, 2]
    ax, ay, az = scratch[1, 0] - x, scratch[1, 1] - y, scratch[1, 2] - z
    bx, by, bz = scratch[2, 0] - x, scratch[2, 1] - y, scratch[2, 2] - z
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    distance = nx * x + ny * y + nz * z
    if distance <= 1e-9:  # seen from behind, or edge on
        return 0
    scratch[_PLANE, 0], scratch[_PLANE, 1], scratch[_PLANE, 2] = nx / distance, ny / distance, nz / distance
    count = _clip_near(scratch) if behind > 0 else 4
    low_x, high_x, low_y, high_y = 1e30, -1e30, 1e30, -1e30
    for i in range(count):
        scale = focal / scratch[i, 2]
        x, y = half_x + scale * scratch[i, 0], half_y + scale * scratch[i, 1]
        scratch[i, 3], scratch[i, 4] = x, y
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
    top, bottom = math.ceil(max(low_y - 0.5, 0.0)), math.ceil(min(high_y - 0.5, float(height)))
    # Between two rows or two columns of samples nothing shows: most faces far away end here.
    if top >= bottom or math.ceil(max(low_x - 0.5, 0.0)) >= math.ceil(min(high_x - 0.5, float(width))):
        return 0
    scratch[_ROWS, 0], scratch[_ROWS, 1] = top, bottom
    return count


@njit(cache=CACHE)
def _clip_near(scratch: np.ndarray) -> int:
    """Cuts the four corners in `scratch` by the near plane; returns the number of corners left."""
    whole = scratch[:4, :3].copy()
    count = 0
    for i in range(4):
        j = (i + 1) & 3
        if whole[i, 2] >= NEAR_M:
            for axis in range(3):
                scratch[count, axis] = whole[i, axis]
            count += 1
        if (whole[i, 2] >= NEAR_M) != (whole[j, 2] >= NEAR_M):
            # The same arithmetic in both directions, so that neighbours that share an edge are cut at the same point.
            a, b = (i, j) if whole[i, 2] < whole[j, 2] else (j, i)
            t = (NEAR_M - whole[a, 2]) / (whole[b, 2] - whole[a, 2])
            for axis in range(2):
                scratch[count, axis] = whole[a, axis] + t * (whole[b, axis] - whole[a, axis])
            scratch[count, 2] = NEAR_M
            count += 1
    return count


@njit(cache=CACHE, error_model="numpy")
def _scan(scratch: np.ndarray, count: int, top: int, bottom: int, width: int, extent: np.ndarray) -> None:
    """Writes where the polygon begins and ends in rows top..bottom-1 into extent [H, 2]."""
    for row in range(top, bottom):
        extent[row, 0] = width
        extent[row, 1] = 0.0
    limit = float(width)
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        # From the upper end to the lower, whoever asks: neighbours then agree on every sample of a shared edge.
        a, b = (i, j) if scratch[i, 4] <= scratch[j, 4] else (j, i)
        ax, ay, bx, by = scratch[a, 3], scratch[a, 4], scratch[b, 3], scratch[b, 4]
        first = max(top, math.ceil(ay - 0.5))
        last = min(bottom, math.ceil(by - 0.5))
        if first >= last:
            continue
        slope = (bx - ax) / (by - ay)
        for row in range(first, last):
            x = min(max(ax + (row + 0.5 - ay) * slope, 0.0), limit)
            extent[row, 0] = min(extent[row, 0], x)
            extent[row, 1] = max(extent[row, 1], x)


@njit(cache=CACHE)
def _fill(
    count: int,
    face: int,
    focal: float,
    nearness: np.ndarray,
    faces: np.ndarray,
    scratch: np.ndarray,
    extent: np.ndarray,
) -> None:
    """Draws what `_project` left in `scratch`: every sample of the polygon that it is nearest to becomes `face`'s."""
    height, width = nearness.shape
    top, bottom = int(scratch[_ROWS, 0]), int(scratch[_ROWS, 1])
    _scan(scratch, count, top, bottom, width, extent)
    per_x, per_y = scratch[_PLANE, 0] / focal, scratch[_PLANE, 1] / focal
    origin = scratch[_PLANE, 2] - 0.5 * width * per_x - 0.5 * height * per_y
    step, number = np.float32(per_x), np.int32(face)
    all_nearness, all_faces = nearness.reshape(height * width), faces.reshape(height * width)
    for row in range(top, bottom):
        begin, end = math.ceil(extent[row, 0] - 0.5), math.ceil(extent[row, 1] - 0.5)
        if begin >= end:
            continue
        start = np.float32(origin + (row + 0.5) * per_y + (begin + 0.5) * per_x)
        size, first = np.int32(end - begin), row * width + begin
        # By whole blocks, beyond the run too, where everything stays as it is: single samples take longer.
        last = min(first + (end - begin + _BLOCK - 1) // _BLOCK * _BLOCK, all_nearness.size)
        nearness_run, faces_run = all_nearness[first:last], all_faces[first:last]
        for k in range(nearness_run.size):
            place = np.int32(k)
            value = start + np.float32(place) * step
            closer = (value > nearness_run[k]) & (place < size)
            nearness_run[k] = value if closer else nearness_run[k]
            faces_run[k] = number if closer else faces_run[k]


@njit(cache=CACHE)
def _ball_outside(
    x: float, y: float, z: float, radius: float, to_camera: np.ndarray, half_x: float, half_y: float, reach: float
) -> bool:
    """Whether a ball (world frame, m) is wholly out of view or farther than `reach`.

    half_x, half_y: half the picture's size over the focal length.
    """
    cz = to_camera[2, 0] * x + to_camera[2, 1] * y + to_camera[2, 2] * z + to_camera[2, 3]
    if cz < NEAR_M - radius or cz > reach + radius:
        return True
    # Distance to the slanted sides of the view's pyramid.
    cx = to_camera[0, 0] * x + to_camera[0, 1] * y + to_camera[0, 2] * z + to_camera[0, 3]
    if abs(cx) - cz * half_x > radius * math.hypot(1.0, half_x):
        return True
    cy = to_camera[1, 0] * x + to_camera[1, 1] * y + to_camera[1, 2] * z + to_camera[1, 3]
    return abs(cy) - cz * half_y > radius * math.hypot(1.0, half_y)


@njit(cache=CACHE)
def draw_static(
    corners: np.ndarray,
    planes: np.ndarray,
    chunk_start: np.ndarray,
    chunk_ball: np.ndarray,
    chunk_reach: np.ndarray,
    reach_scale: float,
    eye: np.ndarray,
    to_camera: np.ndarray,
    focal: float,
    nearness: np.ndarray,
    faces: np.ndarray,
    extent: np.ndarray,
) -> None:
    """Draws the town.

    Args:
      corners: [F, 4, 3] float32, m, grouped by chunk.
      planes: [F, 4] float32, unit normal and offset n . p of each face.
      chunk_start: [C + 1] int64, first face of each chunk.
      chunk_ball: [C, 4] float32, centre and radius of what each chunk holds.
      chunk_reach: [C] float32, m, from where on a chunk is not worth drawing; times `reach_scale`.
      eye: [3] float64. to_camera: [3, 4] float64. focal: in samples.
      nearness: [H, W] float32, 1/z of what is seen so far, 1/m. faces: [H, W] int32, its id.
      extent: [H, 2] float64, room to work in.
    """
    height, width = nearness.shape
    half_x, half_y = 0.5 * width / focal, 0.5 * height / focal
    eye_x, eye_y, eye_z = eye[0], eye[1], eye[2]
    scratch = np.empty(_SCRATCH)
    for chunk in range(chunk_ball.shape[0]):
        x, y, z, radius = chunk_ball[chunk, 0], chunk_ball[chunk, 1], chunk_ball[chunk, 2], chunk_ball[chunk, 3]
        if _ball_outside(x, y, z, radius, to_camera, half_x, half_y, chunk_reach[chunk] * reach_scale):
            continue
        for face in range(chunk_start[chunk], chunk_start[chunk + 1]):
            if planes[face, 0] * eye_x + planes[face, 1] * eye_y + planes[face, 2] * eye_z <= planes[face, 3]:
                continue
            count = _project(corners, face, to_camera, focal, width, height, scratch)
            if count > 0:
                _fill(count, face, focal, nearness, faces, scratch, extent)


@njit(cache=CACHE)
def draw_actors(
    corners: np.ndarray,
    materials: np.ndarray,
    mesh_start: np.ndarray,
    actor_mesh: np.ndarray,
    actor_to_world: np.ndarray,
    actor_radius: np.ndarray,
    actor_face: np.ndarray,
    drawn: np.ndarray,
    hidden: int,
    solid_only: bool,
    reach: float,
    to_camera: np.ndarray,
    focal: float,
    nearness: np.ndarray,
    faces: np.ndarray,
    extent: np.ndarray,
) -> None:
    """Draws the actors over what is there.

    Args:
      corners: [M, 4, 3] float32, the faces of all actor meshes in their own frames. materials: [M] uint8.
      mesh_start: [K + 1] int64, first face of each mesh.
      actor_mesh: [A] int64, mesh of each actor. actor_to_world: [A, 3, 4] float64. actor_radius: [A] float64, m.
      actor_face: [A] int64, picture id of each actor's first face.
      drawn: [A] bool, written: whether there is any of the actor in the picture, seen or behind others.
      hidden: index of an actor to leave out, or -1. solid_only: leave out shadows.
      reach: m, farther actors are left out.
      The rest as in `draw_static`.
    """
    height, width = nearness.shape
    half_x, half_y = 0.5 * width / focal, 0.5 * height / focal
    scratch = np.empty(_SCRATCH)
    body_to_camera = np.empty((3, 4))
    for actor in range(actor_mesh.shape[0]):
        place = actor_to_world[actor]
        outside = _ball_outside(
            place[0, 3], place[1, 3], place[2, 3], actor_radius[actor], to_camera, half_x, half_y, reach
        )
        drawn[actor] = False
        if outside or actor == hidden:
            continue
        for row in range(3):
            for column in range(4):
                total = to_camera[row, 3] if column == 3 else 0.0
                for k in range(3):
                    total += to_camera[row, k] * place[k, column]
                body_to_camera[row, column] = total
        start = mesh_start[actor_mesh[actor]]
        for face in range(start, mesh_start[actor_mesh[actor] + 1]):
            if solid_only and materials[face] == _SHADOW:
                continue
            count = _project(corners, face, body_to_camera, focal, width, height, scratch)
            if count > 0:
                drawn[actor] = True
                _fill(count, actor_face[actor] + face - start, focal, nearness, faces, scratch, extent)
