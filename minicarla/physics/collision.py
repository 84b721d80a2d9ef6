"""Collisions between vehicles, walkers and the static town: spatial hash, separating axes, impulses.

Pairs are swept along the step, and part where they first touched. So nothing tunnels, however long the step, and who
hits a corner is stopped by the side that it ran into.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from minicarla.geometry.boxes import Box, contact_point, first_touch, penetration, place_box, ray_entry
from minicarla.geometry.cells import grid_of, members_within
from minicarla.geometry.types import OrientedBox
from minicarla.limits import MAX_CONTACT_PAIRS
from minicarla.physics.broad_phase import CELL, any_touches, find_pairs, find_static_pairs, records_of
from minicarla.physics.rows import Motion

RESTITUTION = 0.1  # cars crumple; crash tests give 0.1-0.3 at town speeds, estimated at the lower end
RESTITUTION_SPEED = 1.0  # m/s of approach below which nothing bounces: bodies that lean on one another must not jitter
SLIDING_FRICTION = 0.4  # between bodies, estimated
GAP = 0.001  # m left between bodies that were pushed apart
MAX_PASSES = 4  # over the touching pairs of one step: what is pushed may push the next


@dataclass(slots=True)
class Body:
    """A moving box: the actor's state and what does not change about it.

    Attributes:
      actor_id: the actor's id.
      state: shared with whoever steps the actor.
      extent: half sizes, m.
      box_centre: (x, z) of the box's centre in the actor's frame, m.
      mass: kg.
      gyration_sq: yaw inertia per mass, m^2; 0 for what never spins (walkers).
    """

    actor_id: int
    state: Motion
    extent: tuple[float, float, float]
    box_centre: tuple[float, float] = (0.0, 0.0)
    mass: float = 1000.0
    gyration_sq: float = 0.0
    radius: float = field(init=False)  # m, of a circle about the actor's origin that holds the footprint

    def __post_init__(self) -> None:
        self.radius = math.hypot(self.extent[0], self.extent[1]) + abs(self.box_centre[0])

    def box(self) -> Box:
        """Its box where it is now."""
        box = Box.empty()
        place_box(box, self.state, *self.extent, *self.box_centre)
        return box


@dataclass(frozen=True, slots=True)
class Contact:
    """One collision of one step.

    Attributes:
      a_id: an actor.
      b_id: the other actor, or None when it hit the static town.
      static_index: which static box it hit, or None.
      point: world x, y, m.
      normal: unit vector from b towards a.
      impulse: on a, N*s in the world frame, as `carla.CollisionEvent.normal_impulse`; on b it is minus this.
    """

    a_id: int
    b_id: int | None
    static_index: int | None
    point: tuple[float, float]
    normal: tuple[float, float, float]
    impulse: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RayHit:
    """What a ray met first, `distance` m away: one of `actor_id` and `static_index` is set."""

    distance: float
    actor_id: int | None
    static_index: int | None


class CollisionWorld:
    """The static boxes of a town, and the collisions of the bodies in it. Holds no dynamic state."""

    def __init__(self, static: Sequence[OrientedBox]) -> None:
        boxes = [Box.of(box) for box in static]
        self._static = [_Mover.fixed(index, box) for index, box in enumerate(boxes)]
        self._records = records_of(boxes)
        self._grid = grid_of(np.array([box.bounds() for box in boxes]), CELL)
        self._gone = np.zeros(len(boxes), np.bool_)
        self._pairs, self._static_pairs = np.zeros((2, MAX_CONTACT_PAIRS, 2), np.int64)

    def without(self, indices: Collection[int]) -> "CollisionWorld":
        """The same without the static boxes of these indices; the others keep theirs."""
        rest = copy(self)
        rest._gone = self._gone.copy()
        rest._gone[[index for index in indices if index < len(rest._gone)]] = True
        return rest

    def step(self, bodies: Sequence[Body], rows: np.ndarray, which: np.ndarray, dt: float) -> list[Contact]:
        """Pushes overlapping bodies apart and exchanges impulses, after all of them were stepped by `dt` seconds.

        Changes positions, velocities, yaw rates and accelerations of the states in place. A body that does not simulate
        physics is not moved; two bodies at rest are not compared. The order of `bodies` is all that the order of the
        contacts depends on.

        Args:
          rows, which: where the states of the bodies are, and their boxes: of type `rows.BODIES`; [N] int64.
        """
        pairs = self._pairs[: find_pairs(rows, which, dt, self._pairs)]
        count = find_static_pairs(rows, which, dt, self._grid, self._records, self._gone, self._static_pairs)
        static_pairs = self._static_pairs[:count]
        if not any_touches(rows, which, dt, self._records, pairs, static_pairs):
            return []
        movers: dict[int, _Mover] = {}
        close = [(_mover(movers, bodies, i), _mover(movers, bodies, j)) for i, j in pairs.tolist()]
        close += [(_mover(movers, bodies, i), self._static[index]) for i, index in static_pairs.tolist()]
        return _part(bodies, movers, close, dt)

    def overlaps(self, box: OrientedBox, bodies: Iterable[Body] = (), ignore: int | None = None) -> bool:
        """Whether something stands in `box`: a static box, or one of `bodies` other than the actor `ignore`."""
        asked = Box.of(box)
        if any(penetration(asked, self._static[index].box) for index in self._near(*asked.bounds())):
            return True
        reach = math.hypot(box.ex, box.ey)
        for body in bodies:
            if body.actor_id == ignore:
                continue
            if math.hypot(body.state.x - box.x, body.state.y - box.y) <= reach + body.radius and penetration(
                asked, body.box()
            ):
                return True
        return False

    def raycast(
        self,
        start: tuple[float, float, float],
        direction: tuple[float, float, float],
        reach: float,
        bodies: Iterable[Body] = (),
        *,
        radius: float = 0.0,
        ignore: int | None = None,
        only_dynamic: bool = False,
    ) -> RayHit | None:
        """The nearest box that a sphere of `radius` m meets on its way along the unit vector `direction`.

        Args:
          start: m.
          reach: how far the sphere's centre goes, m.
          bodies: the moving boxes, of which the actor `ignore` is left out.
          only_dynamic: leave out the static town.
        """
        ray = (*start, *direction)
        hit: RayHit | None = None
        for body in bodies:
            gap = math.hypot(body.state.x - start[0], body.state.y - start[1])
            if body.actor_id == ignore or gap > reach + radius + body.radius:
                continue
            entry = ray_entry(body.box(), *ray, reach, radius)
            if entry is not None:
                reach, hit = entry, RayHit(entry, body.actor_id, None)
        if only_dynamic:
            return hit
        ends = [(point, point + step * reach) for point, step in zip(start, direction, strict=True)]
        (x0, x1), (y0, y1), _ = ends
        bounds = (min(x0, x1) - radius, min(y0, y1) - radius, max(x0, x1) + radius, max(y0, y1) + radius)
        for index in self._near(*bounds):
            entry = ray_entry(self._static[index].box, *ray, reach, radius)
            if entry is not None and (hit is None or entry < hit.distance):
                reach, hit = entry, RayHit(entry, None, index)
        return hit

    def _near(self, x0: float, y0: float, x1: float, y1: float) -> list[int]:
        """Static boxes whose cells the bounds touch, each once, in rising order."""
        return [index for index in members_within(self._grid, x0, y0, x1, y1) if not self._gone[index]]


class _Mover:
    """A body's box and motion while a step is being resolved; `inv_mass` 0 for what cannot be moved."""

    __slots__ = ("actor_id", "box", "inv_inertia", "inv_mass", "omega", "static_index", "vx", "vy", "x0", "y0")

    def __init__(self, actor_id: int, static_index: int | None, box: Box) -> None:
        self.actor_id, self.static_index, self.box = actor_id, static_index, box
        self.vx = self.vy = self.omega = self.inv_mass = self.inv_inertia = 0.0
        self.x0, self.y0 = box.x, box.y

    @classmethod
    def fixed(cls, static_index: int, box: Box) -> "_Mover":
        return cls(-1, static_index, box)

    @classmethod
    def of(cls, body: Body) -> "_Mover":
        mover = cls(body.actor_id, None, body.box())
        state = body.state
        mover.vx, mover.vy, mover.omega = state.vx, state.vy, math.radians(state.yaw_rate)
        if state.simulate_physics:
            mover.inv_mass = 1.0 / body.mass
            if body.gyration_sq > 0.0:
                mover.inv_inertia = 1.0 / (body.mass * body.gyration_sq)
        return mover

    def write_back(self, state: Motion, dt: float) -> None:
        if self.inv_mass == 0.0:
            return
        state.x += self.box.x - self.x0
        state.y += self.box.y - self.y0
        state.ax += (self.vx - state.vx) / dt
        state.ay += (self.vy - state.vy) / dt
        state.vx, state.vy = self.vx, self.vy
        state.yaw_rate = math.degrees(self.omega)

    def push(self, jx: float, jy: float, arm: float) -> None:
        """Applies an impulse (N*s) whose moment about the centre is `arm` (N*m*s)."""
        self.vx += jx * self.inv_mass
        self.vy += jy * self.inv_mass
        self.omega += arm * self.inv_inertia


def _mover(movers: dict[int, _Mover], bodies: Sequence[Body], i: int) -> _Mover:
    mover = movers.get(i)
    if mover is None:
        mover = movers[i] = _Mover.of(bodies[i])
    return mover


def _part(
    bodies: Sequence[Body], movers: dict[int, _Mover], close: Sequence[tuple[_Mover, _Mover]], dt: float
) -> list[Contact]:
    """Lets pairs that have met bounce off each other. movers: of the bodies by their places."""
    contacts: dict[tuple[int, int | None, int | None], Contact] = {}
    changed = False
    for number in range(MAX_PASSES):
        touched = False
        for a, b in close:
            if number == 0:
                touch = first_touch(a.box, b.box, (a.vx - b.vx) * dt, (a.vy - b.vy) * dt)
            else:
                touch = penetration(a.box, b.box)
            if touch is not None:
                touched = True
                _add(contacts, _resolve(a, b, *touch))
        if not touched:
            break
        changed = True
    if changed:
        for i, mover in movers.items():
            mover.write_back(bodies[i].state, dt)
    return list(contacts.values())


def _resolve(a: _Mover, b: _Mover, depth: float, nx: float, ny: float) -> Contact | None:
    """Separates two boxes along the normal (from b to a); exchanges an impulse if they approach.

    Newton's restitution along the normal, Coulomb friction across it (Catto 2006, Fast and Simple Physics using
    Sequential Impulses). Neither can add kinetic energy.
    """
    inv_mass = a.inv_mass + b.inv_mass
    if inv_mass == 0.0:
        return None
    move = (depth + GAP) / inv_mass
    a.box.x += nx * move * a.inv_mass
    a.box.y += ny * move * a.inv_mass
    b.box.x -= nx * move * b.inv_mass
    b.box.y -= ny * move * b.inv_mass
    x, y = contact_point(a.box, b.box, nx, ny)
    ax, ay, bx, by = x - a.box.x, y - a.box.y, x - b.box.x, y - b.box.y
    approach = _closing(a, b, ax, ay, bx, by, nx, ny)
    if approach <= 0.0:
        return None
    bounce = RESTITUTION if approach > RESTITUTION_SPEED else 0.0
    normal = (1.0 + bounce) * approach / _inverse_mass(a, b, ax, ay, bx, by, nx, ny)
    _exchange(a, b, ax, ay, bx, by, normal * nx, normal * ny)
    tx, ty = -ny, nx
    friction = _closing(a, b, ax, ay, bx, by, tx, ty) / _inverse_mass(a, b, ax, ay, bx, by, tx, ty)
    friction = max(-SLIDING_FRICTION * normal, min(SLIDING_FRICTION * normal, friction))
    _exchange(a, b, ax, ay, bx, by, friction * tx, friction * ty)
    jx, jy = normal * nx + friction * tx, normal * ny + friction * ty
    b_id = b.actor_id if b.static_index is None else None
    return Contact(a.actor_id, b_id, b.static_index, (x, y), (nx, ny, 0.0), (jx, jy, 0.0))


def _closing(a: _Mover, b: _Mover, ax: float, ay: float, bx: float, by: float, nx: float, ny: float) -> float:
    """Speed at which the contact points approach along the unit vector n from b to a, m/s."""
    return (b.vx - b.omega * by - a.vx + a.omega * ay) * nx + (b.vy + b.omega * bx - a.vy - a.omega * ax) * ny


def _inverse_mass(a: _Mover, b: _Mover, ax: float, ay: float, bx: float, by: float, nx: float, ny: float) -> float:
    """Velocity change along n per impulse along n at the contact point, 1/kg."""
    a_arm, b_arm = ax * ny - ay * nx, bx * ny - by * nx
    return a.inv_mass + b.inv_mass + a_arm * a_arm * a.inv_inertia + b_arm * b_arm * b.inv_inertia


def _exchange(a: _Mover, b: _Mover, ax: float, ay: float, bx: float, by: float, jx: float, jy: float) -> None:
    a.push(jx, jy, ax * jy - ay * jx)
    b.push(-jx, -jy, -(bx * jy - by * jx))


def _add(contacts: dict[tuple[int, int | None, int | None], Contact], contact: Contact | None) -> None:
    """Keeps one contact per pair: the first touch, with the impulses of all passes."""
    if contact is None:
        return
    key = (contact.a_id, contact.b_id, contact.static_index)
    first = contacts.get(key)
    if first is None:
        contacts[key] = contact
        return
    jx, jy = first.impulse[0] + contact.impulse[0], first.impulse[1] + contact.impulse[1]
    contacts[key] = Contact(first.a_id, first.b_id, first.static_index, first.point, first.normal, (jx, jy, 0.0))
