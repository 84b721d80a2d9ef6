"""Road networks: the project's own towns, and any OpenDRIVE file."""

from envloop.minicarla.maps.loader import MapError, available_towns, load_town, load_xodr
from envloop.minicarla.maps.town import Town
from envloop.minicarla.maps.types import Building, LightSpec, OrientedBox, Pose

__all__ = [
    "Building",
    "LightSpec",
    "MapError",
    "OrientedBox",
    "Pose",
    "Town",
    "available_towns",
    "load_town",
    "load_xodr",
]
