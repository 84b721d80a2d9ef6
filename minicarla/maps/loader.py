"""Towns by name, and towns from an OpenDRIVE file."""

import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from minicarla.limits import (
    MAP_CHECK_BYTES,
    MAP_CHECK_S,
    MAX_JUNCTION_SPAN_M,
    MAX_LANES_M,
    MAX_LOCATION_M,
    MAX_MAP_SPAN_M,
    MAX_ROAD_M,
)
from minicarla.maps import grid, town01
from minicarla.maps.lane_edges import Lane
from minicarla.maps.mending import SHAPES, mend
from minicarla.maps.opendrive import RoadNetwork, to_xml
from minicarla.maps.town import Town

_START_TOLERANCE_M = 1e-3
_RECORDS = (
    "elevationProfile/elevation",
    "lateralProfile/superelevation",
    "lanes/laneOffset",
    "lanes/laneSection/*/lane/width",
    "lanes/laneSection/*/lane/border",
)
_RECORD_KEYS = ("s", "sOffset", "a", "b", "c", "d")
_CHECK = "import sys; from minicarla.maps.loader import check_here; check_here(sys.stdin.buffer.read().decode())"
_TOWNS: dict[str, Callable[[], RoadNetwork]] = {
    "Town01": town01.network,
    "Grid01": partial(grid.network, "Grid01", seed=1),
    "Grid02": partial(grid.network, "Grid02", seed=2),
    "Grid03": partial(grid.network, "Grid03", seed=3),
    "Rings01": partial(grid.network, "Rings01", seed=13, roundabout_share=0.4),
    "Rings02": partial(grid.network, "Rings02", seed=17, roundabout_share=0.4),
    "Rings03": partial(grid.network, "Rings03", seed=18, roundabout_share=0.4),
}


class MapError(ValueError):
    """A map that cannot be used; the message is one sentence that says what to do."""


def available_towns() -> tuple[str, ...]:
    """Names that `load_town` knows."""
    return tuple(_TOWNS)


def load_town(name: str = "Town01") -> Town:
    """One of the project's own towns.

    Raises:
      MapError: there is no town of that name.
    """
    if name not in _TOWNS:
        raise MapError(
            f"there is no town {name!r}: choose one of {', '.join(available_towns())}, or load an .xodr file"
        )
    # Policies are trained on pictures of these towns, which have never shown their signs.
    return Town(name, to_xml(_TOWNS[name]()), draws_signs=False).survey()


def load_xodr(path: Path) -> Town:
    """A town from any OpenDRIVE file; its name is the file's.

    `carla.Map` can take the whole process down on a broken file, so a child process tries the file first.

    Raises:
      MapError: the file is missing, is no OpenDRIVE with a driving lane, or cannot be parsed by `carla.Map`.
    """
    path = Path(path)
    if not path.is_file():
        raise MapError(f"there is no file {path}: give the path of an OpenDRIVE (.xodr) file")
    try:
        xodr = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"{path} cannot be read as UTF-8 text ({error}): save the OpenDRIVE file as UTF-8") from None
    flaw = structural_flaw(xodr)
    if flaw:
        raise MapError(f"{path} {flaw}")
    xodr = mended(xodr)
    _check_in_child(path, xodr)
    return Town(path.stem, xodr).survey()


def structural_flaw(xodr: str) -> str | None:
    """What keeps the text from being a drivable road network, with the remedy; None if nothing obvious does."""
    if "<!DOCTYPE" in xodr or "<!ENTITY" in xodr:
        # Entities can make gigabytes of a few lines; no OpenDRIVE file has them.
        return "has a document type declaration: remove it, OpenDRIVE knows none"
    try:
        root = ET.fromstring(xodr)
    except (ET.ParseError, ValueError) as error:
        return f"is not well-formed XML ({error}): export the map again"
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # a namespace is no flaw
    if root.tag != "OpenDRIVE":
        return f"has the root element <{root.tag}>: give a file whose root is <OpenDRIVE>"
    roads = root.findall("road")
    if not roads:
        return "has no roads: export the map again with its road network"
    ids = [road.get("id", "") for road in roads]
    if len(set(ids)) != len(ids):
        return "uses a road id twice: give every road an id of its own"
    junctions = {"-1", *(junction.get("id", "") for junction in root.findall("junction"))}
    for road in roads:
        flaw = _road_flaw(road, junctions)
        if flaw:
            return f"has a flaw in road {road.get('id')!r}, {flaw}: mend that road or export the map again"
    lanes_m = sum(_most_lanes(road) * float(road.get("length", "0")) for road in roads)
    if lanes_m > MAX_LANES_M:
        return f"has {lanes_m / 1000:.0f} km of lanes: give a map of at most {MAX_LANES_M / 1000:.0f} km"
    if root.find("road/lanes/laneSection/*/lane[@type='driving']") is None:
        return "has no lane of type driving: add one, for cars need it"
    return None


def mended(xodr: str) -> str:
    """The text as `carla.Map` can read it (`mending`); a text without a structural flaw."""
    root = ET.fromstring(xodr)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) if mend(root) else xodr


def _road_flaw(road: ET.Element, junctions: Container[str]) -> str | None:
    if not road.get("id"):
        return "which has no id"
    junction = road.get("junction", "-1")
    if not (_is_integer(junction) or junction in junctions):
        return f"whose junction {junction!r} is not on the map"
    if not _is_number(road.get("length")) or not 0.0 < float(road.get("length", "0")) < MAX_ROAD_M:
        return f"whose length is not a positive number below {MAX_ROAD_M:.0f} m"
    geometries = road.findall("planView/geometry")
    if not geometries or any(len(geometry) == 0 for geometry in geometries):
        return "which lacks a line, arc or other geometry"
    for geometry in geometries:
        if not all(_is_number(geometry.get(key)) for key in ("s", "x", "y", "hdg", "length")):
            return "whose geometry has something else than numbers in s, x, y, hdg or length"
        if any(abs(float(geometry.get(key, "0"))) > MAX_LOCATION_M for key in "xy"):
            return f"which lies more than {MAX_LOCATION_M / 1000:.0f} km from the origin"
        flaw = _shape_flaw(geometry)
        if flaw:
            return f"whose geometry at s={geometry.get('s')} {flaw}"
    if min(float(geometry.get("s", "0")) for geometry in geometries) > _START_TOLERANCE_M:
        return "whose first geometry does not begin at s=0"
    for record in (record for path in _RECORDS for record in road.iterfind(path)):
        if not all(_is_number(record.get(key, "0")) for key in _RECORD_KEYS):
            return f"whose <{record.tag}> has something else than numbers in {', '.join(_RECORD_KEYS)}"
    return _lanes_flaw(road.findall("lanes/laneSection"))


def _shape_flaw(geometry: ET.Element) -> str | None:
    shape = next((child for child in geometry if child.tag in SHAPES), None)
    if shape is None:
        return f"has the shape <{geometry[0].tag}>, which is none of {', '.join(SHAPES)}"
    values = {key: value for key, value in shape.attrib.items() if key != "pRange"}
    if not all(_is_number(value) for value in values.values()):
        return f"has a {shape.tag} with something else than numbers"
    if shape.tag == "paramPoly3" and not any(
        float(values.get(letter + axis, "0")) for letter in "bcd" for axis in "UV"
    ):
        return "has a paramPoly3 that stays in one place"
    return None


def _lanes_flaw(sections: Sequence[ET.Element]) -> str | None:
    if not sections or not all(_is_number(section.get("s")) for section in sections):
        return "which lacks a lane section with its s"
    for section in sections:
        lanes = section.findall("*/lane")
        if not all(_is_integer(lane.get("id")) for lane in lanes):
            return "which has a lane whose id is not a whole number"
        ids = {int(lane.get("id", "0")) for lane in lanes} | {0}
        missing = sorted(set(range(min(ids), max(ids))) - ids, key=abs)
        if missing:
            return f"whose lane section at s={section.get('s')} lacks lane {missing[0]} between others"
    return None


def _most_lanes(road: ET.Element) -> int:
    return max(len(section.findall("*/lane")) for section in road.iterfind("lanes/laneSection"))


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:
        return False


def _is_integer(text: str | None) -> bool:
    return text is not None and text.strip().lstrip("+-").isdecimal()


def _check_in_child(path: Path, xodr: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    try:
        check = subprocess.run(
            [sys.executable, "-c", _CHECK], input=xodr.encode(), capture_output=True, env=environment, check=False,
            timeout=MAP_CHECK_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MapError(f"{path} took carla.Map more than {MAP_CHECK_S:.0f} s: give a smaller map") from None
    if check.returncode != 0:
        words = check.stderr.decode(errors="replace").strip().splitlines()
        reason = f"it crashes with signal {-check.returncode}" if check.returncode < 0 or not words else words[-1]
        reason = reason.removeprefix(f"{MapError.__module__}.{MapError.__qualname__}: ")
        raise MapError(f"{path} cannot be used by carla.Map ({reason}): export it again as OpenDRIVE 1.4")


def check_here(xodr: str) -> None:
    """What the child process does."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAP_CHECK_BYTES, MAP_CHECK_BYTES))
    query(xodr)


def query(xodr: str) -> None:
    """Asks a map everything that a server or its clients will ask; whatever is going to crash, crashes here."""
    town = Town("check", xodr)
    _check_spans(town.lanes)
    town.survey()
    town.carla_map.get_topology()
    town.carla_map.get_all_landmarks()
    for waypoint in town.carla_map.generate_waypoints(5.0):
        waypoint.next(2.0)
        waypoint.previous(2.0)
        waypoint.get_left_lane()
        waypoint.get_right_lane()
        town.carla_map.get_waypoint(waypoint.transform.location)


def _check_spans(lanes: Sequence[Lane]) -> None:
    """Raises MapError where the lanes lie nowhere, or too far apart, as one does whose width has a slip of the pen."""
    for lane in lanes:
        if not np.isfinite(lane.left).all() or not np.isfinite(lane.right).all():
            raise MapError(f"lane {lane.lane_id} of road {lane.road_id} has places that are not numbers")
    places: dict[int | None, list[np.ndarray]] = {None: []}  # by junction, and all
    for lane in lanes:
        for junction in {None, lane.junction_id}:
            places.setdefault(junction, []).extend((lane.left, lane.right))
    for junction, edges in places.items():
        span_m = float(np.ptp(np.concatenate(edges)[:, :2], axis=0).max())
        limit_m = MAX_MAP_SPAN_M if junction is None else MAX_JUNCTION_SPAN_M
        if not span_m <= limit_m:
            what = "its lanes span" if junction is None else f"the lanes of junction {junction} span"
            raise MapError(f"{what} {span_m / 1000:.3g} km, and {limit_m / 1000:.0f} km are the most")
