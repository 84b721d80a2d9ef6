"""A town: the road network, and what stands on and beside it."""

from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import Building, LightSpec, Pose
from minicarla.maps.lane_edges import Lane, read_lanes
from minicarla.maps.superelevation import banked_roads
from minicarla.maps.surface import Surface


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

    @cached_property
    def lanes(self) -> list[Lane]:
        """The lanes of its roads as sampled edges."""
        return read_lanes(self.carla_map, banked_roads(ET.fromstring(self.xodr)))

    @cached_property
    def surface(self) -> Surface:
        """Its ground: heights and slopes."""
        return Surface(self.lanes)
