"""Speed limits, stop and yield signs: found as the client finds them, with boxes on the right lanes."""

import math
import os
from collections import Counter
from pathlib import Path

import carla
import pytest

from minicarla.geometry.types import SignSpec
from minicarla.maps import Town, load_xodr


@pytest.fixture(scope="module")
def stops(town01: Town) -> Town:
    """Town01 with stop signs instead of lights."""
    return Town("Stops", town01.xodr.replace('type="1000001"', 'type="206"'))


def ahead(town: Town, sign: SignSpec, distance: float) -> carla.Waypoint:
    """The lane's middle `distance` m past the sign's first box."""
    box = sign.boxes[0]
    yaw = math.radians(box.yaw)
    return town.carla_map.get_waypoint(
        carla.Location(box.x + distance * math.cos(yaw), box.y + distance * math.sin(yaw), box.z)
    )


def test_town01_posts_what_carlas_does(town01: Town) -> None:
    kinds = Counter(sign.type_id for sign in town01.signs)
    assert kinds == {"traffic.speed_limit.30": 11, "traffic.speed_limit.60": 5, "traffic.speed_limit.90": 5}
    for sign in town01.signs:
        assert sign.type_id == f"traffic.speed_limit.{sign.limit_kmh:.0f}"


@pytest.mark.skipif(
    "AVTD3_XODR_DIR" not in os.environ, reason="needs AVTD3_XODR_DIR, a folder with CARLA's Town01.xodr"
)
def test_signs_of_carlas_own_file_are_objects_and_stand_where_ours_do(town01: Town) -> None:
    real = load_xodr(Path(os.environ["AVTD3_XODR_DIR"]) / "Town01.xodr")
    assert len(real.signs) == 22  # two of them in one place
    for sign in real.signs:
        (box,) = sign.boxes
        nearest = min(town01.signs, key=lambda own: math.hypot(own.boxes[0].x - box.x, own.boxes[0].y - box.y))
        assert nearest.limit_kmh == sign.limit_kmh
        assert math.hypot(nearest.boxes[0].x - box.x, nearest.boxes[0].y - box.y) < 0.5


def test_a_limit_is_passed_on_the_lane_it_is_for_just_before_the_plate(town01: Town) -> None:
    by_id = {landmark.id: landmark for landmark in town01.carla_map.get_all_landmarks_of_type("274")}
    for sign in town01.signs:
        lane = ahead(town01, sign, 0.0)
        validity = by_id[sign.sign_id].get_lane_validities()[0]
        assert (lane.road_id, lane.lane_id) == (by_id[sign.sign_id].road_id, validity[0])
        (box,) = sign.boxes
        assert (box.ex, box.ey) == (pytest.approx(0.35 * lane.lane_width), pytest.approx(0.35 * lane.lane_width))
        yaw = math.radians(lane.transform.rotation.yaw)
        plate = (sign.pose.x - box.x) * math.cos(yaw) + (sign.pose.y - box.y) * math.sin(yaw)
        assert plate == pytest.approx(box.ex, abs=0.01)
        right = (sign.pose.y - box.y) * math.cos(yaw) - (sign.pose.x - box.x) * math.sin(yaw)
        assert right == pytest.approx(2.7, abs=0.05)


def test_stop_boxes_lie_before_the_junction(stops: Town) -> None:
    assert Counter(sign.type_id for sign in stops.signs)["traffic.stop"] == 36
    for sign in stops.signs:
        if sign.type_id == "traffic.stop":
            for box in sign.boxes:
                lane = stops.carla_map.get_waypoint(carla.Location(box.x, box.y, box.z))
                assert not lane.is_junction
                assert lane.next(5.0)[0].is_junction
                assert (box.ex, box.ey) == (1.5, pytest.approx(0.25 * lane.lane_width))


def test_crossing_traffic_comes_from_other_roads(stops: Town) -> None:
    for sign in stops.signs:
        if sign.type_id == "traffic.stop":
            own = {ahead(stops, sign, 0.0).road_id}
            assert sign.crossing
            roads = {
                lane.road_id
                for box in sign.crossing
                for lane in [stops.carla_map.get_waypoint(carla.Location(box.x, box.y, box.z))]
                if not lane.is_junction
            }
            assert roads
            assert not roads & own


def test_a_sign_for_no_driving_lane_has_no_box_and_one_without_a_number_is_no_limit(town01: Town) -> None:
    far = town01.xodr.replace('<validity fromLane="-1" toLane="-1" />', '<validity fromLane="-3" toLane="-3" />')
    signs = Town("Sidewalk", far).signs
    assert [sign for sign in signs if not sign.boxes]
    bare = town01.xodr.replace('value="30"', 'value="-1"')
    assert {sign.limit_kmh for sign in Town("Bare", bare).signs} == {60.0, 90.0}
