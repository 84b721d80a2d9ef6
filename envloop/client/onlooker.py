"""Where everything that moves was: kept in every step for nothing, looked into when somebody wants to see it."""

import math
from dataclasses import dataclass
from typing import Any

from envloop.client.errors import carla_calls
from envloop.client.simulator import Simulator

_MOVING = ("vehicle", "walker")


@dataclass(frozen=True, slots=True)
class Body:
    """A vehicle or a walker on the map: x, y and half sizes in m, yaw in degrees."""

    x: float
    y: float
    yaw_deg: float
    half_length_m: float
    half_width_m: float


class Onlooker:
    """Remembers snapshots of the world, and finds the vehicles and walkers in them.

    Raises (all methods):
      SimulatorError: the simulator is lost.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._world = simulator.world
        self._address = simulator.address
        self._half_sizes: dict[int, tuple[float, float] | None] = {}  # by actor; None for what does not move

    def glance(self) -> Any:
        """The last tick's snapshot, for `bodies`; no call to the server."""
        with carla_calls(self._address):
            return self._world.get_snapshot()

    def bodies(self, snapshot: Any, x: float, y: float, range_m: float, but: int) -> list[Body]:
        """The vehicles and walkers within `range_m` of (x, y) metres in a snapshot, without the actor `but`.

        It asks the server of actors that it has not seen before.
        """
        with carla_calls(self._address):
            states = [(state.id, state.get_transform()) for state in snapshot]
            near = {
                actor: pose
                for actor, pose in states
                if actor != but and math.hypot(pose.location.x - x, pose.location.y - y) < range_m
            }
            self._ask_of([actor for actor in near if actor not in self._half_sizes])
        found = []
        for actor, pose in near.items():
            half_size = self._half_sizes.get(actor)
            if half_size is not None:
                found.append(Body(pose.location.x, pose.location.y, pose.rotation.yaw, *half_size))
        return found

    def _ask_of(self, unknown: list[int]) -> None:
        if not unknown:
            return
        self._half_sizes |= dict.fromkeys(unknown)
        for actor in self._world.get_actors(unknown):
            if actor.type_id.partition(".")[0] in _MOVING:
                extent = actor.bounding_box.extent
                self._half_sizes[actor.id] = (extent.x, extent.y)
