"""Upright oriented boxes: overlap by the separating axis theorem, contact point, ray entry. No dynamics.

Separating axis theorem for boxes: Gottschalk, Lin, Manocha 1996, OBBTree, sec. 5, in the plane plus a height interval.
"""

import math
from typing import Protocol

from numba.extending import register_jitable

from minicarla.geometry.types import OrientedBox

_EDGE_TOLERANCE = 0.05  # sine of the angle (about 3 deg) below which two faces touch along an edge, not at a corner


class Moved(Protocol):
    """Where a body is: m, deg."""

    x: float
    y: float
    z: float
    pitch: float
    yaw: float


class Box:
    """An upright box ready for queries: centre (x, y), heading (cos, sin), half sizes (ex, ey), heights (low, high)."""

    __slots__ = ("cos", "ex", "ey", "high", "low", "sin", "x", "y")

    def __init__(self, x: float, y: float, yaw_rad: float, ex: float, ey: float, low: float, high: float) -> None:
        self.x, self.y = x, y
        self.cos, self.sin = math.cos(yaw_rad), math.sin(yaw_rad)
        self.ex, self.ey = ex, ey
        self.low, self.high = low, high

    @classmethod
    def empty(cls) -> "Box":
        """At the origin, without size."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of(cls, box: OrientedBox) -> "Box":
        return cls(box.x, box.y, math.radians(box.yaw), box.ex, box.ey, box.z - box.ez, box.z + box.ez)

    @property
    def radius(self) -> float:
        """Of the circle around the footprint, m."""
        return math.hypot(self.ex, self.ey)

    def bounds(self) -> tuple[float, float, float, float]:
        """Axis-aligned footprint: least x, least y, largest x, largest y."""
        half_x = self.ex * abs(self.cos) + self.ey * abs(self.sin)
        half_y = self.ex * abs(self.sin) + self.ey * abs(self.cos)
        return self.x - half_x, self.y - half_y, self.x + half_x, self.y + half_y

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies in the footprint."""
        dx, dy = x - self.x, y - self.y
        return abs(dx * self.cos + dy * self.sin) <= self.ex and abs(dy * self.cos - dx * self.sin) <= self.ey


@register_jitable
def place_box(box: Box, state: "Moved", ex: float, ey: float, ez: float, offset: float, height: float) -> None:
    """Make it the box of a body: half sizes, and the centre ahead of and above the body's origin, m."""
    if state.pitch != 0.0:  # on a slope its ends reach further up and down
        ez += ex * abs(math.sin(math.radians(state.pitch)))
    yaw_rad = math.radians(state.yaw)
    box.cos, box.sin = math.cos(yaw_rad), math.sin(yaw_rad)
    box.ex, box.ey = ex, ey
    box.low, box.high = state.z + height - ez, state.z + height + ez
    box.x = state.x + offset * box.cos
    box.y = state.y + offset * box.sin


@register_jitable
def penetration(a: Box, b: Box) -> tuple[float, float, float] | None:
    """How far two boxes overlap.

    Returns:
      (depth, nx, ny): the shortest way out in the ground plane and its unit normal, from b to a; None if apart.
    """
    if a.low > b.high or b.low > a.high:
        return None
    dx, dy = a.x - b.x, a.y - b.y
    a_cos, a_sin, b_cos, b_sin = a.cos, a.sin, b.cos, b.sin
    cos = abs(a_cos * b_cos + a_sin * b_sin)
    sin = abs(a_cos * b_sin - a_sin * b_cos)
    along = dx * a_cos + dy * a_sin
    best = a.ex + b.ex * cos + b.ey * sin - abs(along)
    if best <= 0.0:
        return None
    nx, ny, sign = a_cos, a_sin, along
    along = dy * a_cos - dx * a_sin
    depth = a.ey + b.ex * sin + b.ey * cos - abs(along)
    if depth < best:
        if depth <= 0.0:
            return None
        best, nx, ny, sign = depth, -a_sin, a_cos, along
    along = dx * b_cos + dy * b_sin
    depth = b.ex + a.ex * cos + a.ey * sin - abs(along)
    if depth < best:
        if depth <= 0.0:
            return None
        best, nx, ny, sign = depth, b_cos, b_sin, along
    along = dy * b_cos - dx * b_sin
    depth = b.ey + a.ex * sin + a.ey * cos - abs(along)
    if depth < best:
        if depth <= 0.0:
            return None
        best, nx, ny, sign = depth, -b_sin, b_cos, along
    return (best, nx, ny) if sign >= 0.0 else (best, -nx, -ny)


@register_jitable
def first_touch(a: Box, b: Box, dx: float, dy: float) -> tuple[float, float, float] | None:
    """How two boxes have met on the way (dx, dy) that `a` has just gone beside `b`, in a straight line.

    The boxes overlap while their shadows on each of four axes do. They meet when the last two shadows do, and touch
    across that axis (Ericson 2005, Real-Time Collision Detection, sec. 5.5.8).

    Returns:
      (depth, nx, ny): the unit normal of the first touch, from b to a, and how far they have gone on along it. If they
      overlapped from the beginning, as what has turned does, the shortest way out to the side that `a` came from; None
      if they never met.
    """
    if a.low > b.high or b.low > a.high:
        return None
    x, y = a.x - b.x, a.y - b.y
    a_cos, a_sin, b_cos, b_sin = a.cos, a.sin, b.cos, b.sin
    cos = abs(a_cos * b_cos + a_sin * b_sin)
    sin = abs(a_cos * b_sin - a_sin * b_cos)
    met, left, touch = 0.0, 1.0, None  # parts of the way
    out = (math.inf, 0.0, 0.0)
    for nx, ny, reach in (
        (a_cos, a_sin, a.ex + b.ex * cos + b.ey * sin),
        (-a_sin, a_cos, a.ey + b.ex * sin + b.ey * cos),
        (b_cos, b_sin, b.ex + a.ex * cos + a.ey * sin),
        (-b_sin, b_cos, b.ey + a.ex * sin + a.ey * cos),
    ):
        end, travel = x * nx + y * ny, dx * nx + dy * ny
        begin = end - travel
        if (begin >= reach and end >= reach) or (begin <= -reach and end <= -reach):
            return None
        sign = math.copysign(1.0, begin)
        way = (reach - sign * end, sign * nx, sign * ny)
        if way[0] < out[0]:
            out = way
        if abs(begin) >= reach:
            entry = (abs(begin) - reach) / abs(travel)
            if touch is None or entry > met:
                met, touch = entry, way
        if abs(end) > reach:
            left = min(left, abs(math.copysign(reach, end) - begin) / abs(travel))
    if touch is None:
        return out if out[0] > 0.0 else None
    return touch if met < left else None


def contact_point(a: Box, b: Box, nx: float, ny: float) -> tuple[float, float]:
    """Where two overlapping boxes press on one another, given the unit normal from b to a.

    The corner or edge of each that faces the other is laid on the tangent (-ny, nx); the point is the middle of what
    they share, half way between the two along the normal.
    """
    a_along, a_across, a_half = _facing(a, nx, ny, -1.0)
    b_along, b_across, b_half = _facing(b, nx, ny, 1.0)
    low = max(a_along - a_half, b_along - b_half)
    high = min(a_along + a_half, b_along + b_half)
    along, across = 0.5 * (low + high), 0.5 * (a_across + b_across)
    return nx * across - ny * along, ny * across + nx * along


def _facing(box: Box, nx: float, ny: float, sign: float) -> tuple[float, float, float]:
    """The corner or edge farthest along sign * n: its middle as (along the tangent, along n) and half its length."""
    forward = sign * (nx * box.cos + ny * box.sin)
    right = sign * (ny * box.cos - nx * box.sin)
    dx = math.copysign(box.ex, forward) if abs(forward) > _EDGE_TOLERANCE else 0.0
    dy = math.copysign(box.ey, right) if abs(right) > _EDGE_TOLERANCE else 0.0
    x = box.x + dx * box.cos - dy * box.sin
    y = box.y + dx * box.sin + dy * box.cos
    half = box.ex if dx == 0.0 else box.ey if dy == 0.0 else 0.0
    return y * nx - x * ny, x * nx + y * ny, half


def ray_entry(
    box: Box, x: float, y: float, z: float, dx: float, dy: float, dz: float, reach: float, radius: float = 0.0
) -> float | None:
    """Distance along a ray to a box, or None beyond `reach`; 0 when it starts inside.

    Args:
      x, y, z: the ray's start, m.
      dx, dy, dz: unit direction.
      reach: m.
      radius: of a sphere swept along the ray, m; the box is grown by it (corners included: slightly early there).
    """
    rx, ry = x - box.x, y - box.y
    enter, leave = 0.0, reach
    centre = 0.5 * (box.low + box.high)
    for start, slope, half in (
        (rx * box.cos + ry * box.sin, dx * box.cos + dy * box.sin, box.ex + radius),
        (ry * box.cos - rx * box.sin, dy * box.cos - dx * box.sin, box.ey + radius),
        (z - centre, dz, box.high - centre + radius),
    ):
        if abs(slope) < 1e-12:
            if abs(start) > half:
                return None
            continue
        first, second = (-half - start) / slope, (half - start) / slope
        enter, leave = max(enter, min(first, second)), min(leave, max(first, second))
        if enter > leave:
            return None
    return enter
