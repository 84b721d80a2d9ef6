"""A town: the road network, and what stands on and beside it."""

from dataclasses import dataclass
from functools import cached_property

import carla

from minicarla.geometry.types import Building, LightSpec, Pose


@dataclass(frozen=True)
class Town:
    """Everything that the server needs to know about a place.

    `xodr` is the OpenDRIVE text that clients get; poses and boxes are in CARLA's frame.
    """

    name: str
    xodr: str
    spawn_points: tuple[Pose, ...]
    lights: tuple[LightSpec, ...]
    buildings: tuple[Building, ...]

    @cached_property
    def carla_map(self) -> carla.Map:
        """The client library's own view of the roads; needs no server."""
        return carla.Map(self.name, self.xodr)
