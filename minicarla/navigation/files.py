"""The navigation mesh as the file that clients ask for and keep."""

import hashlib
import logging
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from minicarla.maps import Town
from minicarla.navigation.crossings import crosswalks, find_crossings
from minicarla.navigation.detour import MAX_POLYGONS, MAX_VERTICES, navigation_file
from minicarla.navigation.pavements import Area, read_strips
from minicarla.navigation.polygons import PolygonMesh, polygon_mesh

_SIDEWALK = 'type="sidewalk"'

log = logging.getLogger(__name__)


def navigation_file_name(town: Town) -> str | None:
    """The file's name; None for a map without a pavement, where nobody can walk.

    Clients keep the file for ever under its name, so another map has another name, and so has another version of what
    makes a mesh of it.
    """
    if _SIDEWALK not in town.xodr.replace("'", '"'):
        return None
    digest = hashlib.sha256(_makers_digest() + town.xodr.encode()).hexdigest()
    return f"minicarla/Nav/{digest[:32]}.bin"


@cache
def _makers_digest() -> bytes:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).digest()


def build_mesh(town: Town) -> PolygonMesh:
    """Pavements and crossings of the town, and its roads where one tile can hold them."""
    root, carla_map = ET.fromstring(town.xodr), town.carla_map
    for with_roads in (True, False):
        strips = read_strips(root, carla_map)
        mesh = polygon_mesh(strips, find_crossings(strips, crosswalks(carla_map)), with_roads)
        if len(mesh.polygons) <= MAX_POLYGONS and len(mesh.vertices) <= MAX_VERTICES:
            break
    return mesh


class NavigationFiles:
    """Makes the file of a town when it is first asked for; keeps the last."""

    def __init__(self) -> None:
        self._name = ""
        self._content = b""

    def content(self, town: Town) -> bytes:
        """The file; empty for a map on which nobody can walk: the client then has no mesh, as on CARLA's own such maps.

        A mesh without a pavement would be worse: a walker that finds no way ends the client's process.
        """
        name = navigation_file_name(town)
        if name is None:
            return b""
        if name != self._name:
            mesh = build_mesh(town)
            try:
                self._content = navigation_file(mesh) if (mesh.areas == Area.SIDEWALK).any() else b""
            except ValueError as error:
                log.warning("no pedestrians on %s: %s", town.name, error)
                self._content = b""
            self._name = name
        return self._content
