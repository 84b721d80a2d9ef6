"""Any OpenDRIVE map: it loads, clients can ask it everything, and what stands on it stands in the right place."""

import math

import carla
import drawn_maps
import numpy as np
import opendrive_maps
import pytest
from hypothesis import HealthCheck, given, settings

from minicarla.limits import MAX_BODIES
from minicarla.maps import OrientedBox, Town
from minicarla.maps.loader import mended, query, structural_flaw
from minicarla.maps.placement import MAX_SPAWN_POINTS

ONE_CASE = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def overlaps(box: OrientedBox, x: float, y: float, margin: float = 0.0) -> bool:
    yaw = math.radians(box.yaw)
    along, across = ((x - box.x) * math.cos(yaw) + (y - box.y) * math.sin(yaw),
                     (y - box.y) * math.cos(yaw) - (x - box.x) * math.sin(yaw))  # fmt: skip
    return abs(along) < box.ex - margin and abs(across) < box.ey - margin


@settings(ONE_CASE, max_examples=25)
@given(drawn_maps.maps())
def test_any_map_is_served(drawn: drawn_maps.Drawn) -> None:
    assert structural_flaw(drawn.text) is None
    assert mended(drawn.text) == drawn.text
    query(drawn.text)
    town = Town("drawn", drawn.text).survey()
    roads = {road.id: road for road in drawn.roads}
    driven = {(w.road_id, w.lane_id) for w in town.carla_map.generate_waypoints(5.0) if not w.is_junction}
    found = set()
    for pose in town.spawn_points:
        waypoint = town.carla_map.get_waypoint(carla.Location(pose.x, pose.y, pose.z))
        place = waypoint.transform
        found.add((waypoint.road_id, waypoint.lane_id))
        offset = carla.Location(pose.x, pose.y, place.location.z) - place.location
        assert abs(offset.dot(place.get_right_vector())) < 0.05
        assert math.cos(math.radians(pose.yaw - place.rotation.yaw)) > 0.99, "the way that is driven"
        assert pose.z - 0.5 == pytest.approx(town.surface.height(pose.x, pose.y, place.location.z), abs=0.03)
        if not roads[waypoint.road_id].superelevation:
            assert pose.z - 0.5 == pytest.approx(place.location.z, abs=0.03)
    assert len(found) >= 0.5 * len(driven)
    for waypoint in town.carla_map.generate_waypoints(4.0):
        place = waypoint.transform.location
        assert not any(overlaps(building.box, place.x, place.y) for building in town.buildings)
    for building in town.buildings:
        box = building.box
        land = town.surface.height(box.x, box.y, box.z - box.ez)
        assert box.z - box.ez <= land + 0.5, "on the ground"
        assert box.z + box.ez > land + 2.0, "and above it"


@pytest.mark.parametrize("left_hand", [False, True])
def test_houses_line_both_sides_under_either_rule_of_the_road(left_hand: bool) -> None:
    town = Town("street", opendrive_maps.street(300.0, left_hand=left_hand))
    for side in (-1.0, 1.0):
        near = [box for box in (building.box for building in town.buildings) if box.y * side > 0.0]
        assert len(near) > 5
        assert all(abs(box.y) - box.ey > 5.5 for box in near), "the pavement ends there"


@pytest.mark.parametrize("left_hand", [False, True])
def test_traffic_lights_hold_those_who_come_on_the_side_that_is_driven(left_hand: bool) -> None:
    town = Town("tee", opendrive_maps.tee(left_hand, height=4.0))
    assert {light.sign_id for light in town.lights} == {"1", "2", "3"}
    side = 1.0 if left_hand else -1.0
    for light in town.lights:
        (stop,) = light.stop_boxes
        waypoint = town.carla_map.get_waypoint(carla.Location(stop.x, stop.y, stop.z))
        assert (waypoint.road_id, waypoint.lane_id) == (int(light.sign_id), int(side))
        assert math.cos(math.radians(waypoint.transform.rotation.yaw - stop.yaw)) > 0.99
        assert math.cos(math.radians(light.pose.yaw - stop.yaw)) > 0.99, "it speaks to those who come"
        yaw = math.radians(light.pose.yaw)
        left = (stop.x - light.pose.x) * math.sin(yaw) - (stop.y - light.pose.y) * math.cos(yaw)
        assert math.copysign(1.0, left) == -side, "the lane is on the pole's other side"
        assert light.pose.z == pytest.approx(4.0, abs=0.5), "at the junction's height"
        assert stop.z - stop.ez == pytest.approx(waypoint.transform.location.z, abs=0.4)


@settings(ONE_CASE, max_examples=10)
@given(drawn_maps.crossings())
def test_land_and_lanes_are_one_surface_across_a_junction(drawn: drawn_maps.Drawn) -> None:
    """No step of more than 30 cm between places 25 cm apart, on roads, between them and beside them."""
    surface = Town("drawn", drawn.text).surface
    for angle in np.linspace(0.0, math.pi, 5):
        way = np.arange(-40.0, 40.0, 0.25)
        points = np.stack([way * math.cos(angle), way * math.sin(angle), np.zeros_like(way)], axis=1)
        heights = surface.heights(points)
        assert np.abs(np.diff(heights)).max(initial=0.0) < 0.3


def test_a_large_town_has_no_more_spawn_points_than_the_server_takes_vehicles() -> None:
    town = Town("street", opendrive_maps.street(12_000.0))
    assert 0.5 * MAX_SPAWN_POINTS <= len(town.spawn_points) <= MAX_SPAWN_POINTS < MAX_BODIES
