"""A town: the road network, and what stands on and beside it."""

from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import Building, LightSpec, Pose, SignSpec
from minicarla.maps.lane_edges import Lane, read_lanes
from minicarla.maps.lights import traffic_lights
from minicarla.maps.placement import buildings, spawn_points
from minicarla.maps.signs import traffic_signs
from minicarla.maps.superelevation import banked_roads
from minicarla.maps.surface import Surface


@dataclass(frozen=True)
class Town:
    """Everything that the server needs to know about a place; all of it follows from its OpenDRIVE text.

    `xodr` is the text that clients get; poses and boxes are in CARLA's frame. `draws_signs` says whether cameras see
    the traffic signs. What follows is worked out when it is first asked for, or by `survey`.
    """

    name: str
    xodr: str
    draws_signs: bool = True

    def survey(self) -> "Town":
        """Works everything out now: it may take seconds, which a tick has not. The town itself."""
        for part in ("surface", "spawn_points", "lights", "buildings", "signs"):
            getattr(self, part)
        return self

    @cached_property
    def _root(self) -> ET.Element:
        return ET.fromstring(self.xodr)

    @cached_property
    def carla_map(self) -> carla.Map:
        """The client library's own view of the roads; needs no server."""
        return carla.Map(self.name, self.xodr)

    @cached_property
    def lanes(self) -> list[Lane]:
        """The lanes of its roads as sampled edges."""
        return read_lanes(self.carla_map, banked_roads(self._root))

    @cached_property
    def surface(self) -> Surface:
        """Its ground: heights and slopes."""
        return Surface(self.lanes)

    @cached_property
    def spawn_points(self) -> tuple[Pose, ...]:
        """Where cars may be spawned."""
        return spawn_points(self._root, self.carla_map, self.surface)

    @cached_property
    def lights(self) -> tuple[LightSpec, ...]:
        """Its traffic lights, ordered by id."""
        return traffic_lights(self._root, self.carla_map, self.surface)

    @cached_property
    def buildings(self) -> tuple[Building, ...]:
        """The houses along its streets."""
        return buildings(self._root, self.carla_map, self.surface)

    @cached_property
    def signs(self) -> tuple[SignSpec, ...]:
        """Its speed limits, stop and yield signs, ordered by id."""
        return traffic_signs(self._root, self.carla_map, self.surface)
