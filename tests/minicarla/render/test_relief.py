"""The pictures of towns with hills: what a camera sees lies where wheels and rays find it."""

import numpy as np
import opendrive_maps
import pytest

from minicarla.maps import Pose, Town
from minicarla.render import Renderer
from minicarla.render.encodings import Tag, decode_depth
from tests.minicarla.render.conftest import CameraRig


@pytest.fixture(scope="module", params=["hill", "banked_curve", "bridge", "tee"])
def drawn(request: pytest.FixtureRequest) -> tuple[Town, CameraRig]:
    texts = {
        "hill": opendrive_maps.hill(0.1),
        "banked_curve": opendrive_maps.banked_curve(0.1, grade=0.05),
        "bridge": opendrive_maps.bridge(7.0),
        "tee": opendrive_maps.tee(height=5.0),
    }
    town = Town(request.param, texts[request.param])
    return town, CameraRig(Renderer(town))


def test_the_ground_that_is_seen_is_the_ground_that_is_stood_on(drawn: tuple[Town, CameraRig]) -> None:
    """Straight down: on lanes to 6 cm, beside them, where a pixel may lie on a steeper bank, to 20 cm."""
    town, rig = drawn
    seen_tags = set()
    for waypoint in town.carla_map.generate_waypoints(25.0):
        if not (waypoint.previous(2.0) and waypoint.next(2.0)):
            continue  # at a dead end the pixel may lie beyond it
        place, right = waypoint.transform.location, waypoint.transform.get_right_vector()
        for aside in (0.0, 1.0, 4.5, 7.0):
            x, y = place.x + aside * right.x, place.y + aside * right.y
            camera = Pose(x, y, place.z + 3.0, pitch=-90.0)
            tag = rig.picture("semantic", camera, size=(16, 16))[8, 8, 2]
            if tag in (Tag.ROADS, Tag.ROAD_LINES, Tag.TERRAIN):
                seen_tags.add(int(tag))
                seen = camera.z - decode_depth(rig.picture("depth", camera, size=(16, 16)))[8, 8]
                tolerance = 0.2 if tag == Tag.TERRAIN else 0.06
                assert seen == pytest.approx(town.surface.height(x, y, place.z), abs=tolerance)
    assert seen_tags >= {Tag.ROADS, Tag.TERRAIN}


def test_no_sky_is_seen_between_road_and_land(drawn: tuple[Town, CameraRig]) -> None:
    town, rig = drawn
    for waypoint in town.carla_map.generate_waypoints(40.0):
        place = waypoint.transform.location
        tags = rig.tags(Pose(place.x, place.y, place.z + 30.0, pitch=-90.0))
        assert not np.any(tags == Tag.SKY)


def test_a_bridge_is_solid_from_below_and_the_street_under_it_open() -> None:
    town = Town("bridge", opendrive_maps.bridge(7.0))
    rig = CameraRig(Renderer(town))
    assert rig.tags(Pose(0.0, 0.0, 1.5, pitch=90.0))[72, 128] == Tag.BRIDGE
    ahead = rig.tags(Pose(-40.0, 1.75, 1.5))
    assert ahead[80, 128] in (Tag.ROADS, Tag.ROAD_LINES), "through under it"
    assert Tag.BRIDGE in ahead
