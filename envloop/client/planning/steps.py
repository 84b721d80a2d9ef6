"""Steps in a line of points, where one piece of lane ends and the next begins beside it, spread over the way after."""

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SAME_POINT_M = 0.05  # towns join their lanes to a few centimetres
# A step of g metres is spread over this times sqrt(g): at 30 km/h a cosine of that length asks for 1.5 m/s^2 at most
# (v pi sqrt(g / 2a)), and 3.5 m, a lane's width, take 28 m.
_SPREAD = 15.1


def spread(points: FloatArray, step: FloatArray) -> FloatArray:
    """By how much to move points so that they begin `step` [3] aside and come to their own line after a while.

    Args:
      points: [N, 3] m, all the room that there is for it.

    Returns:
      [N, 3] m, to be added to them.
    """
    size = float(np.hypot(*step[:2]))
    driven_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    length_m = min(_SPREAD * math.sqrt(size), float(driven_m[-1]))
    if size <= SAME_POINT_M or length_m <= 0.0:
        return np.zeros_like(points)
    left = 0.5 + 0.5 * np.cos(np.pi * np.minimum(driven_m / length_m, 1.0))
    forward = np.gradient(points[:, :2], axis=0)
    forward /= np.maximum(np.hypot(*forward.T), 1e-9)[:, None]
    right = np.stack([-forward[:, 1], forward[:, 0]], axis=1)
    ahead, aside = step[:2] @ forward[0], step[:2] @ right[0]
    return left[:, None] * np.column_stack([ahead * forward + aside * right, np.full(len(points), step[2])])


def gaps_m(points: FloatArray) -> FloatArray:
    """[N - 1] distances between points [N, 3] that follow each other, m."""
    return np.linalg.norm(np.diff(points, axis=0), axis=1)
