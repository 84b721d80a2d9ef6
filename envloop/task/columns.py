"""How near people and vehicles are in each column of the picture, as the simulator knows it.

A head that looks at one column of the encoder's maps, with the same weights for all, has to see people and vehicles to
tell this: what a street looks like does not help it. Who is on the route or beside it is told apart, for most people
walk far from it. Houses hide nobody here; in a street they seldom stand between.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from envloop.task.affordances import COLUMN_KINDS
from envloop.task.observation import EgoState
from envloop.task.pictures import FRAME_SIZE, column_edges
from envloop.task.road_scene import RoadUser
from envloop.task.route import LEVEL_M

COLUMNS = 7  # of NatureCNN's last maps; the middle one looks at the middle 8 pixels, the outer two reach to the edges
_CELL = 8  # pixels from one of them to the next
_REACH_M = 40.0
_NEAREST_M = 0.5  # ahead of the camera; what is nearer is beside it


def bounds(picture: str, fov_deg: float) -> NDArray[np.float64]:
    """[COLUMNS + 1] metres to the right per metre ahead at which each column begins and the last one ends.

    Args:
      picture: which of `pictures.PICTURES`.
      fov_deg: the camera's horizontal field of view.
    """
    inner = FRAME_SIZE // 2 + _CELL * (np.arange(COLUMNS - 1) - (COLUMNS - 2) / 2)
    shares = column_edges(picture)[[0, *inner.astype(int), FRAME_SIZE]]
    return (2.0 * shares - 1.0) * math.tan(math.radians(fov_deg) / 2.0)


def nearness_in_columns(
    ego: EgoState,
    users: Sequence[RoadUser],
    beside: Collection[RoadUser],
    camera_x: float,
    edges: NDArray[np.float64],
) -> NDArray[np.float32]:
    """[COLUMNS * 3] float32, the nearest of each of `COLUMN_KINDS` in each column: 1 at the camera, 0 from 40 m on.

    Args:
      beside: those of `users` whom the ego passes, by `right_of_way.Outlook`.
      camera_x: m ahead of the ego's centre.
      edges: of `bounds`.
    """
    near = np.zeros((COLUMNS, len(COLUMN_KINDS)), np.float32)
    yaw = math.radians(ego.yaw_deg)
    cos, sin = math.cos(yaw), math.sin(yaw)
    for user in users:
        dx, dy = user.x - ego.x, user.y - ego.y
        ahead = dx * cos + dy * sin - camera_x
        if not _NEAREST_M < ahead < _REACH_M or abs(user.z - ego.z) > 2.0 * LEVEL_M:
            continue
        turned = math.radians(user.yaw_deg) - yaw
        half = abs(math.cos(turned)) * user.half_width + abs(math.sin(turned)) * user.half_length
        right = dy * cos - dx * sin
        first, last = np.searchsorted(edges, ((right - half) / ahead, (right + half) / ahead)) - 1
        kinds = [COLUMN_KINDS.index("person" if user.person else "vehicle")]
        if user.person and user in beside:
            kinds.append(COLUMN_KINDS.index("person on the route or beside it"))
        for kind in kinds:
            seen = near[max(first, 0) : last + 1, kind]
            np.maximum(seen, 1.0 - ahead / _REACH_M, out=seen)
    return near.ravel()
