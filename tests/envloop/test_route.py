import math

import numpy as np
import pytest

from envloop.errors import TaskError
from envloop.task.route import ROUTE_0, Lead, Other, Route, SpeedProfile, SpeedRules, lead_ahead, wrap_degrees


@pytest.fixture(scope="module")
def circle() -> Route:
    """Three quarters of a circle of 20 m round the origin, clockwise seen from above (a right turn)."""
    angle = np.linspace(0.0, 1.5 * np.pi, 200)
    return Route(np.stack([20.0 * np.cos(angle), 20.0 * np.sin(angle)], axis=1))


def test_route_0_is_the_route_of_record():
    assert ROUTE_0.length == pytest.approx(264.4, abs=1.5)
    assert ROUTE_0.point_at(0.0)[:2] == pytest.approx((317.74, 129.49))
    assert ROUTE_0.point_at(ROUTE_0.length)[:2] == pytest.approx((92.34, 86.73))
    assert abs(ROUTE_0.heading_at(100.0)) == pytest.approx(180.0)
    assert ROUTE_0.heading_at(ROUTE_0.length) == pytest.approx(-90.0)


# Centre of Town01's connecting road from west to north, read from the real map's waypoints.
RIGHT_TURN = [(98.80, 129.41), (96.90, 129.18), (95.24, 128.38), (94.16, 127.37), (93.10, 125.71), (92.50, 123.83)]


@pytest.mark.parametrize(("x", "y"), RIGHT_TURN)
def test_route_0_turns_where_town01_does(x, y):
    assert abs(ROUTE_0.project(x, y).lateral) < 0.1


def test_points_right_of_the_route_have_positive_lateral_deviation():
    # Driving west, north (smaller y) is right; driving north, east (larger x) is right.
    assert ROUTE_0.project(250.0, 128.49).lateral == pytest.approx(1.0)
    assert ROUTE_0.project(250.0, 130.49).lateral == pytest.approx(-1.0)
    assert ROUTE_0.project(93.34, 100.0).lateral == pytest.approx(1.0)


def test_heading_is_the_routes_and_not_the_nearest_lanes():
    # Just beyond the centre line, where the nearest lane is the oncoming one.
    assert abs(ROUTE_0.project(250.0, 131.6).heading_deg) == pytest.approx(180.0)


@pytest.mark.parametrize("offset", [-2.4, -1.0, 0.0, 1.0, 2.4])
def test_projection_inverts_an_offset_through_the_bend(circle, offset):
    hint = 0.0
    for angle in np.linspace(0.05, 1.5 * np.pi - 0.05, 500):
        # The circle turns right, so right of the route is towards its centre.
        radius = 20.0 - offset
        found = circle.project(radius * math.cos(angle), radius * math.sin(angle), hint)
        assert found.lateral == pytest.approx(offset, abs=0.02)
        assert found.s == pytest.approx(20.0 * angle, abs=0.05)
        assert wrap_degrees(found.heading_deg - math.degrees(angle) - 90.0) == pytest.approx(0.0, abs=0.5)
        hint = found.s


@pytest.mark.parametrize("offset", [-2.4, 0.0, 2.4])
def test_projection_is_continuous_along_route_0(offset):
    step = 0.05
    last, hint = None, 0.0
    for s in np.arange(0.0, ROUTE_0.length, step):
        x, y, _ = ROUTE_0.point_at(s)
        heading_rad = math.radians(ROUTE_0.heading_at(s))
        found = ROUTE_0.project(x - offset * math.sin(heading_rad), y + offset * math.cos(heading_rad), hint)
        if last is not None:
            assert 0.0 <= found.s - last.s < 4 * step
            assert abs(found.lateral - last.lateral) < step
            assert abs(wrap_degrees(found.heading_deg - last.heading_deg)) < 2.0
        last, hint = found, found.s


def test_a_projection_with_a_hint_equals_one_without():
    rng = np.random.default_rng(0)
    for s in rng.uniform(0.0, ROUTE_0.length, 200):
        x, y, _ = ROUTE_0.point_at(s)
        x, y = x + rng.uniform(-2, 2), y + rng.uniform(-2, 2)
        near = ROUTE_0.project(x, y, s + rng.uniform(-3, 3))
        anywhere = ROUTE_0.project(x, y)
        assert near.s == pytest.approx(anywhere.s, abs=1e-6)
        assert near.lateral == pytest.approx(anywhere.lateral, abs=1e-6)


def test_a_hint_keeps_to_its_branch_where_the_route_crosses_itself():
    eight = Route([(0, 0), (100, 0), (100, 50), (50, 50), (50, -50)])
    crossing = 50.0
    assert eight.project(50.0, 0.0, crossing).s == pytest.approx(crossing, abs=0.5)
    assert eight.project(50.0, 0.0, 240.0).s == pytest.approx(250.0, abs=1.5)


def test_a_projection_does_not_walk_the_route():
    # The cost may not grow with the route, so the search ends near the hint even where the car is not.
    assert ROUTE_0.project(92.34, 90.0, 10.0).s < 40.0


def test_outside_both_ends_s_is_clamped():
    assert ROUTE_0.project(330.0, 129.49).s == 0.0
    assert ROUTE_0.project(92.34, 50.0).s == ROUTE_0.length
    assert ROUTE_0.project(93.34, 50.0).lateral == pytest.approx(1.0)


def test_points_ahead_go_on_past_the_goal():
    points = ROUTE_0.points_ahead(ROUTE_0.length - 1.0, 10, 2.5)
    assert points[:, 0] == pytest.approx(np.full(10, 92.34))
    assert points[:, 1] == pytest.approx(86.73 + 1.0 - 2.5 * np.arange(1, 11))


def test_points_ahead_are_spaced_along_the_route_and_continuous():
    # Also where one resampled point is passed and the next becomes the first.
    last = None
    for s in np.arange(0.0, ROUTE_0.length + 5.0, 0.1):
        points = ROUTE_0.points_ahead(s, 10, 2.5)
        gaps = np.hypot(*np.diff(points, axis=0).T)
        assert (gaps > 2.3).all()
        assert (gaps < 2.5 + 1e-9).all()
        if last is not None:
            assert np.abs(points - last).max() < 0.11
        last = points


def test_a_coarse_polyline_is_resampled_with_its_height():
    ramp = Route([(0.0, 0.0, 0.0), (100.0, 0.0, 10.0)])
    assert ramp.point_at(25.0) == pytest.approx((25.0, 0.0, 2.5))
    assert len(ramp.points) == 101


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        ([(0, 0)], "two different points"),
        ([(1, 1), (1, 1)], "two different points"),
        ([(0, 0), (math.nan, 1)], "finite"),
        ([0.0, 1.0], "N, 2"),
        ([(0, 0), (10, 0), (0, 0)], "turn back"),
    ],
)
def test_bad_points_are_refused_in_plain_words(points, complaint):
    with pytest.raises(TaskError, match=complaint):
        Route(points)


def test_a_lost_position_is_refused():
    with pytest.raises(ValueError, match="finite"):
        ROUTE_0.project(math.nan, 0.0, 10.0)


def test_legal_speed_obeys_limit_bend_and_braking():
    rules = SpeedRules()
    profile = SpeedProfile(ROUTE_0, rules)
    s = np.arange(0.0, ROUTE_0.length, 0.5)
    speed = np.array([profile.at(float(x)) for x in s])
    assert speed[0] == pytest.approx(rules.limit_mps)
    assert speed[-1] == pytest.approx(rules.limit_mps)
    assert speed.min() == pytest.approx(math.sqrt(rules.lateral_accel * 5.7), rel=0.05)
    assert 219.0 < s[speed.argmin()] < 226.0
    braking = -np.diff(speed**2) / (2 * np.diff(s))
    assert braking.max() <= rules.braking * 1.05


def test_speed_rules_must_be_positive():
    with pytest.raises(TaskError, match="braking"):
        SpeedRules(braking=0.0)


def test_lead_is_the_nearest_car_on_the_route():
    others = [Other(300.3, 129.49, vx=-2.0), Other(290.0, 129.49), Other(305.0, 133.49), Other(330.0, 129.49)]
    lead = lead_ahead(ROUTE_0, 0.0, 6.0, others)
    assert lead.gap_m == pytest.approx(317.74 - 300.3 - 4.8)
    assert lead.closing_mps == pytest.approx(4.0)
    assert lead.time_to_collision_s == pytest.approx(lead.gap_m / 4.0)


def test_lead_looks_round_the_bend():
    x, y, _ = ROUTE_0.point_at(235.0)
    lead = lead_ahead(ROUTE_0, 210.0, 5.0, [Other(x, y, vy=-3.0)])
    assert lead.gap_m == pytest.approx(25.0 - 4.8, abs=0.1)
    assert lead.closing_mps == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    "others",
    [[], [Other(305.0, 133.49)], [Other(323.0, 129.49)], [Other(200.0, 129.49)]],
    ids=["nobody", "oncoming lane", "behind", "far ahead"],
)
def test_a_free_road_has_no_lead(others):
    lead = lead_ahead(ROUTE_0, 0.0, 5.0, others)
    assert lead == Lead()
    assert lead.time_to_collision_s == math.inf


def test_a_car_below_a_bridge_is_no_lead():
    """And on a slope the height of the road there counts, not that of the ego."""
    climbing = Route([(0.0, 0.0, 0.0), (100.0, 0.0, 10.0)])
    assert lead_ahead(climbing, 50.0, 5.0, [Other(80.0, 0.0, z=8.0)]).gap_m == pytest.approx(30.0 - 4.8)
    assert lead_ahead(climbing, 50.0, 5.0, [Other(80.0, 0.0, z=3.0)]) == Lead()
    assert lead_ahead(climbing, 50.0, 5.0, [Other(80.0, 0.0, z=13.0)]) == Lead()


def test_the_slope_is_that_of_the_road():
    assert Route([(0.0, 0.0, 0.0), (100.0, 0.0, 10.0)]).pitch_at(50.0) == pytest.approx(math.degrees(math.atan(0.1)))
    assert Route([(0.0, 0.0, 9.0), (0.0, 90.0, 0.0)]).pitch_at(0.0) == pytest.approx(-math.degrees(math.atan(0.05)))
    assert ROUTE_0.pitch_at(225.0) == 0.0


def test_a_lead_that_pulls_away_is_never_reached():
    assert Lead(gap_m=5.0, closing_mps=-1.0).time_to_collision_s == math.inf


@pytest.mark.parametrize(("angle", "wrapped"), [(0, 0), (180, 180), (-180, 180), (190, -170), (-190, 170), (720, 0)])
def test_wrap_degrees(angle, wrapped):
    assert wrap_degrees(angle) == pytest.approx(wrapped)


def test_stretches_are_the_runs_of_true_at_either_end_too():
    flags = np.array([True, False, False, True, True, True, False, True])
    assert Route([(0.0, 0.0), (7.0, 0.0)]).stretches(flags) == [(0.0, 0.0), (3.0, 5.0), (7.0, 7.0)]
    assert Route([(0.0, 0.0), (7.0, 0.0)]).stretches(np.zeros(8, bool)) == []
