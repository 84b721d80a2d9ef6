"""Signs in pictures, and environment objects where the pictures have them."""

import math
from collections import Counter
from dataclasses import replace

import carla
import numpy as np
import pytest

from minicarla.maps import OrientedBox, Pose, Town
from minicarla.render import Renderer, Weather
from minicarla.render.encodings import Tag
from minicarla.render.environment import EnvironmentObject, environment_objects
from tests.minicarla.render.conftest import CameraRig


@pytest.fixture(scope="module")
def signposted(town01: Town) -> tuple[Town, CameraRig]:
    """Town01 as a town of somebody else's."""
    town = Town("Signs", town01.xodr).survey()
    return town, CameraRig(Renderer(town))


def in_front_of(box: OrientedBox, distance: float, yaw: float) -> Pose:
    """A camera `distance` m before the box's middle that looks at it along `yaw`."""
    yaw_rad = math.radians(yaw)
    return Pose(box.x - distance * math.cos(yaw_rad), box.y - distance * math.sin(yaw_rad), box.z, yaw=yaw)


def of(things: tuple[EnvironmentObject, ...], label: Tag) -> list[EnvironmentObject]:
    return [thing for thing in things if thing.label is label]


def test_signs_face_the_traffic_in_towns_of_others_only(signposted: tuple[Town, CameraRig], rig: CameraRig) -> None:
    town, theirs = signposted
    for thing in of(environment_objects(town), Tag.TRAFFIC_SIGNS)[::4]:
        front = in_front_of(thing.box, 4.0, thing.box.yaw)
        assert theirs.tags(front)[72, 128] == Tag.TRAFFIC_SIGNS
        assert rig.tags(front)[72, 128] != Tag.TRAFFIC_SIGNS


@pytest.mark.parametrize("label", [Tag.BUILDINGS, Tag.TRAFFIC_LIGHT, Tag.TRAFFIC_SIGNS, Tag.POLES])
def test_a_thing_is_seen_where_its_box_is(signposted: tuple[Town, CameraRig], label: Tag) -> None:
    town, rig = signposted
    rig.show([], Weather(), {})
    for thing in of(environment_objects(town), label)[::29]:
        # Close enough that nothing else stands between, from the side that traffic comes from.
        front = in_front_of(thing.box, thing.box.ex + 1.0, thing.box.yaw)
        if label is Tag.POLES:
            front = replace(front, z=thing.pose.z + 1.0)  # under the head of its light
        assert rig.tags(front)[72, 128] == label, thing


@pytest.mark.parametrize("label", [Tag.ROADS, Tag.SIDEWALKS])
def test_the_boxes_of_a_class_hold_all_of_it_that_is_seen(signposted: tuple[Town, CameraRig], label: Tag) -> None:
    """From above, every pixel of the class outside junctions lies in one of the class's boxes."""
    town, rig = signposted
    boxes = [thing.box for thing in of(environment_objects(town), label)]
    for middle in (Pose(200.0, 129.5, 20.0, pitch=-90.0), Pose(92.3, 250.0, 20.0, pitch=-90.0)):
        tags = rig.tags(middle)
        rows, columns = np.nonzero(tags == label)
        assert len(rows) > 1000
        # 90 degrees over 256 pixels: 20 m up a pixel is 20/128 m; the top of the picture is the way of yaw 0.
        x = middle.x + (71.5 - rows) * 20.0 / 128.0
        y = middle.y + (columns - 127.5) * 20.0 / 128.0
        held = np.zeros(len(rows), bool)
        for box in boxes:
            yaw = math.radians(box.yaw)
            along = (x - box.x) * math.cos(yaw) + (y - box.y) * math.sin(yaw)
            across = (y - box.y) * math.cos(yaw) - (x - box.x) * math.sin(yaw)
            held |= (np.abs(along) <= box.ex + 0.35) & (np.abs(across) <= box.ey + 0.35)
        assert held.all()


def test_trees_stand_on_the_ground_beside_the_lanes(town01: Town) -> None:
    for tree in of(environment_objects(town01), Tag.VEGETATION):
        assert 4.0 < 2.0 * tree.box.ez < 8.5
        assert abs(tree.pose.z) < 0.1
        assert (
            town01.carla_map.get_waypoint(carla.Location(tree.pose.x, tree.pose.y, tree.pose.z), project_to_road=False)
            is None
        )


def test_things_have_names_of_their_own_and_the_same_every_time(town01: Town) -> None:
    things = environment_objects(town01)
    assert max(Counter(thing.name for thing in things).values()) == 1
    assert environment_objects(replace(town01)) == things
    assert [thing.box for thing in of(things, Tag.BUILDINGS)] == [house.box for house in town01.buildings]


def test_a_light_that_holds_no_lane_is_drawn(town01: Town) -> None:
    """As one that a controller names and whose lanes are sidewalks."""
    text = town01.xodr.replace('<validity fromLane="-1" toLane="-1" />', '<validity fromLane="-9" toLane="-9" />')
    town = Town("Lone", text)
    assert any(not light.stop_boxes for light in town.lights)
    Renderer(town).close()


@pytest.mark.parametrize("label", [Tag.BUILDINGS, Tag.VEGETATION, Tag.TRAFFIC_SIGNS, Tag.POLES])
def test_what_is_hidden_is_gone_and_the_rest_stays(signposted: tuple[Town, CameraRig], label: Tag) -> None:
    town, rig = signposted
    things = of(environment_objects(town), label)
    thing = things[len(things) // 2]
    front = in_front_of(thing.box, thing.box.ex + 3.0, thing.box.yaw)
    before = rig.tags(front)
    rig.renderer.hide([thing])
    hidden = rig.tags(front)
    assert (hidden == label).sum() < 0.7 * (before == label).sum()
    assert np.array_equal(hidden[before != label], before[before != label])
    rig.renderer.hide([])
    assert np.array_equal(rig.tags(front), before)
