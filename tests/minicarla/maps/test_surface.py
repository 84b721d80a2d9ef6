"""The ground of towns with hills: against the heights that their profiles say."""

import math

import carla
import drawn_maps
import numpy as np
import opendrive_maps
import pytest
from hypothesis import HealthCheck, given, settings

from minicarla.maps import Town
from minicarla.maps.terrain import DROP_M


def town_of(text: str) -> Town:
    return Town("Hills", text)


@pytest.fixture(scope="module")
def bridge() -> Town:
    return town_of(opendrive_maps.bridge(6.0))


def test_a_level_town_is_flat_and_has_one_height(town01: Town) -> None:
    surface = town01.surface
    assert surface.is_flat
    assert surface.level == 0.0
    assert surface.height(12.0, 3000.0, -7.0) == 0.0
    assert surface.slope(0.0, 0.0, 0.0) == (0.0, 0.0)
    assert surface.stance(0.0, 0.0, 5.0, 1.0, 1.4, 0.8) == (0.0, 0.0, 0.0)
    assert surface.heights(np.zeros((3, 3))).tolist() == [0.0] * 3
    assert surface.ray((0.0, 0.0, 10.0), (0.6, 0.0, -0.8), 100.0) == pytest.approx(12.5)
    assert surface.ray((0.0, 0.0, 10.0), (0.0, 0.0, 1.0), 100.0) is None


def test_a_level_town_may_lie_high() -> None:
    surface = town_of(opendrive_maps.street(elevation=((0.0, 30.0, 0.0, 0.0, 0.0),))).surface
    assert surface.is_flat
    assert surface.level == pytest.approx(30.0)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_maps.maps())
def test_roads_lie_where_the_clients_waypoints_are(drawn: drawn_maps.Drawn) -> None:
    """Also in junctions, where one lane crosses another; superelevation, which waypoints lack, is looked at below."""
    town = town_of(drawn.text)
    for waypoint in town.carla_map.generate_waypoints(5.0):
        place = waypoint.transform.location
        road = next(road for road in drawn.roads if road.id == waypoint.road_id)
        if not road.superelevation:
            height = town.surface.height(place.x, place.y, place.z)
            assert height == pytest.approx(place.z, abs=0.02)


def test_a_slope_is_that_of_the_profile_along_and_level_across() -> None:
    surface = town_of(opendrive_maps.hill(grade=0.08)).surface
    middle = 180.0
    height = surface.height(middle, 1.0, 8.0)
    along, across = surface.slope(middle, 1.0, height)
    assert (along, across) == (pytest.approx(0.08, abs=1e-4), pytest.approx(0.0, abs=1e-4))
    z, pitch, roll = surface.stance(middle, 0.0, height, 0.0, 1.4, 0.8)
    assert z == pytest.approx(height, abs=1e-3)
    assert math.degrees(pitch) == pytest.approx(math.degrees(math.atan(0.08)), abs=0.01), "nose up"
    assert roll == pytest.approx(0.0, abs=1e-4)
    _, pitch, _ = surface.stance(middle, 0.0, height, math.pi, 1.4, 0.8)
    assert math.degrees(pitch) == pytest.approx(-math.degrees(math.atan(0.08)), abs=0.01), "downhill, nose down"
    _, pitch, roll = surface.stance(middle, 0.0, height, math.pi / 2, 1.4, 0.8)
    assert (math.degrees(pitch), math.degrees(roll)) == (
        pytest.approx(0.0, abs=0.01),
        pytest.approx(math.degrees(math.atan(0.08)), abs=0.01),
    ), "across the slope with the hill to its left: the right side is lower"


def test_a_tilted_road_falls_to_its_right() -> None:
    """OpenDRIVE 1.4H, 5.3.6.1: positive superelevation falls to the right; it turns about the reference line."""
    roll, radius = 0.08, 80.0
    town = town_of(opendrive_maps.banked_curve(roll, radius, grade=0.0))
    for lane, left in ((-1, -1.75), (1, 1.75)):
        waypoint = town.carla_map.get_waypoint_xodr(1, lane, 100.0)
        place = waypoint.transform.location
        assert town.surface.height(place.x, place.y, 0.0) == pytest.approx(left * math.tan(roll), abs=0.01)
        assert place.z == 0.0, "waypoints have no superelevation"
    yaw_rad = math.radians(town.carla_map.get_waypoint_xodr(1, -1, 100.0).transform.rotation.yaw)
    _, pitch, tilt = town.surface.stance(place.x, place.y, 0.0, yaw_rad, 1.4, 0.8)
    assert tilt == pytest.approx(roll, abs=0.003), "the right side is lower"
    assert pitch == pytest.approx(0.0, abs=0.003)


def test_roads_above_each_other_are_told_apart_by_z(bridge: Town) -> None:
    surface = bridge.surface
    assert surface.height(0.0, 0.0, 0.0) == pytest.approx(0.0, abs=0.01)
    assert surface.height(0.0, 0.0, 6.0) == pytest.approx(6.0, abs=0.01)
    assert surface.height(0.0, 0.0, 4.0) == pytest.approx(0.0, abs=0.01), "what falls from under it falls on the street"
    assert surface.height(0.0, 0.0, 40.0) == pytest.approx(6.0, abs=0.01)
    assert surface.height(0.0, 0.0, -9.0) == pytest.approx(0.0, abs=0.01), "what is below everything comes out below"
    assert surface.ray((0.0, 0.0, 20.0), (0.0, 0.0, -1.0), 100.0) == pytest.approx(14.0, abs=0.01)
    assert surface.ray((0.0, 0.0, 4.0), (0.0, 0.0, -1.0), 100.0) == pytest.approx(4.0, abs=0.01)
    assert surface.ray((0.0, 0.0, 4.0), (0.0, 0.0, 1.0), 100.0) == pytest.approx(2.0, abs=0.01), "the deck from below"
    assert surface.ray((-50.0, 0.0, 3.0), (1.0, 0.0, 0.0), 100.0) is None, "through under the bridge"


def test_the_land_lies_under_the_roads_and_meets_their_edges(bridge: Town) -> None:
    surface = bridge.surface
    for waypoint in bridge.carla_map.generate_waypoints(2.0):
        place = waypoint.transform.location
        land = float(surface.terrain.at(np.array([[place.x, place.y]]))[0])
        assert land <= place.z - DROP_M + 1e-3
    hill = town_of(opendrive_maps.hill()).surface
    for x in range(10, 350, 7):
        on, off = (hill.height(x, y, 9.0) for y in (5.0, 6.5))  # the pavement ends at 5.5
        assert abs(on - off) < 0.15, "no cliff beside the road"
        far = [hill.height(x, y, 9.0) for y in np.linspace(6.5, 60.0, 200)]
        assert np.abs(np.diff(far)).max() < 0.25, "nor further out"


@pytest.mark.parametrize("left_hand", [False, True])
def test_lanes_lie_beside_each_other_under_either_rule_of_the_road(left_hand: bool) -> None:
    lanes = {lane.lane_id: lane for lane in town_of(opendrive_maps.street(left_hand=left_hand)).lanes}
    assert sorted(lanes) == [-2, -1, 1, 2]
    for side in (-1, 1):  # CARLA's y points to the south: the lane of id -1 is at y > 0
        driving, pavement = lanes[side], lanes[2 * side]
        assert driving.left[:, 1] == pytest.approx(0.0, abs=1e-3)
        assert driving.right[:, 1] == pytest.approx(-3.5 * side, abs=1e-3)
        assert pavement.right[:, 1] == pytest.approx(-5.5 * side, abs=1e-3)
        assert {mark.kind for mark in driving.left_marks} == {"Broken"}
        assert {mark.kind for mark in driving.right_marks} == {"Solid"}


def test_carlas_waypoints_rise_with_positive_pitch() -> None:
    """What the stance's sign is compared with: the client's own map."""
    waypoint = carla.Map("hill", opendrive_maps.hill(0.08)).get_waypoint_xodr(1, -1, 180.0)
    assert waypoint.transform.rotation.pitch > 0.0
    assert waypoint.transform.get_forward_vector().z > 0.0
