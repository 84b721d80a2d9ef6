"""Traffic signs: the limit that a vehicle has passed last, and waiting at stop and yield signs.

As on CARLA (its USpeedLimitComponent, UStopSignComponent and UYieldSignComponent): a vehicle is told when its body
comes to touch a sign's box. At a stop sign it is shown red for 2 s, and from then on red while another vehicle touches
one of the boxes over crossing traffic, which is looked at once a second; a yield sign is the same without the 2 s,
every 0.5 s. Unlike on CARLA the red ends for a vehicle that leaves the box, not with the next light that it passes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numba import njit

from minicarla.geometry.boxes import Box, penetration, place_box
from minicarla.geometry.cells import Grid, grid_of, members_at
from minicarla.geometry.types import SignSpec
from minicarla.numba_cache import CACHE
from minicarla.physics.broad_phase import BOX, records_of
from minicarla.physics.collision import Body

STOP_S, STOP_AGAIN_S, YIELD_AGAIN_S = 2.0, 1.0, 0.5
DEFAULT_LIMIT_KMH = 30.0  # what CARLA's vehicles have before they pass a sign
_STOP = "traffic.stop"
_CELL_M = 16.0
_REACH_M = 8.0  # of the longest vehicle's body from its origin
_ROUNDING_S = 1e-6  # the clock is a sum of many steps


@dataclass(slots=True)
class SignMemory:
    """What the signs have told a vehicle: its limit, the boxes that it touches, and whether it has to wait."""

    limit_kmh: float = DEFAULT_LIMIT_KMH
    touched: tuple[int, ...] = ()
    waits: bool = False
    look_at: float = 0.0  # time at which the crossing traffic is looked at, s


class Road(Protocol):
    """A vehicle, as far as signs are concerned."""

    body: Body
    signs: SignMemory


@dataclass(slots=True)
class _Zone:
    """A box of a sign; `again_s` is the period at which its crossing traffic is looked at."""

    box: Box
    spec: SignSpec
    again_s: float
    crossing: list[Box] = field(default_factory=list)


class SignSystem:
    """All signs of a town. Holds no dynamic state: that is each vehicle's `SignMemory`."""

    def __init__(self, signs: Sequence[SignSpec]) -> None:
        self._zones: list[_Zone] = []
        for spec in signs:
            crossing = [Box.of(box) for box in spec.crossing]
            again_s = STOP_AGAIN_S if spec.type_id == _STOP else YIELD_AGAIN_S
            self._zones += [_Zone(box, spec, again_s, crossing) for box in map(Box.of, spec.boxes)]
        reach = (-_REACH_M, -_REACH_M, _REACH_M, _REACH_M)
        self._boxes = records_of([zone.box for zone in self._zones])
        self._grid = grid_of(np.array([np.add(zone.box.bounds(), reach) for zone in self._zones]), _CELL_M)

    def listeners(self, rows: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Places in `which` of the vehicles that touch a sign's box, or did; rows: of type `rows.VEHICLES`."""
        return _listeners(rows, which, self._grid, self._boxes)

    def tell(self, listeners: Sequence[Road], vehicles: Sequence[Road], now: float) -> None:
        """Bring the memories of those of the vehicles up to `now`, in seconds of the simulation."""
        for vehicle in listeners:
            state = vehicle.body.state
            near = members_at(self._grid, state.x, state.y)
            if len(near):
                self._tell(vehicle, near.tolist(), vehicles, now)
            else:
                vehicle.signs.touched, vehicle.signs.waits = (), False

    def _tell(self, vehicle: Road, near: Sequence[int], vehicles: Sequence[Road], now: float) -> None:
        memory, body = vehicle.signs, vehicle.body.box()
        touched = tuple([index for index in near if penetration(body, self._zones[index].box) is not None])
        waiting = None
        for index in touched:
            zone = self._zones[index]
            begins = index not in memory.touched
            if zone.spec.limit_kmh is not None:
                if begins:
                    memory.limit_kmh = zone.spec.limit_kmh
                continue
            waiting = zone
            if begins:
                memory.waits = zone.spec.type_id == _STOP
                memory.look_at = now + STOP_S if memory.waits else now
        memory.touched = touched
        if waiting is None:
            memory.waits = False
        elif now >= memory.look_at - _ROUNDING_S:
            memory.waits = self._is_taken(waiting, vehicle, vehicles)
            memory.look_at = now + waiting.again_s

    def _is_taken(self, zone: _Zone, vehicle: Road, vehicles: Sequence[Road]) -> bool:
        """Whether another vehicle touches a box over crossing traffic; those that touch the sign's own do not count."""
        for other in vehicles:
            if other is vehicle or any(self._zones[index].spec is zone.spec for index in other.signs.touched):
                continue
            state, radius = other.body.state, other.body.radius
            near = [box for box in zone.crossing if math.hypot(state.x - box.x, state.y - box.y) <= radius + box.radius]
            if near:
                body = other.body.box()
                if any(penetration(body, box) is not None for box in near):
                    return True
        return False


@njit(cache=CACHE)
def _listeners(rows: np.ndarray, which: np.ndarray, grid: Grid, boxes: np.ndarray) -> np.ndarray:
    found, body = np.empty(which.size, np.int64), np.empty(1, BOX)[0]
    count = 0
    for place in range(which.size):
        vehicle = rows[which[place]]
        listens = vehicle.drive.touches_sign
        near = members_at(grid, vehicle.state.x, vehicle.state.y)
        if near.size > 0 and not listens:
            solid = vehicle.solid
            place_box(body, vehicle.state, solid.ex, solid.ey, solid.ez, solid.centre_x, solid.centre_z)
            for number in near:
                listens = listens or penetration(body, boxes[number]) is not None
        if listens:
            found[count] = place
            count += 1
    return found[:count]
