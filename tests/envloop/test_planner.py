import numpy as np
import pytest

from envloop.client.planning.errors import PlannerError
from envloop.client.planning.planner import Planner
from envloop.task.route import ROUTE_0
from envloop.task.scenario import route_ends

ROUTE = route_ends("town01-0")


def headings(points):
    dx, dy = np.diff(points[:, :2], axis=0).T
    return np.degrees(np.arctan2(dy, dx))


def test_route_0_lies_on_lane_centres_of_every_town01(town01_map):
    points = Planner(town01_map).plan(ROUTE.start, ROUTE.goal).points
    deviation = [abs(ROUTE_0.project(x, y).lateral) for x, y, _ in points]
    assert np.hypot(*np.diff(points[:, :2], axis=0).T).sum() == pytest.approx(ROUTE_0.length, abs=1.0)
    assert max(deviation) < 0.5
    straights = [d for d, (x, y, _) in zip(deviation, points, strict=True) if x > 105.0 or y < 115.0]
    assert max(straights) < 0.1


def test_points_are_a_metre_apart_and_never_turn_back(town01_map):
    points = Planner(town01_map).plan(ROUTE.start, ROUTE.goal).points
    step = np.hypot(*np.diff(points[:, :2], axis=0).T)
    turn = (np.diff(headings(points)) + 180.0) % 360.0 - 180.0
    assert points.shape[1] == 3
    assert step.min() > 0.05
    assert step.max() < 1.4
    assert np.abs(turn).max() < 20.0


def test_every_place_is_reached_from_every_other(town01_map):
    """Town01 is strongly connected; routes follow driving direction and end where they should."""
    places = [waypoint.transform.location for waypoint in town01_map.generate_waypoints(40.0)]
    rng, planner = np.random.default_rng(0), Planner(town01_map)
    for start, goal in (rng.choice(len(places), 2, replace=False) for _ in range(30)):
        a, b = places[start], places[goal]
        points = planner.plan((a.x, a.y), (b.x, b.y)).points
        assert np.hypot(points[0, 0] - a.x, points[0, 1] - a.y) < 0.5
        assert np.hypot(points[-1, 0] - b.x, points[-1, 1] - b.y) < 0.5
        assert np.hypot(*np.diff(points[:, :2], axis=0).T).max() < 1.6


def test_a_goal_behind_the_start_is_reached_round_the_block(town01_map):
    ahead = Planner(town01_map).plan((300.0, 129.49), (290.0, 129.49)).points
    behind = Planner(town01_map).plan((290.0, 129.49), (300.0, 129.49)).points
    assert len(ahead) == pytest.approx(11, abs=1)
    assert len(behind) > 200
    assert (behind[-1, 0], behind[-1, 1]) == pytest.approx((300.0, 129.49), abs=0.2)


def test_the_shorter_of_two_ways_is_taken(town01_map):
    start, goal = (120.0, 129.49), (92.34, 86.73)  # the other way round the block is ten times as long
    assert Planner(town01_map).plan(start, goal).length_m == pytest.approx(67.0, abs=3.0)


def test_a_point_off_the_road_is_named_with_the_nearest_lane(town01_map):
    with pytest.raises(PlannerError, match=r"goal \(317.74, 170.00\) is .* m from .* move it to \("):
        Planner(town01_map).plan(ROUTE.start, (317.74, 170.0))


def test_no_way_is_an_error(one_way_map):
    """A single one-way road: what lies behind is out of reach."""
    assert len(Planner(one_way_map).plan((10.0, 2.0), (90.0, 2.0)).points) > 70
    with pytest.raises(PlannerError, match=r"No way leads from start \(90.00, 2.00\) to goal \(10.00, 2.00\)"):
        Planner(one_way_map).plan((90.0, 2.0), (10.0, 2.0))


def test_drawn_ways_have_the_asked_lengths_and_are_the_shortest(town01_map):
    planner, rng = Planner(town01_map), np.random.default_rng(3)
    lengths = []
    for _ in range(60):
        drawn = planner.draw(rng, 100.0, 600.0)
        (start, goal), lengths = drawn.points[[0, -1], :2], [*lengths, drawn.length_m]
        assert not drawn.in_junction[[0, -1]].any()
        assert np.hypot(*np.diff(drawn.points[:, :2], axis=0).T).sum() == pytest.approx(drawn.length_m, abs=0.5)
        assert planner.plan(tuple(start), tuple(goal)).length_m == pytest.approx(drawn.length_m, abs=0.5)
    assert min(lengths) >= 100.0
    assert max(lengths) <= 600.0
    assert np.histogram(lengths, bins=4, range=(100.0, 600.0))[0].min() >= 6


def test_draws_begin_all_over_the_town_and_repeat_with_the_seed(town01_map):
    planner = Planner(town01_map)
    drawn = [planner.draw(np.random.default_rng(seed), 50.0, 200.0) for seed in range(150)]
    again = [Planner(town01_map).draw(np.random.default_rng(seed), 50.0, 200.0) for seed in range(10)]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(again, drawn, strict=False))
    starts = np.array([plan.points[0, :2] for plan in drawn])
    corners = [(starts[:, 0] > x) == east for x in (200.0,) for east in (True, False)]
    assert all((corner & ((starts[:, 1] > 160.0) == south)).sum() > 15 for corner in corners for south in (True, False))


def test_shared_metres_are_those_of_the_same_lane_in_the_same_direction(town01_map):
    planner = Planner(town01_map)
    plan = planner.plan((300.0, 129.49), (260.0, 129.49))
    assert plan.shared_m(plan) == pytest.approx(40.0, abs=0.1)
    assert plan.shared_m(planner.plan((280.0, 129.49), (200.0, 129.49))) == pytest.approx(20.0, abs=0.1)
    assert plan.shared_m(planner.plan((260.0, 133.46), (300.0, 133.46))) == 0.0  # the other direction


def test_a_turn_has_a_sign(town01_map):
    turns = [s for s in Planner(town01_map).plan(ROUTE.start, ROUTE.goal).stretches if abs(s.turn_deg) > 10.0]
    assert [round(turn.turn_deg, -1) for turn in turns] == [90.0]
    assert turns[0].in_junction


def test_a_map_without_such_ways_says_so(one_way_map):
    with pytest.raises(PlannerError, match="no way of 200 to 300 m"):
        Planner(one_way_map).draw(np.random.default_rng(0), 200.0, 300.0)
