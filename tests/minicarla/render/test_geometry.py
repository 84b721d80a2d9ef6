"""Meshes: vehicles stay in their boxes, roads have no holes, tags are CARLA's."""

import math
import os
from pathlib import Path

import carla
import numpy as np
import pytest

from minicarla.maps import Pose, Town, load_xodr
from minicarla.render import Renderer, Weather
from minicarla.render.encodings import Tag
from minicarla.render.vehicles import actor_mesh
from tests.minicarla.render.conftest import CameraRig
from tests.minicarla.render.scenes import MIDDLE, pixel_of

PAVED = (Tag.ROADS, Tag.ROAD_LINES)
HILL = """<OpenDRIVE><header revMajor="1" revMinor="4"/>
<road name="hill" length="200" id="1" junction="-1">
<planView><geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="2" b="0.08" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center><right>
<lane id="-1" type="driving" level="false"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>
</right></laneSection></lanes></road></OpenDRIVE>"""


@pytest.mark.parametrize(
    ("blueprint", "extent", "tag"),
    [
        ("vehicle.tesla.model3", (2.396, 1.081, 0.744), Tag.CAR),
        ("vehicle.nissan.micra", (1.817, 0.923, 0.750), Tag.CAR),
        ("vehicle.carlamotors.carlacola", (2.601, 1.307, 1.233), Tag.TRUCK),
        ("vehicle.mercedes.sprinter", (2.958, 0.994, 1.280), Tag.CAR),
        ("vehicle.mitsubishi.fusorosa", (5.136, 1.971, 2.126), Tag.BUS),
        ("vehicle.yamaha.yzf", (1.105, 0.434, 0.626), Tag.MOTORCYCLE),
        ("vehicle.bh.crossbike", (0.744, 0.430, 0.540), Tag.BICYCLE),
        ("walker.pedestrian.0001", (0.188, 0.188, 0.93), Tag.PEDESTRIANS),
        ("static.prop.barrel", (0.3, 0.3, 0.5), Tag.STATIC),
    ],
)
def test_mesh_has_the_class_and_the_length_of_its_blueprint(
    blueprint: str, extent: tuple[float, float, float], tag: Tag
) -> None:
    mesh = actor_mesh(blueprint, extent)
    assert tag in mesh.tag
    body = mesh.corners.reshape(-1, 3)
    lowest = -extent[2] if tag == Tag.PEDESTRIANS else 0.0
    assert body[:, 2].min() == pytest.approx(lowest, abs=0.02)
    if tag not in (Tag.PEDESTRIANS, Tag.MOTORCYCLE, Tag.BICYCLE):
        assert np.abs(body[:, 0]).max() == pytest.approx(extent[0], abs=0.05)
        assert np.abs(body[:, 1]).max() == pytest.approx(extent[1], abs=0.05)
        assert body[:, 2].max() == pytest.approx(2 * extent[2], abs=0.05)


def test_tags_are_those_of_the_client() -> None:
    names = {name.upper(): int(value) for name, value in carla.CityObjectLabel.names.items()}
    for tag in Tag:
        assert names[tag.name.replace("_", "")] == tag


def _unpaved(rig: CameraRig, carla_map: carla.Map, above: Pose) -> list[tuple[float, float]]:
    """Middles of driving lanes that a camera looking straight down does not see as road."""
    tags = rig.tags(above)
    missed = []
    for waypoint in carla_map.generate_waypoints(3.0):
        place = waypoint.transform.location
        if math.hypot(place.x - above.x, place.y - above.y) < 20.0:
            column, row, _ = pixel_of((place.x, place.y, place.z), above)
            if tags[int(row), int(column)] not in PAVED:
                missed.append((place.x, place.y))
    return missed


@pytest.mark.parametrize(("x", "y"), [(92.8, 130.8), (336.9, 2.2), (90.6, 326.1), (2.0, 2.0)])
def test_junctions_and_bends_have_no_holes(rig: CameraRig, town01: Town, x: float, y: float) -> None:
    rig.show([], Weather(), {})
    assert _unpaved(rig, town01.carla_map, Pose(x, y, 60.0, pitch=-90.0)) == []


def test_cross_section_of_a_street(rig: CameraRig, town01: Town) -> None:
    """Town01: 4 m lanes, yellow dashes between them, white lines outside, a pavement behind."""
    rig.show([], Weather(), {})
    lane_y = town01.carla_map.get_waypoint(carla.Location(MIDDLE.x, MIDDLE.y, 0.0)).transform.location.y
    above = Pose(MIDDLE.x, lane_y, 10.0, pitch=-90.0)
    tags = rig.tags(above)

    def at(x: float, y: float, z: float = 0.0) -> int:
        column, row, _ = pixel_of((x, y, z), above)
        return int(tags[int(row), int(column)])

    for x in (MIDDLE.x - 4.0, MIDDLE.x, MIDDLE.x + 4.0):
        assert at(x, lane_y) == Tag.ROADS
        assert at(x, lane_y - 2.0) == Tag.ROAD_LINES
        assert at(x, lane_y - 4.0, 0.15) == Tag.SIDEWALKS
        assert at(x, lane_y + 8.5, 0.15) == Tag.SIDEWALKS
    middle = [at(x, lane_y + 2.0) for x in np.arange(MIDDLE.x - 5.0, MIDDLE.x + 5.0, 0.25)]
    assert set(middle) == {Tag.ROADS, Tag.ROAD_LINES}


def test_a_road_on_a_hill_lies_above_its_ground(tmp_path: Path) -> None:
    file = tmp_path / "hill.xodr"
    file.write_text(HILL)
    town = load_xodr(file)
    rig = CameraRig(Renderer(town))
    for s in (40.0, 100.0, 160.0):
        above = Pose(s, 2.0, 2.0 + 0.08 * s + 40.0, pitch=-90.0)
        assert _unpaved(rig, town.carla_map, above) == []


@pytest.mark.skipif(
    "AVTD3_XODR_DIR" not in os.environ, reason="needs AVTD3_XODR_DIR, a folder with CARLA's Town01.xodr"
)
def test_the_real_town_is_drawn_too() -> None:
    town = load_xodr(Path(os.environ["AVTD3_XODR_DIR"]) / "Town01.xodr")
    rig = CameraRig(Renderer(town))
    for x, y in ((92.8, 130.8), (156.5, 2.3)):
        assert _unpaved(rig, town.carla_map, Pose(x, y, 60.0, pitch=-90.0)) == []
    tags = rig.tags(Pose(MIDDLE.x, MIDDLE.y, 1.5, yaw=180.0))
    assert {Tag.ROADS, Tag.ROAD_LINES, Tag.SIDEWALKS, Tag.SKY} <= set(np.unique(tags))
