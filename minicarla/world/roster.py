"""Who is there, as arrays for the compiled loops of a tick. It holds until an actor comes, goes or is attached."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from minicarla.geometry.poses import attached_pose, wrap_degrees
from minicarla.geometry.types import ORIGIN
from minicarla.numba_cache import CACHE
from minicarla.physics.collision import Body
from minicarla.world.actors import Actor, BodyActor, Vehicle, Walker

OTHER, VEHICLE, WALKER = 0, 1, 2  # kinds of records in a snapshot


@dataclass(frozen=True)
class Roster:
    """Numbers of rows ([N] int64 each) in the order of the actors, and what else loops need.

    all_vehicles, vehicles, walkers: all vehicles; vehicles and walkers that are attached to nothing.
    movables, kinds, ids: what snapshots show beside lights and signs, the kinds of their records, their actor ids.
    sorted_ids, sorted_places: of the movables, ids rising: for looking up an id.
    bodies: what can be in the way and is attached to nothing, and `body_rows`.
    seen: vehicles, walkers and props, attached ones among them.
    attached: [N, 2], actor and parent; -1 for a parent without a row. offsets: [N, 6] in the parent's frame.
    """

    all_vehicles: np.ndarray
    vehicles: np.ndarray
    walkers: np.ndarray
    movables: np.ndarray
    kinds: np.ndarray
    ids: np.ndarray
    sorted_ids: np.ndarray
    sorted_places: np.ndarray
    bodies: list[Body]
    body_rows: np.ndarray
    seen: np.ndarray
    attached: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, movables: Sequence[Actor], bodies: Sequence[BodyActor], attached: Sequence[Actor]) -> "Roster":
        """Of the actors in their order; bodies are all vehicles, walkers and props."""
        free = [actor for actor in bodies if actor.parent is None]
        offsets = [actor.offset for actor in attached]
        ids = np.array([actor.id for actor in movables], np.uint32)
        order = np.argsort(ids)
        return cls(
            all_vehicles=_rows(actor for actor in bodies if isinstance(actor, Vehicle)),
            vehicles=_rows(actor for actor in free if isinstance(actor, Vehicle)),
            walkers=_rows(actor for actor in free if isinstance(actor, Walker)),
            movables=_rows(movables),
            kinds=np.array([_kind(actor) for actor in movables], np.int8),
            ids=ids,
            sorted_ids=ids[order],
            sorted_places=order,
            bodies=[actor.body for actor in free],
            body_rows=_rows(free),
            seen=_rows(bodies),
            attached=np.array([_pair(actor) for actor in attached], np.int64).reshape(-1, 2),
            offsets=np.array([(p.x, p.y, p.z, p.pitch, p.yaw, p.roll) for p in offsets if p], np.float64).reshape(
                -1, 6
            ),
        )

    def place_attached(self, rows: np.ndarray, attached: Sequence[Actor]) -> None:
        """Put what is attached where its parent has gone. rows: of type `rows.BODIES`; attached: as in `of`."""
        number = -1
        while True:
            number = _place_attached(rows, self.attached, self.offsets, number + 1)
            if number == len(attached):
                return
            actor = attached[number]
            assert actor.parent is not None
            assert actor.offset is not None
            place = actor.parent.pose
            actor.move_to(place if actor.offset is ORIGIN else attached_pose(place, actor.offset))


def _rows(actors: Iterable[Actor]) -> np.ndarray:
    return np.array([actor.row.number for actor in actors], np.int64)


def _kind(actor: Actor) -> int:
    return VEHICLE if isinstance(actor, Vehicle) else WALKER if isinstance(actor, Walker) else OTHER


def _pair(actor: Actor) -> tuple[int, int]:
    assert actor.parent is not None
    return actor.row.number, actor.parent.row.number


@njit(cache=CACHE)
def _place_attached(rows: np.ndarray, attached: np.ndarray, offsets: np.ndarray, begin: int) -> int:
    """From the actor at `begin` on, as far as parents stand upright; where that ends."""
    for number in range(begin, attached.shape[0]):
        if attached[number, 1] < 0:
            return number
        state, parent, offset = rows[attached[number, 0]].state, rows[attached[number, 1]].state, offsets[number]
        if not offset.any():
            state.x, state.y, state.z = parent.x, parent.y, parent.z
            state.pitch, state.yaw, state.roll = parent.pitch, parent.yaw, parent.roll
            continue
        if parent.pitch != 0.0 or parent.roll != 0.0:
            return number
        yaw = math.radians(parent.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        state.x = parent.x + c * offset[0] - s * offset[1]
        state.y = parent.y + s * offset[0] + c * offset[1]
        state.z = parent.z + offset[2]
        state.pitch, state.yaw, state.roll = offset[3], wrap_degrees(parent.yaw + offset[4]), offset[5]
    return attached.shape[0]
