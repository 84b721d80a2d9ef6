"""Road networks: the project's own towns, and any OpenDRIVE file."""

from minicarla.geometry.types import Building, LightSpec, OrientedBox, Pose, SignSpec
from minicarla.maps.library import TownLibrary
from minicarla.maps.loader import MapError, available_towns, load_town, load_xodr
from minicarla.maps.town import Town

__all__ = [
    "Building",
    "LightSpec",
    "MapError",
    "OrientedBox",
    "Pose",
    "SignSpec",
    "Town",
    "TownLibrary",
    "available_towns",
    "load_town",
    "load_xodr",
]
