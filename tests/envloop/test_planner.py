import numpy as np
import pytest

from envloop.planner import PlannerError, lane_graph, plan_route
from envloop.route import ROUTE_0
from envloop.scenario import route_ends

ROUTE = route_ends("town01-0")


def headings(points):
    dx, dy = np.diff(points[:, :2], axis=0).T
    return np.degrees(np.arctan2(dy, dx))


def test_route_0_lies_on_lane_centres_of_every_town01(town01_map):
    points = plan_route(town01_map, ROUTE.start, ROUTE.goal)
    deviation = [abs(ROUTE_0.project(x, y).lateral) for x, y, _ in points]
    assert np.hypot(*np.diff(points[:, :2], axis=0).T).sum() == pytest.approx(ROUTE_0.length, abs=1.0)
    assert max(deviation) < 0.5
    straights = [d for d, (x, y, _) in zip(deviation, points, strict=True) if x > 105.0 or y < 115.0]
    assert max(straights) < 0.1


def test_points_are_a_metre_apart_and_never_turn_back(town01_map):
    points = plan_route(town01_map, ROUTE.start, ROUTE.goal)
    step = np.hypot(*np.diff(points[:, :2], axis=0).T)
    turn = (np.diff(headings(points)) + 180.0) % 360.0 - 180.0
    assert points.shape[1] == 3
    assert step.min() > 0.05
    assert step.max() < 1.4
    assert np.abs(turn).max() < 20.0


def test_every_place_is_reached_from_every_other(town01_map):
    """Town01 is strongly connected; routes follow driving direction and end where they should."""
    places = [waypoint.transform.location for waypoint in town01_map.generate_waypoints(40.0)]
    rng = np.random.default_rng(0)
    for start, goal in (rng.choice(len(places), 2, replace=False) for _ in range(30)):
        a, b = places[start], places[goal]
        points = plan_route(town01_map, (a.x, a.y), (b.x, b.y))
        assert np.hypot(points[0, 0] - a.x, points[0, 1] - a.y) < 0.5
        assert np.hypot(points[-1, 0] - b.x, points[-1, 1] - b.y) < 0.5
        assert np.hypot(*np.diff(points[:, :2], axis=0).T).max() < 1.6


def test_a_goal_behind_the_start_is_reached_round_the_block(town01_map):
    ahead = plan_route(town01_map, (300.0, 129.49), (290.0, 129.49))
    behind = plan_route(town01_map, (290.0, 129.49), (300.0, 129.49))
    assert len(ahead) == pytest.approx(11, abs=1)
    assert len(behind) > 200
    assert (behind[-1, 0], behind[-1, 1]) == pytest.approx((300.0, 129.49), abs=0.2)


def test_the_shorter_of_two_ways_is_taken(town01_map):
    points = plan_route(town01_map, ROUTE.start, ROUTE.goal)
    graph = lane_graph(town01_map)
    assert len(points) < 0.2 * sum(length for _, length in graph.nodes(data="length"))


def test_a_point_off_the_road_is_named_with_the_nearest_lane(town01_map):
    with pytest.raises(PlannerError, match=r"goal \(317.74, 170.00\) is .* m from .* move it to \("):
        plan_route(town01_map, ROUTE.start, (317.74, 170.0))


def test_no_way_is_an_error(one_way_map):
    """A single one-way road: what lies behind is out of reach."""
    assert len(plan_route(one_way_map, (10.0, 2.0), (90.0, 2.0))) > 70
    with pytest.raises(PlannerError, match=r"No way leads from start \(90.00, 2.00\) to goal \(10.00, 2.00\)"):
        plan_route(one_way_map, (90.0, 2.0), (10.0, 2.0))
