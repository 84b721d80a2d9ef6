"""Optical flow: how far what a camera sees has moved in its picture since an earlier moment. Compiled by numba.

The bodies are rigid, so the place of a seen point in the earlier camera is linear in (1, right, up, nearness) of its
pixel, with one matrix for the town and one for each actor. Nearness is 1/distance: what is infinitely far away moves
by the camera's rotation only.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE
from minicarla.render.actors import ActorArrays, MeshLibrary

MOST = 2.0  # of CARLA's texture, in half pictures
_IN_FRONT = 1e-6


@dataclass(frozen=True)
class Moment:
    """Where a camera and the actors were. frame: [4, 3] forward, right, up, place of the camera."""

    frame: np.ndarray
    actors: ActorArrays


def to_earlier_camera(now: Moment, then: Moment) -> np.ndarray:
    """[1 + A, 3, 4] float64: from (1, right, up, nearness) of a pixel to forward, right, up in the camera of `then`.

    The first is the town's, the others are the actors' of `now`; one that was not there has not moved.
    """
    turn, eye = now.frame[:3], now.frame[3]
    earlier_turn, earlier_eye = then.frame[:3], then.frame[3]
    places = dict(zip(then.actors.ids, then.actors.to_world, strict=True))
    matrices = np.empty((1 + len(now.actors.ids), 3, 4))
    matrices[:, :, :3] = earlier_turn @ turn.T
    matrices[:, :, 3] = earlier_turn @ (eye - earlier_eye)
    for index, (actor_id, place) in enumerate(zip(now.actors.ids, now.actors.to_world, strict=True), start=1):
        before = places.get(actor_id)
        if before is not None:
            back = before[:, :3] @ place[:, :3].T
            matrices[index, :, :3] = earlier_turn @ back @ turn.T
            matrices[index, :, 3] = earlier_turn @ (back @ (eye - place[:, 3]) + before[:, 3] - earlier_eye)
    return matrices


def actor_of_face(now: Moment, library: MeshLibrary) -> np.ndarray:
    """[N] int64, which matrix of `to_earlier_camera` the actors' faces have, from the first on."""
    counts = np.diff(library.start)[now.actors.mesh]
    return np.repeat(np.arange(1, 1 + len(counts)), counts)


@njit(cache=CACHE, error_model="numpy")
def flow_pixels(
    nearness: np.ndarray, faces: np.ndarray, focal: float, static_count: int, actor_of: np.ndarray,
    matrices: np.ndarray, pixels: np.ndarray,
) -> None:  # fmt: skip
    """Writes the flow of every pixel: the place of what it shows now, minus the place of the same point before.

    Places are Unreal's, from -1 to 1 over the picture, x to the right and y up: pixels are x W / 2 and -y H / 2.
    CARLA's camera sends Unreal's velocities through a texture that holds -2 to 2 (AOpticalFlowCamera). What was behind
    the earlier camera gets a value at that limit.

    Args:
      nearness, faces: [H, W], from the rasteriser. focal: px. static_count: faces of the town.
      actor_of, matrices: from `actor_of_face` and `to_earlier_camera`.
      pixels: [H, W, 2] float32, written.
    """
    height, width = nearness.shape
    scale_x, scale_y = 2.0 * focal / width, 2.0 * focal / height
    for row in range(height):
        y = (height - 1 - 2 * row) / height
        up = y / scale_y
        for column in range(width):
            x = (2 * column + 1 - width) / width
            right, near, face = x / scale_x, float(nearness[row, column]), faces[row, column]
            matrix = matrices[actor_of[face - static_count] if face >= static_count else 0]
            ahead = matrix[0, 0] + matrix[0, 1] * right + matrix[0, 2] * up + matrix[0, 3] * near
            before_right = matrix[1, 0] + matrix[1, 1] * right + matrix[1, 2] * up + matrix[1, 3] * near
            before_up = matrix[2, 0] + matrix[2, 1] * right + matrix[2, 2] * up + matrix[2, 3] * near
            ahead = max(ahead, _IN_FRONT)
            pixels[row, column, 0] = min(max(x - scale_x * before_right / ahead, -MOST), MOST)
            pixels[row, column, 1] = min(max(y - scale_y * before_up / ahead, -MOST), MOST)
