"""Lane invasions from geometry: which poses reach over the marking."""

import math

import numpy as np
import pytest

from envloop.task.lane_invasion import BoundingBox, RouteLane, over_marking
from envloop.task.observation import EgoState
from envloop.task.route import Route

STRAIGHT = Route([(0.0, 0.0), (100.0, 0.0)])
# A quarter circle of 9 m radius, as in Town01's corners, between two straights.
BEND = Route(
    [
        (-40.0, 0.0),
        *((9.0 * math.sin(a), 9.0 * (1.0 - math.cos(a))) for a in np.linspace(0.0, math.pi / 2, 40)),
        (9.0, 49.0),
    ]
)
BODY = BoundingBox(half_length_m=2.4, half_width_m=1.0)


def over(route: Route, ego: EgoState, marked: tuple[bool, ...] = (True,)) -> bool:
    return over_marking(ego, route.project(ego.x, ego.y), route, RouteLane((2.0,), marked), BODY)


@pytest.mark.parametrize(
    ("y", "yaw_deg", "expected"),
    [
        (0.0, 0.0, False),
        (0.95, 0.0, False),
        (1.05, 0.0, True),
        (-1.05, 0.0, True),
        (0.0, 20.0, False),  # 2.4 sin 20 + 1.0 cos 20 = 1.76 m
        (0.0, 30.0, True),  # 2.07 m
        (0.0, -30.0, True),
        (0.0, 180.0, False),
    ],
)
def test_a_corner_beyond_the_lane_is_an_invasion(y, yaw_deg, expected):
    assert over(STRAIGHT, EgoState(x=50.0, y=y, yaw_deg=yaw_deg)) is expected


def test_the_width_of_the_lane_there_counts():
    lane = RouteLane((2.0, 2.0, 1.5), (True,))  # narrower after 75 m
    for x, y, expected in ((60.0, 0.9, False), (60.0, 1.1, True), (90.0, 0.4, False), (90.0, 0.6, True)):
        ego = EgoState(x=x, y=y)
        assert over_marking(ego, STRAIGHT.project(x, y), STRAIGHT, lane, BODY) is expected


@pytest.mark.parametrize("lateral", np.linspace(-1.6, 1.6, 33))
@pytest.mark.parametrize("s", [20.0, 41.0, 47.0, 53.0, 70.0])
def test_the_quick_answer_agrees_with_the_four_corners_in_a_bend(s, lateral):
    x, y, _ = BEND.point_at(s)
    heading = BEND.heading_at(s)
    tangent = math.radians(heading)
    ego = EgoState(x=x - lateral * math.sin(tangent), y=y + lateral * math.cos(tangent), yaw_deg=heading + 3.0)
    yaw = math.radians(ego.yaw_deg)
    corners = [
        BEND.project(ego.x + f * math.cos(yaw) - r * math.sin(yaw), ego.y + f * math.sin(yaw) + r * math.cos(yaw))
        for f in (2.4, -2.4)
        for r in (1.0, -1.0)
    ]
    assert over(BEND, ego) is any(abs(corner.lateral) > 2.0 for corner in corners)


def test_a_junction_has_no_markings():
    marked = tuple(not 40 <= i <= 60 for i in range(101))
    assert not over(STRAIGHT, EgoState(x=50.0, y=1.9), marked)
    assert over(STRAIGHT, EgoState(x=39.0, y=1.9), marked)
    assert over(STRAIGHT, EgoState(x=61.0, y=1.9), marked)
