"""Whom a driver has to wait for: places and times worked out by hand on a straight road."""

import math

import pytest

from envloop.task.observation import EgoState
from envloop.task.right_of_way import CAUTION, HALF_LENGTH_M, Obstacle, Outlook, Passed, lines_ahead
from envloop.task.road_scene import Crossing, RoadScene, RoadUser, StopLine
from envloop.task.route import Route

ROUTE = Route([(0.0, 0.0), (200.0, 0.0)])
SPEED = 8.0
FRONT = 50.0 + HALF_LENGTH_M


def car(x: float, y: float, yaw_deg: float = 0.0, mps: float = 0.0, **values) -> RoadUser:
    yaw = math.radians(yaw_deg)
    moving = {"vx": mps * math.cos(yaw), "vy": mps * math.sin(yaw), "yaw_rate_deg": 0.0, "accel": 0.0, "z": 0.0}
    return RoadUser(x=x, y=y, yaw_deg=yaw_deg, half_length=2.0, half_width=1.0, **{**moving, **values})


def person(x: float, y: float, vy: float) -> RoadUser:
    still = {"z": 0.9, "yaw_deg": 0.0, "yaw_rate_deg": 0.0, "vx": 0.0, "accel": 0.0}
    return RoadUser(x=x, y=y, vy=vy, half_length=0.2, half_width=0.2, person=True, **still)


def outlook(scene: RoadScene, speed: float = SPEED) -> Outlook:
    """Of an ego in the middle of the road at x = 50 m."""
    return Outlook(EgoState(x=50.0, y=0.0, yaw_deg=0.0, vx=speed, vy=0.0), 50.0, ROUTE, scene)


def met(scene: RoadScene, speed: float = SPEED) -> list[Obstacle]:
    return outlook(scene, speed).obstacles(lambda s: SPEED)


def passed(*users: RoadUser) -> list[Passed]:
    return outlook(RoadScene(users=users)).passed


def kinds(*users: RoadUser, **scene) -> list[str]:
    return [obstacle.kind for obstacle in met(RoadScene(users=users, **scene))]


def test_a_red_light_is_stopped_at_before_its_line():
    (light,) = met(RoadScene(stop_lines=(StopLine(80.0, "red"), StopLine(120.0, "green"))))
    assert light.gap_m == pytest.approx(80.0 - CAUTION.before_line_m - FRONT)
    assert light.speed_mps == 0.0


def test_a_yellow_light_is_for_who_can_stop_in_comfort():
    needed_m = SPEED**2 / (2.0 * CAUTION.yellow_braking) + CAUTION.before_line_m
    for more_m, expected in ((1.0, 1), (-1.0, 0)):
        assert len(met(RoadScene(stop_lines=(StopLine(FRONT + needed_m + more_m, "yellow"),)))) == expected


def test_a_red_line_that_was_passed_too_fast_holds_nobody():
    assert not met(RoadScene(stop_lines=(StopLine(FRONT - 0.1, "red"),)))


@pytest.mark.parametrize(("past_m", "state", "held"), [(1.5, "red", True), (1.5, "green", False), (2.5, "red", False)])
def test_who_stands_with_its_bumper_over_a_red_line_has_not_run_it_and_stays(past_m, state, held):
    obstacles = met(RoadScene(stop_lines=(StopLine(FRONT - past_m, state),)), speed=0.3)
    assert [(each.gap_m, each.kind) for each in obstacles] == ([(0.0, "red")] if held else [])


def test_a_red_light_is_braked_for_as_long_as_it_need_not_be_run():
    """8 m/s at 7 m/s^2 take 4.6 m, 2 m of which lie past the line."""
    for before_m, expected in ((2.7, ["red"]), (2.4, [])):
        assert kinds(stop_lines=(StopLine(FRONT + before_m, "red"),)) == expected


def test_the_gap_to_who_drives_ahead_is_between_the_bumpers():
    (lead,) = met(RoadScene(users=(car(70.0, 0.2, mps=5.0),)))
    assert lead.gap_m == pytest.approx(70.0 - 2.0 - FRONT, abs=0.05)
    assert lead.speed_mps == pytest.approx(5.0)


def test_other_lanes_and_those_behind_are_no_obstacles():
    assert not kinds(car(70.0, -4.0, 180.0, 8.0), car(40.0, 0.0, mps=8.0), car(60.0, 4.0, mps=6.0))


def test_a_car_across_the_way_counts_with_its_length():
    """It stands 2.9 m beside the line: along the road it would be clear, across it is not."""
    assert not kinds(car(70.0, 2.9))
    assert kinds(car(70.0, 2.9, 90.0)) == ["vehicle"]


def test_who_comes_from_the_side_is_given_way_if_the_ways_meet_in_time():
    junction = {"crossings": (Crossing(65.0, 85.0),)}
    assert kinds(car(75.0, 20.0, -90.0, 8.0), **junction) == ["vehicle crossing"]
    assert not kinds(car(75.0, 60.0, -90.0, 8.0), **junction), "the ego is long past"
    assert not kinds(car(75.0, 20.0, 90.0, 8.0), **junction), "drives away"
    assert not kinds(car(75.0, 20.0, -90.0, 8.0, accel=-4.0), **junction), "stops 12 m beside"
    assert not kinds(car(75.0, 20.0, -90.0, 8.0, may_drive_m=12.0), **junction), "has a red light"
    assert not kinds(car(75.0, 20.0, -90.0, 8.0)), "a road beside the ego's, which never meets it"


def test_an_oncoming_car_in_a_bend_of_its_own_lane_is_no_obstacle_and_one_that_changes_lanes_is():
    assert not kinds(car(80.0, -4.0, 160.0, 8.0))
    assert kinds(car(60.0, -3.5, 15.0, 7.0)) == ["vehicle crossing"]


def test_a_person_who_steps_towards_the_road_is_waited_for():
    assert kinds(person(70.0, 4.0, -1.5)) == ["person crossing"]
    assert not kinds(person(70.0, 4.0, 1.5))
    assert not kinds(person(70.0, 4.0, 0.0))
    assert kinds(person(70.0, 1.5, 0.0)) == ["person"]


def test_a_junction_is_kept_free_where_those_behind_it_stand():
    crossings = (Crossing(60.0, 80.0),)
    full = met(RoadScene(users=(car(87.0, 0.0),), crossings=crossings))
    assert [obstacle.kind for obstacle in full] == ["vehicle", "full exit"]
    assert full[1].gap_m == pytest.approx(60.0 - CAUTION.before_line_m - FRONT)
    assert kinds(car(92.0, 0.0), crossings=crossings) == ["vehicle"], "5 m of car and 2.5 m fit in between"
    assert kinds(car(87.0, 0.0, mps=6.0), crossings=crossings) == ["vehicle"]


def test_what_is_on_another_level_is_no_obstacle():
    assert not kinds(car(70.0, 0.0, z=6.0))


def test_who_is_beside_the_strip_is_passed_wherever_they_walk():
    at_the_kerb, on_the_road = person(70.0, 2.9, vy=1.4), person(60.0, -0.5, vy=0.0)
    far_aside, behind, too_far = person(70.0, 3.1, vy=-1.4), person(49.0, 0.0, vy=0.0), person(90.0, 0.0, vy=0.0)
    found = passed(at_the_kerb, on_the_road, far_aside, behind, too_far, car(65.0, 0.0))
    assert [(each.gap_m, each.user) for each in found] == [
        (pytest.approx(70.0 - FRONT), at_the_kerb),
        (pytest.approx(60.0 - FRONT), on_the_road),
    ]


def test_who_stands_beside_the_bumper_is_still_to_be_passed():
    (found,) = passed(person(FRONT - 1.0, 2.0, vy=0.0))
    assert found.gap_m == 0.0


def test_lights_and_signs_are_found_without_asking_who_is_on_the_road():
    scene = RoadScene(users=(car(70.0, 0.0),), stop_lines=(StopLine(60.0, "red"),), stop_signs=(65.0,))
    lines = lines_ahead(outlook(scene, speed=0.0).ego, 50.0, scene)
    assert [each.kind for each in lines] == ["red", "stop sign"]
    everything = met(scene, speed=0.0)
    assert everything[:2] == lines
    assert [each.kind for each in everything[2:]] == ["vehicle"]
