"""Spawn points and buildings."""

import itertools
import math
from xml.etree import ElementTree as ET

import carla
import numpy as np

from minicarla.maps import OrientedBox, Town
from minicarla.maps.lane_spans import lane_spans, waypoints_along
from minicarla.maps.placement import buildings, overlap


def paved_points(town: Town) -> np.ndarray:
    """[N, 2]: points across every lane, edges included, at most 1 m apart along it."""
    points = []
    for span in lane_spans(ET.fromstring(town.xodr)):
        for waypoint in waypoints_along(town.carla_map, span, 1.0):
            location, right = waypoint.transform.location, waypoint.transform.get_right_vector()
            for share in (-0.5, -0.25, 0.0, 0.25, 0.5):
                reach = share * waypoint.lane_width
                points.append((location.x + reach * right.x, location.y + reach * right.y))
    return np.array(points)


def inside(box: OrientedBox, points: np.ndarray) -> np.ndarray:
    yaw = math.radians(box.yaw)
    offset = points - (box.x, box.y)
    along = offset @ (math.cos(yaw), math.sin(yaw))
    across = offset @ (-math.sin(yaw), math.cos(yaw))
    return (np.abs(along) <= box.ex) & (np.abs(across) <= box.ey)


def test_spawn_points_are_on_lane_centres_outside_junctions(town01: Town) -> None:
    for pose in town01.spawn_points:
        waypoint = town01.carla_map.get_waypoint(carla.Location(pose.x, pose.y, pose.z))
        assert not waypoint.is_junction
        offset = carla.Location(pose.x, pose.y, 0.0) - waypoint.transform.location
        assert abs(offset.dot(waypoint.transform.get_right_vector())) < 0.05
        assert all(-180.0 <= angle <= 180.0 for angle in (pose.pitch, pose.yaw, pose.roll))
        assert math.cos(math.radians(waypoint.transform.rotation.yaw - pose.yaw)) > 0.99
        assert abs(pose.z - waypoint.transform.location.z - 0.5) < 1e-3


def test_there_is_room_for_the_densest_scenario(town01: Town) -> None:
    """100 vehicles and the ego, at least 20 m from it; and no two spawn points where two cars would touch."""
    ego = (317.74, 129.49)
    assert sum(math.dist(ego, (pose.x, pose.y)) > 20.0 for pose in town01.spawn_points) >= 250
    for first, second in itertools.combinations(town01.spawn_points, 2):
        if math.cos(math.radians(first.yaw - second.yaw)) > 0.0:
            assert math.dist((first.x, first.y), (second.x, second.y)) >= 6.0
        else:
            assert math.dist((first.x, first.y), (second.x, second.y)) >= 3.5


def test_spawn_points_are_on_every_road_both_ways(town01: Town) -> None:
    lanes = set()
    for pose in town01.spawn_points:
        waypoint = town01.carla_map.get_waypoint(carla.Location(pose.x, pose.y, 0.0))
        lanes.add((waypoint.road_id, waypoint.lane_id))
    assert lanes == {(road, lane) for road in range(26) for lane in (1, -1)}


def test_no_building_stands_on_anything_paved(town01: Town) -> None:
    points = paved_points(town01)
    for building in town01.buildings:
        assert not inside(building.box, points).any()


def test_no_building_stands_in_another(town01: Town) -> None:
    for first, second in itertools.combinations(town01.buildings, 2):
        assert not overlap(first.box, second.box)


def test_buildings_make_a_varied_town(town01: Town) -> None:
    boxes = [building.box for building in town01.buildings]
    assert 150 <= len(boxes) <= 400
    heights = np.array([2 * box.ez for box in boxes])
    assert heights.min() >= 3.0
    assert heights.max() <= 20.0
    assert heights.std() > 2.0
    assert all(box.z == box.ez for box in boxes), "they stand on the ground"
    assert len({building.colour for building in town01.buildings}) > 100
    assert all(max(building.colour) - min(building.colour) < 130 for building in town01.buildings), "muted"
    for quadrant in itertools.product((True, False), repeat=2):
        assert sum((box.x < 197.0, box.y < 165.0) == quadrant for box in boxes) > 25


def test_another_seed_builds_another_town(town01: Town) -> None:
    root = ET.fromstring(town01.xodr)
    assert buildings(root, town01.carla_map, town01.surface, seed=0) == town01.buildings
    assert buildings(root, town01.carla_map, town01.surface, seed=1) != town01.buildings


def test_overlap_knows_turned_boxes() -> None:
    square = OrientedBox(0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    diamond = OrientedBox(2.3, 0.0, 0.0, 45.0, 1.0, 1.0, 1.0)
    assert overlap(square, diamond), "its corner reaches in"
    assert not overlap(square, OrientedBox(2.3, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    assert overlap(square, OrientedBox(2.3, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0), gap=0.4)
    assert not overlap(square, OrientedBox(1.8, 1.8, 0.0, 45.0, 1.0, 1.0, 1.0)), "only the corners' boxes meet"
