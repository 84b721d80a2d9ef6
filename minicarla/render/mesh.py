"""Polygon meshes: convex quads (a triangle repeats its last corner) with colour, class tag and material.

Positions are metres in CARLA's frame. A face is visible from the side to which the numeric normal
(p1 - p0) x (p2 - p0) points; the helpers below order the corners, so callers do not have to.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minicarla.render.encodings import Tag

Colour = tuple[int, int, int]


class Material(enum.IntEnum):
    """How a face is shaded."""

    PLAIN = 0
    ASPHALT = 1  # grain, wet sheen, puddles
    GRASS = 2  # patches
    FACADE = 3  # rows of windows
    EMISSIVE = 4  # lamps: the same by day and by night
    SHADOW = 5  # under actors; not seen by semantic and depth cameras
    PAINT = 6  # the actor's own colour


@dataclass(frozen=True)
class Mesh:
    """F convex quads.

    corners: [F, 4, 3] float32, m. colour: [F, 3] uint8, albedo. tag, material: [F] uint8.
    """

    corners: np.ndarray
    colour: np.ndarray
    tag: np.ndarray
    material: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)

    def normals(self) -> np.ndarray:
        """[F, 3] float32 unit normals on the visible side."""
        first, second, third = self.corners[:, 0], self.corners[:, 1], self.corners[:, 2]
        normal = np.cross(second - first, third - first)
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    def take(self, index: np.ndarray) -> "Mesh":
        """The faces at `index` ([N] int or [F] bool)."""
        return Mesh(self.corners[index], self.colour[index], self.tag[index], self.material[index])


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh with the faces of all, in order."""
    parts = list(meshes)
    if not parts:
        return quads(np.zeros((0, 4, 3)), (0, 0, 0), Tag.NONE)
    return Mesh(
        np.concatenate([part.corners for part in parts]),
        np.concatenate([part.colour for part in parts]),
        np.concatenate([part.tag for part in parts]),
        np.concatenate([part.material for part in parts]),
    )


def quads(
    corners: np.ndarray,
    colour: Colour | np.ndarray,
    tag: Tag,
    material: Material = Material.PLAIN,
    facing: np.ndarray | tuple[float, float, float] | None = None,
) -> Mesh:
    """Quads of one class.

    Args:
      corners: [F, 4, 3], in order around each face.
      colour: one colour or [F, 3].
      tag: class of every face.
      material: shading of every face.
      facing: [3] or [F, 3]: faces that point away from it are turned over; None keeps the order given.
    """
    corners = np.asarray(corners, np.float32)
    if facing is not None:
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        away = (normal * np.asarray(facing, np.float32)).sum(axis=1) < 0.0
        corners = np.where(away[:, None, None], corners[:, [1, 0, 3, 2]], corners)
    count = len(corners)
    return Mesh(
        np.ascontiguousarray(corners, np.float32),
        np.array(np.broadcast_to(np.asarray(colour), (count, 3)), np.uint8, order="C"),
        np.full(count, int(tag), np.uint8),
        np.full(count, int(material), np.uint8),
    )


def strip(left: np.ndarray, right: np.ndarray, colour: Colour, tag: Tag, material: Material = Material.PLAIN) -> Mesh:
    """A ribbon seen from above between two [N, 3] polylines."""
    corners = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
    return quads(corners, colour, tag, material, facing=(0.0, 0.0, 1.0))


def wall(foot: np.ndarray, top: np.ndarray, towards: np.ndarray, colour: Colour, tag: Tag) -> Mesh:
    """An upright ribbon between two [N, 3] polylines, seen from the side of the polyline `towards` ([N, 3])."""
    corners = np.stack([foot[:-1], foot[1:], top[1:], top[:-1]], axis=1)
    return quads(corners, colour, tag, facing=towards[:-1] - foot[:-1])


# Corners of the unit cube's faces +x, -x, +y, -y, +z, -z.
_CUBE = np.array(
    [
        [(1, -1, -1), (1, 1, -1), (1, 1, 1), (1, -1, 1)],
        [(-1, 1, -1), (-1, -1, -1), (-1, -1, 1), (-1, 1, 1)],
        [(1, 1, -1), (-1, 1, -1), (-1, 1, 1), (1, 1, 1)],
        [(-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)],
        [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, -1, 1)],
        [(1, -1, -1), (-1, -1, -1), (-1, 1, -1), (1, 1, -1)],
    ],
    np.float32,
)


def box(
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    colour: Colour,
    tag: Tag,
    material: Material = Material.PLAIN,
    yaw_deg: float = 0.0,
    bottom: bool = False,
) -> Mesh:
    """An upright box turned by `yaw_deg` (clockwise from above), without its bottom unless asked."""
    corners = _CUBE[: 6 if bottom else 5] * np.asarray(half, np.float32)
    return quads(turn(corners, yaw_deg) + np.asarray(centre, np.float32), colour, tag, material)


def prism(
    bottom: np.ndarray, top: np.ndarray, colour: Colour, tag: Tag, material: Material = Material.PLAIN, lid: bool = True
) -> Mesh:
    """A solid between two rings of N corners ([N, 3] each, same order), closed above; N = 4 if it has a lid."""
    following = np.roll(np.arange(len(bottom)), -1)
    sides = np.stack([bottom, bottom[following], top[following], top], axis=1)
    centre = np.concatenate([bottom, top]).mean(axis=0)
    parts = [quads(sides, colour, tag, material, facing=sides.mean(axis=1) - centre)]
    if lid:
        parts.append(quads(top[None], colour, tag, material, facing=(0.0, 0.0, 1.0)))
    return merge(parts)


def turn(points: np.ndarray, yaw_deg: float) -> np.ndarray:
    """Points [..., 3] turned about z, clockwise seen from above (CARLA's yaw)."""
    yaw_rad = np.deg2rad(yaw_deg)
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)
