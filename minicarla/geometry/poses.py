"""Composition of poses in CARLA's left-handed frame (LibCarla's geom/Transform.h and geom/Math.cpp)."""

import math
from operator import mul

from numba.extending import register_jitable

from minicarla.geometry.types import Pose

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


def rotation_matrix(pose: Pose) -> Matrix:
    """Rows of the matrix that turns a vector of the pose's own frame into the world's."""
    pitch, yaw, roll = math.radians(pose.pitch), math.radians(pose.yaw), math.radians(pose.roll)
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (math.cos, math.sin))
    return (
        (cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr),
        (cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr),
        (sp, -cp * sr, cp * cr),
    )


def attached_pose(parent: Pose, offset: Pose) -> Pose:
    """World pose of something fixed to `parent` at `offset`, in the parent's frame."""
    if parent.pitch == 0.0 and parent.roll == 0.0:
        # Nearly always: the parent stands upright, so only its yaw turns the child.
        yaw = math.radians(parent.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        x = parent.x + c * offset.x - s * offset.y
        y = parent.y + s * offset.x + c * offset.y
        return Pose(x, y, parent.z + offset.z, offset.pitch, wrap_degrees(parent.yaw + offset.yaw), offset.roll)
    outer, inner = rotation_matrix(parent), rotation_matrix(offset)
    turned = [sum(map(mul, row, (offset.x, offset.y, offset.z))) for row in outer]
    product = [[sum(map(mul, row, column)) for column in zip(*inner, strict=True)] for row in outer]
    pitch = math.atan2(product[2][0], math.hypot(product[0][0], product[1][0]))
    yaw = math.atan2(product[1][0], product[0][0])
    roll = math.atan2(-product[2][1], product[2][2])
    place = (parent.x + turned[0], parent.y + turned[1], parent.z + turned[2])
    return Pose(*place, math.degrees(pitch), math.degrees(yaw), math.degrees(roll))


def relative_pose(parent: Pose, world: Pose) -> Pose:
    """Inverse of `attached_pose` for an upright parent, whose pitch and roll are ignored."""
    yaw = math.radians(parent.yaw)
    c, s = math.cos(yaw), math.sin(yaw)
    dx, dy = world.x - parent.x, world.y - parent.y
    yaw_deg = wrap_degrees(world.yaw - parent.yaw)
    return Pose(c * dx + s * dy, c * dy - s * dx, world.z - parent.z, world.pitch, yaw_deg, world.roll)


@register_jitable
def wrap_degrees(angle: float) -> float:
    """The same angle in [-180, 180)."""
    return (angle + 180.0) % 360.0 - 180.0
