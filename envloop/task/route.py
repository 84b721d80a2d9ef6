"""Route geometry: where the car is along its route, and what lies ahead.

A route is a polyline resampled at a fixed spacing, so that arc length, curvature and look-ahead are table look-ups
and a projection is a short walk from the last arc length. Everything is CARLA's frame: x forward/east, y right/south
in metres, headings in degrees, clockwise seen from above.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envloop.errors import TaskError

FloatArray = NDArray[np.float64]

SPACING_M = 1.0
# How far a projection may move from its hint. A car does 0.4 m a tick at 30 km/h; 20 m leaves room for long decisions.
SEARCH_M = 20.0
LEVEL_M = 2.5  # a bridge leaves more room than that to the road below


@dataclass(frozen=True, slots=True)
class Projection:
    """A position relative to a route.

    Attributes:
      s: arc length of the foot point, m, in [0, route.length].
      lateral: signed distance from the route, m, right of the driving direction positive.
      heading_deg: the route's tangent at `s`, deg in (-180, 180], CARLA's clockwise yaw.
    """

    s: float
    lateral: float
    heading_deg: float


@dataclass(frozen=True, slots=True)
class SpeedRules:
    """What the legal speed of a route is made of.

    Attributes:
      limit_mps: speed limit, m/s; 30 km/h.
      lateral_accel: bound of v^2 / R in bends, m/s^2. 2.5 lies inside the 0.2-0.4 g that cars commonly see (Dickmanns
        2007, Dynamic Vision for Perception and Control of Motion, section 3.4) and gives 3.8 m/s in Town01's right turn
        of R = 5.7 m.
      braking: deceleration at which the profile approaches a bend, m/s^2: at 2 the drop from 8.33 to 3.8 m/s takes
        14 m, so the legal speed is never a step that only an emergency brake could obey.
    """

    limit_mps: float = 30.0 / 3.6
    lateral_accel: float = 2.5
    braking: float = 2.0

    def __post_init__(self) -> None:
        for name in ("limit_mps", "lateral_accel", "braking"):
            if not getattr(self, name) > 0.0:
                raise TaskError(f"speed.{name} is {getattr(self, name):g}; it must be positive.")


class Route:
    """A drivable polyline with O(1) projection.

    Args:
      points: [N, 2] or [N, 3], m, in driving order; z tells levels apart and is ignored by every distance.
      spacing_m: distance between the resampled points.

    Raises:
      TaskError: fewer than two distinct points, non-finite points, or a shape that is neither [N, 2] nor [N, 3].
    """

    def __init__(self, points: ArrayLike, spacing_m: float = SPACING_M) -> None:
        xyz = _checked_points(points, spacing_m)
        arc = _arc_length(xyz)
        count = max(2, round(float(arc[-1]) / spacing_m) + 1)
        even = np.linspace(0.0, arc[-1], count)
        self.points: FloatArray = np.stack([np.interp(even, arc, column) for column in xyz.T], axis=1)  # [M, 3]
        self.arc_length: FloatArray = _arc_length(self.points)  # [M]
        self.length: float = float(self.arc_length[-1])
        self.tangents: FloatArray = _unit_tangents(self.points[:, :2])  # [M, 2]
        # Scalar Python is ten times faster than numpy on one point, and a projection is made every tick.
        self._x, self._y, self._z = (column.tolist() for column in self.points.T)
        self._tx, self._ty = (column.tolist() for column in self.tangents.T)
        self._s: list[float] = self.arc_length.tolist()
        self._complex = self.points[:, 0] + 1j * self.points[:, 1]  # one interpolation instead of two
        self._mean_spacing = self.length / (count - 1)

    def project(self, x: float, y: float, hint_s: float | None = None) -> Projection:
        """Foot point of (x, y) on the route.

        With `hint_s`, the last known arc length, only the neighbourhood of the hint is searched: constant time, and a
        route that crosses or nears itself cannot swap branches. Without it the whole route is searched: use that
        after a reset.

        The foot point is where the *interpolated* tangent is perpendicular to the offset, so `s`, `lateral` and
        `heading_deg` are continuous while the car is nearer to the route than a bend's radius. Before the start `s`
        is 0, past the end `length`.
        """
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"A position must be finite to be projected on a route, not ({x}, {y}).")
        i = self._segment(x, y, self._nearest(x, y) if hint_s is None else self._index(hint_s))
        ax, ay = x - self._x[i], y - self._y[i]
        bx, by = x - self._x[i + 1], y - self._y[i + 1]
        t = _foot_fraction(
            ax * self._tx[i] + ay * self._ty[i],
            bx * self._tx[i + 1] + by * self._ty[i + 1],
            ax * self._tx[i + 1] + ay * self._ty[i + 1],
            bx * self._tx[i] + by * self._ty[i],
        )
        tx, ty = self._tangent(i, t)
        dx, dy = ax + (bx - ax) * t, ay + (by - ay) * t
        s = self._s[i] + t * (self._s[i + 1] - self._s[i])
        return Projection(s=s, lateral=dy * tx - dx * ty, heading_deg=math.degrees(math.atan2(ty, tx)))

    def point_at(self, s: float) -> tuple[float, float, float]:
        """(x, y, z) at arc length `s`, m; beyond either end along the end's tangent."""
        clamped = min(max(s, 0.0), self.length)
        i = self._index(clamped)
        t = (clamped - self._s[i]) / (self._s[i + 1] - self._s[i])
        end = 0 if s < 0.0 else -1
        over = s - clamped
        return (
            self._x[i] + t * (self._x[i + 1] - self._x[i]) + over * self._tx[end],
            self._y[i] + t * (self._y[i + 1] - self._y[i]) + over * self._ty[end],
            self._z[i] + t * (self._z[i + 1] - self._z[i]),
        )

    def heading_at(self, s: float) -> float:
        """Tangent heading at arc length `s`, deg in (-180, 180]."""
        clamped = min(max(s, 0.0), self.length)
        i = self._index(clamped)
        tx, ty = self._tangent(i, (clamped - self._s[i]) / (self._s[i + 1] - self._s[i]))
        return math.degrees(math.atan2(ty, tx))

    def pitch_at(self, s: float) -> float:
        """Slope at arc length `s` over about a car's wheelbase, deg, upwards positive."""
        (x0, y0, z0), (x1, y1, z1) = self.point_at(s - 1.5), self.point_at(s + 1.5)
        return math.degrees(math.atan2(z1 - z0, math.hypot(x1 - x0, y1 - y0)))

    def points_ahead(self, s: float, n: int, spacing: float) -> FloatArray:
        """[n, 2] points at s + spacing, ..., s + n * spacing, m; past the goal they go on along the last tangent.

        Extrapolating keeps the policy's inputs non-zero and continuous up to the goal and beyond it.
        """
        wanted = s + spacing * np.arange(1, n + 1)
        ahead = np.interp(wanted, self.arc_length, self._complex).view(np.float64).reshape(n, 2)
        if wanted[-1] > self.length:
            ahead += np.maximum(wanted - self.length, 0.0)[:, None] * self.tangents[-1]
        if wanted[0] < 0.0:
            ahead += np.minimum(wanted, 0.0)[:, None] * self.tangents[0]
        return ahead

    def stretches(self, flags: ArrayLike) -> list[tuple[float, float]]:
        """Arc lengths at which the route's runs of points begin and end for which `flags`, [M] bool, is True."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(flags, bool), [False]])))
        return [(self._s[first], self._s[past - 1]) for first, past in edges.reshape(-1, 2).tolist()]

    def curvature(self, window_m: float = 2.0) -> FloatArray:
        """[M] unsigned curvature at the resampled points, 1/m, over +-`window_m` to smooth a polyline's corners."""
        heading = np.unwrap(np.arctan2(self.tangents[:, 1], self.tangents[:, 0]))
        before = np.clip(self.arc_length - window_m, 0.0, self.length)
        after = np.clip(self.arc_length + window_m, 0.0, self.length)
        turned = np.interp(after, self.arc_length, heading) - np.interp(before, self.arc_length, heading)
        return np.abs(turned) / (after - before)

    def _index(self, s: float) -> int:
        return min(max(int(s / self._mean_spacing), 0), len(self._s) - 2) if s > 0.0 else 0

    def _nearest(self, x: float, y: float) -> int:
        distance = (self.points[:, 0] - x) ** 2 + (self.points[:, 1] - y) ** 2
        return min(int(np.argmin(distance)), len(self._s) - 2)

    def _segment(self, x: float, y: float, i: int) -> int:
        """Walk from segment `i` to the one whose two end normals enclose (x, y)."""
        reach = max(1, math.ceil(SEARCH_M / self._mean_spacing))
        last = min(len(self._s) - 2, i + reach)
        first = max(0, i - reach)
        while i < last and (x - self._x[i + 1]) * self._tx[i + 1] + (y - self._y[i + 1]) * self._ty[i + 1] >= 0.0:
            i += 1
        while i > first and (x - self._x[i]) * self._tx[i] + (y - self._y[i]) * self._ty[i] < 0.0:
            i -= 1
        return i

    def _tangent(self, i: int, t: float) -> tuple[float, float]:
        tx = self._tx[i] + t * (self._tx[i + 1] - self._tx[i])
        ty = self._ty[i] + t * (self._ty[i + 1] - self._ty[i])
        norm = math.hypot(tx, ty)
        return tx / norm, ty / norm


class SpeedProfile:
    """Legal speed along a route: the limit, less in bends, with a comfortable run-up to each bend.

    v(s) = min(limit, sqrt(lateral_accel / curvature)), then backwards v(s) <= sqrt(v(s + ds)^2 + 2 * braking * ds).
    """

    def __init__(self, route: Route, rules: SpeedRules | None = None) -> None:
        self.rules = rules or SpeedRules()
        curvature = np.maximum(route.curvature(), 1e-9)
        bound = np.minimum(self.rules.limit_mps, np.sqrt(self.rules.lateral_accel / curvature))
        step = np.diff(route.arc_length)
        for i in range(len(bound) - 2, -1, -1):
            bound[i] = min(bound[i], math.sqrt(bound[i + 1] ** 2 + 2.0 * self.rules.braking * step[i]))
        self._s = route.arc_length
        self._speed = bound

    def at(self, s: float) -> float:
        """Legal speed at arc length `s`, m/s."""
        return float(np.interp(s, self._s, self._speed))

    @property
    def slow_s(self) -> FloatArray:
        """Arc lengths of the resampled points with a legal speed under the limit, m: bends and the run-ups to them."""
        return self._s[self._speed < self.rules.limit_mps]


@dataclass(frozen=True, slots=True)
class Lead:
    """The nearest actor on the route ahead.

    Attributes:
      gap_m: free distance between the two bumpers along the route, m, at least 0; inf when the route is free.
      closing_mps: speed at which the gap shrinks, m/s; negative when it grows.
    """

    gap_m: float = math.inf
    closing_mps: float = 0.0

    @property
    def time_to_collision_s(self) -> float:
        """Gap over closing speed, s; inf when nothing is ahead or the gap does not shrink."""
        return self.gap_m / self.closing_mps if self.closing_mps > 1e-3 and math.isfinite(self.gap_m) else math.inf


@dataclass(frozen=True, slots=True)
class Other:
    """Another road user as far as a route cares: centre (m), world velocity (m/s), half length along the route (m);
    z is the height of its wheels (m).
    """

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    half_length: float = 2.4
    z: float = 0.0


def lead_ahead(
    route: Route,
    s: float,
    speed_mps: float,
    others: Sequence[Other],
    *,
    ego_half_length: float = 2.4,
    corridor_m: float = 1.75,
    range_m: float = 40.0,
) -> Lead:
    """Nearest of `others` whose centre is within `corridor_m` of the route in the next `range_m` metres, on its level.

    The corridor is a car's width, less than half of the 4 m between Town01's lane centres, so oncoming traffic does
    not count. 2.4 m is half of a Model 3 (4.79 m).
    """
    x, y, _ = route.point_at(s)
    near = [other for other in others if abs(other.x - x) <= range_m and abs(other.y - y) <= range_m]
    if not near:
        return Lead()
    ahead = route.points_ahead(s, max(2, int(range_m / SPACING_M)), SPACING_M)  # [count, 2]
    leads = []
    for other in near:
        squared = (ahead[:, 0] - other.x) ** 2 + (ahead[:, 1] - other.y) ** 2
        index = int(squared.argmin())
        if squared[index] > corridor_m**2:
            continue
        height_m = other.z - route.point_at(s + (index + 1) * SPACING_M)[2]
        if abs(height_m) <= LEVEL_M:
            leads.append(_lead(route, s, index, ahead[index], other, ego_half_length, speed_mps))
    return min(leads, key=lambda lead: lead.gap_m, default=Lead())


def _lead(
    route: Route, s: float, index: int, near: FloatArray, other: Other, ego_half_length: float, speed_mps: float
) -> Lead:
    """Gap to `other`, whose nearest look-ahead point is `near`, the `index`-th; exact between the points."""
    distance = (index + 1) * SPACING_M
    heading_rad = math.radians(route.heading_at(s + distance))
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    distance += (other.x - near[0]) * cos + (other.y - near[1]) * sin
    gap = distance - ego_half_length - other.half_length
    return Lead(gap_m=max(0.0, float(gap)), closing_mps=speed_mps - (other.vx * cos + other.vy * sin))


def wrap_degrees(angle: float) -> float:
    """`angle` in (-180, 180]."""
    return -((180.0 - angle) % 360.0 - 180.0)


def route_0() -> Route:
    """The route of record from geometry alone: west along y = 129.49, a right turn, north along x = 92.34.

    The turn is two arcs of 50 deg at R = 5.70 m and 40 deg at R = 7.50 m, as in Town01's connecting road, so the
    route stays on the lane centre to 0.1 m. A right turn is clockwise: from heading 180 to 270 (= -90) deg.
    """
    turn_in, turn_out, angle = 5.70, 7.50, math.radians(50.0)
    # Distance from the bend's first point to the crossing of the two straights, west and north.
    west = turn_in * math.sin(angle) + turn_out * (1.0 - math.sin(angle))
    north = turn_in * (1.0 - math.cos(angle)) + turn_out * math.cos(angle)
    start = (92.34 + west, 129.49)
    first = [
        (start[0] - turn_in * math.sin(a), start[1] - turn_in * (1.0 - math.cos(a)))
        for a in np.linspace(0.0, angle, 25)
    ]
    second = [
        (92.34 + turn_out * (1.0 - math.sin(a)), 129.49 - north + turn_out * math.cos(a))
        for a in np.linspace(angle, math.pi / 2, 25)[1:]
    ]
    return Route([(317.74, 129.49), *first, *second, (92.34, 86.73)])


def _checked_points(points: ArrayLike, spacing_m: float) -> FloatArray:
    """[N, 3] float64 without repeated points."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise TaskError(f"A route is an array of [N, 2] or [N, 3] points in metres, not of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise TaskError("A route's points must all be finite.")
    if not spacing_m > 0.0:
        raise TaskError(f"A route's spacing must be positive, not {spacing_m}.")
    if array.shape[1] == 2:
        array = np.column_stack([array, np.zeros(len(array))])
    moved = np.ones(len(array), dtype=bool)
    moved[1:] = np.hypot(*np.diff(array[:, :2], axis=0).T) > 1e-6
    array = array[moved]
    if len(array) < 2:
        raise TaskError("A route needs at least two different points.")
    return array


def _arc_length(xyz: FloatArray) -> FloatArray:
    """[N] cumulative length in the ground plane, m."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xyz[:, :2], axis=0).T))])


def _unit_tangents(xy: FloatArray) -> FloatArray:
    """[M, 2] central differences, one-sided at the ends."""
    tangent = np.empty_like(xy)
    tangent[1:-1] = xy[2:] - xy[:-2]
    tangent[0], tangent[-1] = xy[1] - xy[0], xy[-1] - xy[-2]
    norm = np.hypot(tangent[:, 0], tangent[:, 1])
    if (norm < 1e-9).any():
        raise TaskError("A route must not turn back on itself; split it where it does.")
    return tangent / norm[:, None]


def _foot_fraction(at_a: float, at_b: float, a_on_b: float, b_on_a: float) -> float:
    """Root in [0, 1] of the offset's component along the interpolated tangent of a segment.

    f(t) = (1-t)^2 (p-a).Ta + t(1-t) [(p-a).Tb + (p-b).Ta] + t^2 (p-b).Tb, with f(0) >= 0 > f(1) inside the segment.
    """
    if at_a <= 0.0:
        return 0.0
    if at_b >= 0.0:
        return 1.0
    mixed = a_on_b + b_on_a
    # Of q t^2 + r t + c the root that lies in [0, 1] when the ends differ in sign, in the form without cancellation.
    q, r, c = at_a - mixed + at_b, mixed - 2.0 * at_a, at_a
    root = math.sqrt(max(0.0, r * r - 4.0 * q * c))
    return min(1.0, max(0.0, 2.0 * c / (root - r)))


ROUTE_0 = route_0()
