"""Whom and what a driver on a route has to wait for, as obstacles ahead of its front bumper. Pure geometry.

Others are foretold for a few seconds: people walk straight on, vehicles keep their turn rate and stop at their own red
lights. Who will be on the route's strip when the ego would be there too is an obstacle where that happens.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envloop.task.observation import EgoState
from envloop.task.road_scene import RoadScene, RoadUser
from envloop.task.route import LEVEL_M, SPACING_M, Route

FloatArray = NDArray[np.float64]

HALF_LENGTH_M, HALF_WIDTH_M = 2.4, 1.08  # of a Model 3
_BEHIND_M, _AHEAD_M = 8.0, 56.0  # of the strip that is looked at
_PASSING_AHEAD_M = 32.0
_STEP_S, _STEPS = 0.25, 17
_TURNING_RAD = math.radians(8.0)  # a second; what is less is keeping to the lane
_BESIDE_JUNCTION_M = 4.0
_CHANGING_MPS = 2.0  # along the route
_TIMES = _STEP_S * np.arange(_STEPS)


@dataclass(frozen=True, slots=True)
class Caution:
    """What a driver keeps away from whom.

    Attributes:
      beside_m: between the ego's side and a vehicle's that does not concern it.
      beside_person_m: the same for a person.
      before_line_m: of the front bumper, where it stands before a junction.
      past_line_m: of the front bumper: who can stop no further than this beyond a red light's line has not run it, and
        stays.
      yellow_braking: a yellow light is for who can stop at this deceleration, m/s^2.
      red_braking: a red light is driven past where this is not enough any more, m/s^2.
      apart_s: ego and another pass the same place at least so long after each other.
      room_m: behind a junction, beyond the ego's length, before it drives in.
      moving_mps: who drives slower than this is about to stand.
      passing_m: a person no further than this from the middle of the ego's strip may step on it at any moment.
      passing_mps: how fast the ego passes there.
    """

    beside_m: float = 0.35
    beside_person_m: float = 0.7
    before_line_m: float = 1.2
    past_line_m: float = 2.0
    yellow_braking: float = 2.5
    red_braking: float = 7.0
    apart_s: float = 0.7
    room_m: float = 2.5
    moving_mps: float = 2.5
    passing_m: float = 3.0
    passing_mps: float = 4.0


CAUTION = Caution()
PEOPLE = ("person", "person crossing")  # kinds of obstacles


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Free metres ahead of the front bumper, how fast the obstacle moves along the route (m/s), and what it is."""

    gap_m: float
    speed_mps: float
    kind: str
    stands: bool = False  # a line or a person: no room need be left in front of it but what is in the gap


@dataclass(frozen=True)
class _Foretold:
    """[users, steps] where on the route everybody will be: arc length of the middle, half length along it, whether on
    the strip; and [users] the speed along the route now.
    """

    s: FloatArray
    half: FloatArray
    inside: NDArray[np.bool_]
    speed: FloatArray


@dataclass(frozen=True, slots=True)
class Passed:
    """A person on the road or beside it, and the metres from the front bumper until the ego passes."""

    gap_m: float
    user: RoadUser


@dataclass(frozen=True)
class Outlook:
    """What is ahead of an ego in one state. The others are foretold once, whoever asks and however often.

    Attributes:
      ego, route, scene: who drives where, among whom.
      s: arc length of the ego, m.
      caution: see the class.
    """

    ego: EgoState
    s: float
    route: Route
    scene: RoadScene
    caution: Caution = CAUTION

    def obstacles(self, legal_mps: Callable[[float], float]) -> list[Obstacle]:
        """Everything that keeps the ego from driving on.

        Args:
          legal_mps: the speed at an arc length, m/s, that the ego would drive if nothing held it up.
        """
        s, scene, caution = self.s, self.scene, self.caution
        front = s + HALF_LENGTH_M
        found = lines_ahead(self.ego, s, scene, caution)
        if users := self._users:
            foretold = self._foretold
            found += _ahead(front, s, users, foretold)
            found += _conflicts(front, s, users, foretold, _plan(s, self.ego.speed_mps, legal_mps), scene, caution)
            found += _full_exits(front, s, users, foretold, scene, caution)
        return found

    @cached_property
    def passed(self) -> list[Passed]:
        """Who is on the strip or could step on it at once, wherever they walk: no next step is foretold."""
        people = [user for user in self._users if user.person]
        if not people:
            return []
        strip = self.route.points_ahead(self.s - SPACING_M, int(_PASSING_AHEAD_M), SPACING_M)  # [N, 2]
        x, y = (np.array([[getattr(user, name)] for user in people]) for name in ("x", "y"))
        squared = (x - strip[:, 0]) ** 2 + (y - strip[:, 1]) ** 2
        nearest = squared.argmin(axis=1)
        near = (squared.min(axis=1) < self.caution.passing_m**2) & (nearest > 0) & (nearest < len(strip) - 1)
        return [
            Passed(max(0.0, SPACING_M * int(nearest[i]) - HALF_LENGTH_M), people[i])
            for i in np.flatnonzero(near).tolist()
        ]

    @cached_property
    def _users(self) -> list[RoadUser]:
        """Those on the ego's level."""
        z = self.route.point_at(self.s)[2]
        return [user for user in self.scene.users if abs(user.z - z) < 2.0 * LEVEL_M]

    @cached_property
    def _foretold(self) -> _Foretold:
        return _foretell(self._users, self.route, self.s, self.caution)


def lines_ahead(ego: EgoState, s: float, scene: RoadScene, caution: Caution = CAUTION) -> list[Obstacle]:
    """Those of an `Outlook`'s obstacles that lights and signs are: who else is on the road, they do not ask."""
    front = s + HALF_LENGTH_M
    signs = [Obstacle(max(gap, 0.0), 0.0, "stop sign", stands=True) for gap in _to_signs(front, scene, caution)]
    return _red_lights(front, ego.speed_mps, scene, caution) + signs


def _red_lights(front: float, speed: float, scene: RoadScene, caution: Caution) -> list[Obstacle]:
    found = []
    for line in scene.stop_lines:
        to_line = line.s - front
        if line.state not in ("red", "yellow") or to_line < -caution.past_line_m:
            continue
        gap = to_line - caution.before_line_m
        red = line.state == "red"
        room, braking = (to_line + caution.past_line_m, caution.red_braking) if red else (gap, caution.yellow_braking)
        if speed * speed <= 2.0 * max(room, 0.1) * braking:
            found.append(Obstacle(max(gap, 0.0), 0.0, line.state, stands=True))
    return found


def _to_signs(front: float, scene: RoadScene, caution: Caution) -> list[float]:
    """Metres to where the ego stands in front of each stop sign ahead."""
    return [s - front - caution.before_line_m for s in scene.stop_signs if s - front > -caution.past_line_m]


def _plan(s: float, speed: float, legal_mps: Callable[[float], float]) -> FloatArray:
    """[steps] arc length of the ego at `_TIMES` if nothing held it up."""
    reached = [s]
    for _ in range(_STEPS - 1):
        speed = min(speed + 2.0 * _STEP_S, legal_mps(s))
        s += speed * _STEP_S
        reached.append(s)
    return np.array(reached)


def _foretell(users: list[RoadUser], route: Route, s: float, caution: Caution) -> _Foretold:
    first = s - _BEHIND_M
    strip = route.points_ahead(first - SPACING_M, int(_BEHIND_M + _AHEAD_M), SPACING_M)  # [N, 2]
    tangents = np.gradient(strip, axis=0)
    tangents /= np.maximum(np.hypot(tangents[:, 0], tangents[:, 1]), 1e-6)[:, None]
    x, y, yaw = _courses(users)
    nearest = ((x[..., None] - strip[:, 0]) ** 2 + (y[..., None] - strip[:, 1]) ** 2).argmin(axis=2)
    tangent = tangents[nearest]  # [users, steps, 2]
    dx, dy = x - strip[nearest, 0], y - strip[nearest, 1]
    along = dx * tangent[..., 0] + dy * tangent[..., 1]
    lateral = np.abs(dy * tangent[..., 0] - dx * tangent[..., 1])
    cos = np.abs(np.cos(yaw) * tangent[..., 0] + np.sin(yaw) * tangent[..., 1])
    sin = np.sqrt(np.maximum(0.0, 1.0 - cos * cos))
    length, width = (np.array([[getattr(user, name)] for user in users]) for name in ("half_length", "half_width"))
    person = np.array([[user.person] for user in users])
    beside = HALF_WIDTH_M + np.where(person, caution.beside_person_m, caution.beside_m)
    on_strip = (nearest > 0) & (nearest < len(strip) - 1)
    velocity = np.array([[user.vx, user.vy] for user in users])
    return _Foretold(
        s=first + SPACING_M * nearest + along,
        half=cos * length + sin * width,
        inside=on_strip & (lateral - (sin * length + cos * width) < beside),
        speed=(velocity * tangent[:, 0]).sum(axis=1),
    )


def _courses(users: list[RoadUser]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[users, steps] x, y (m) and yaw (rad)."""
    columns = np.array(
        [(u.x, u.y, math.radians(u.yaw_deg), u.vx, u.vy, math.radians(u.yaw_rate_deg), u.accel) for u in users]
    ).T[..., None]
    x, y, yaw, vx, vy, rate, accel = columns
    person = np.array([[user.person] for user in users])
    limit = np.array([[user.may_drive_m] for user in users])
    speed = np.hypot(vx, vy)
    # Braking goes on until the vehicle stands, speeding up is not relied on.
    braking = np.where(person, 0.0, np.minimum(accel, 0.0))
    until = np.where(braking < -0.3, np.minimum(_TIMES, speed / np.maximum(-braking, 0.3)), _TIMES)
    driven = speed * until + np.where(braking < -0.3, 0.5 * braking * until * until, 0.0)
    driven = np.minimum(np.maximum(driven, 0.0), limit)
    rate = np.where(person | (speed < 0.5) | (np.abs(rate) < _TURNING_RAD), 0.0, rate)
    turned = np.clip(rate * driven / np.maximum(speed, 0.5), -math.pi / 2, math.pi / 2)
    course = np.where(speed > 0.2, np.arctan2(vy, vx), yaw) + 0.5 * turned
    return x + driven * np.cos(course), y + driven * np.sin(course), yaw + turned


def _ahead(front: float, s: float, users: list[RoadUser], foretold: _Foretold) -> list[Obstacle]:
    """Who is on the strip now, ahead of the ego's middle."""
    here = np.flatnonzero(foretold.inside[:, 0] & (foretold.s[:, 0] > s + 0.5))
    return [
        Obstacle(
            max(0.0, float(foretold.s[i, 0] - foretold.half[i, 0] - front)),
            float(foretold.speed[i]) if not users[i].person else 0.0,
            "person" if users[i].person else "vehicle",
        )
        for i in here
    ]


def _conflicts(
    front: float,
    s: float,
    users: list[RoadUser],
    foretold: _Foretold,
    plan: FloatArray,
    scene: RoadScene,
    caution: Caution,
) -> list[Obstacle]:
    """Who is not on the strip now, and will be when the ego would be there.

    Outside junctions vehicles keep to their lanes: only those count that drive along with the ego and change lanes.
    """
    early = np.interp(_TIMES + caution.apart_s, _TIMES, plan) + HALF_LENGTH_M
    late = np.interp(_TIMES - caution.apart_s, _TIMES, plan) - HALF_LENGTH_M
    meets = foretold.inside & (foretold.s - foretold.half < early) & (foretold.s + foretold.half > late)
    meets &= ~foretold.inside[:, :1] & (foretold.s[:, :1] > s - HALF_LENGTH_M)
    free = np.array([[user.person] for user in users]) | (foretold.speed > _CHANGING_MPS)[:, None]
    for crossing in scene.crossings:
        free = free | (
            np.abs(foretold.s - 0.5 * (crossing.begin + crossing.end))
            < 0.5 * (crossing.end - crossing.begin) + _BESIDE_JUNCTION_M
        )
    meets &= free
    found = []
    for i in np.flatnonzero(meets.any(axis=1)):
        step = int(meets[i].argmax())
        gap = float(foretold.s[i, step] - foretold.half[i, step] - front)
        if gap > -HALF_LENGTH_M:  # whose side the ego has passed has to look out for itself
            kind = "person crossing" if users[i].person else "vehicle crossing"
            found.append(Obstacle(max(0.0, gap), 0.0, kind, stands=users[i].person))
    return found


def _full_exits(
    front: float, s: float, users: list[RoadUser], foretold: _Foretold, scene: RoadScene, caution: Caution
) -> list[Obstacle]:
    """A junction that the ego could not leave again, for those behind it stand."""
    crossing = next((each for each in scene.crossings if each.begin > front), None)
    if crossing is None or crossing.begin - front > _AHEAD_M / 2.0:
        return []
    needed = crossing.end + 2.0 * HALF_LENGTH_M + caution.room_m
    vehicles = np.array([not user.person for user in users])
    beyond = foretold.inside[:, 0] & vehicles & (foretold.s[:, 0] > crossing.begin)
    rear = foretold.s[:, 0] - foretold.half[:, 0] + 2.0 * np.maximum(foretold.speed, 0.0)
    if not (beyond & (rear < needed) & (foretold.speed < caution.moving_mps)).any():
        return []
    return [Obstacle(max(0.0, crossing.begin - caution.before_line_m - front), 0.0, "full exit", stands=True)]
