"""Traffic lights: found by the client library, holding the right lanes."""

import math
from collections import Counter
from xml.etree import ElementTree as ET

import carla
import pytest

from minicarla.geometry.types import FIRST_LONE_JUNCTION
from minicarla.maps import LightSpec, OrientedBox, Town
from minicarla.maps.lights import traffic_lights
from minicarla.maps.opendrive import TRAFFIC_LIGHT_TYPE


def contains(box: OrientedBox, x: float, y: float) -> bool:
    yaw = math.radians(box.yaw)
    dx, dy = x - box.x, y - box.y
    along, across = dx * math.cos(yaw) + dy * math.sin(yaw), dy * math.cos(yaw) - dx * math.sin(yaw)
    return abs(along) <= box.ex and abs(across) <= box.ey


def entries(carla_map: carla.Map) -> dict[tuple[int, int], carla.Waypoint]:
    """(road, lane) -> the first waypoint of every lane that leads into a junction."""
    return {(begin.road_id, begin.lane_id): begin for begin, end in carla_map.get_topology() if end.is_junction}


def test_every_lane_into_a_junction_has_one_light(town01: Town) -> None:
    held = Counter()
    for key, begin in entries(town01.carla_map).items():
        last = begin.next_until_lane_end(1.0)[-1]
        before = last.previous(3.0)[0].transform.location
        for light in town01.lights:
            held[key] += any(contains(box, before.x, before.y) for box in light.stop_boxes)
    assert len(held) == 36
    assert set(held.values()) == {1}


def test_a_stop_box_covers_its_own_lane_only(town01: Town) -> None:
    for light in town01.lights:
        for box in light.stop_boxes:
            lane = town01.carla_map.get_waypoint(carla.Location(box.x, box.y, box.z))
            assert not lane.is_junction
            assert math.cos(math.radians(lane.transform.rotation.yaw - box.yaw)) > 0.999
            assert box.ex == pytest.approx(5.0, abs=0.01)
            oncoming = lane.get_left_lane().transform.location
            assert not contains(box, oncoming.x, oncoming.y)


def test_the_client_finds_the_light_ahead_of_a_car(town01: Town) -> None:
    """What the Traffic Manager and scripts ask: landmarks ahead on the lane, and in the junction."""
    by_id = {light.sign_id: light for light in town01.lights}
    for begin in entries(town01.carla_map).values():
        near = begin.next_until_lane_end(1.0)[-1].previous(12.0)[0]
        ahead = {landmark.id for landmark in near.get_landmarks_of_type(20.0, TRAFFIC_LIGHT_TYPE, False)}
        assert len(ahead) == 1
        light = by_id[ahead.pop()]
        forward = near.next(6.0)[0].transform.location
        assert any(contains(box, forward.x, forward.y) for box in light.stop_boxes)
        assert math.cos(math.radians(light.pose.yaw - near.transform.rotation.yaw)) > 0.999


def test_lights_stand_at_the_right_of_the_lane_off_the_road(town01: Town) -> None:
    for light in town01.lights:
        nearest = town01.carla_map.get_waypoint(carla.Location(light.pose.x, light.pose.y, 0.0))
        offset = carla.Location(light.pose.x, light.pose.y, 0.0) - nearest.transform.location
        assert offset.dot(nearest.transform.get_right_vector()) == pytest.approx(2.7, abs=0.05)
        assert light.pose.z == pytest.approx(0.0, abs=1e-3)


def test_only_one_arm_of_a_junction_is_green_at_a_time(town01: Town) -> None:
    arms = Counter((light.junction_id, light.group) for light in town01.lights)
    assert len(arms) == 36
    assert {group for _, group in arms} == {0, 1, 2}


def test_lights_without_controllers_take_turns(town01: Town) -> None:
    root = ET.fromstring(town01.xodr)
    for parent in (root, *root.iterfind("junction")):
        for controller in parent.findall("controller"):
            parent.remove(controller)
    lights = traffic_lights(root, carla.Map("bare", ET.tostring(root, encoding="unicode")), town01.surface)
    assert len(lights) == 36
    assert len({(light.junction_id, light.group) for light in lights}) == 36


def test_lights_without_references_hold_the_lane_they_stand_at(town01: Town) -> None:
    root = ET.fromstring(town01.xodr)
    for signals in root.iterfind("road/signals"):
        for reference in signals.findall("signalReference"):
            signals.remove(reference)
    lights = traffic_lights(root, carla.Map("bare", ET.tostring(root, encoding="unicode")), town01.surface)
    boxes = {light.sign_id: light.stop_boxes for light in lights}
    for light in town01.lights:
        (box,), (own,) = boxes[light.sign_id], light.stop_boxes
        assert (box.x, box.y) == pytest.approx((own.x, own.y), abs=0.15)


def test_a_light_outside_junctions_stands_alone_and_holds_its_lane(town01: Town) -> None:
    """At the corner between roads 0 and 8; once without a controller, once with one that a junction names."""
    root = ET.fromstring(town01.xodr)
    (corner,) = root.iterfind("road[@id='11']")
    template = next(root.iter("signal"))
    signal = ET.fromstring(ET.tostring(template))
    signal.set("id", "9000")
    signal.set("s", "8.0")
    ET.SubElement(corner, "signals").append(signal)

    def light() -> LightSpec:
        lights = traffic_lights(root, carla.Map("corner", ET.tostring(root, encoding="unicode")), town01.surface)
        assert len(lights) == 37
        return next(light for light in lights if light.sign_id == "9000")

    alone = light()
    assert alone.junction_id == FIRST_LONE_JUNCTION
    (box,) = alone.stop_boxes
    lane = town01.carla_map.get_waypoint(carla.Location(box.x, box.y, box.z))
    assert lane.road_id == 11
    assert lane.lane_id == int(signal.find("validity").get("fromLane"))
    controller = ET.SubElement(root, "controller", name="c", id="9001", sequence="3")
    ET.SubElement(controller, "control", signalId="9000", type="")
    junction = root.find("junction")
    ET.SubElement(junction, "controller", id="9001", type="0", sequence="3")
    assert light().junction_id == int(junction.get("id"))
