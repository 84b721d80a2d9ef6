"""From names, coordinates and seeds to routes; random routes keep clear of the suites."""

import carla
import numpy as np
import pytest
from opendrive_maps import bridge, street
from settings_of_record import of_record

from envloop.client.route_choice import RouteSelector
from envloop.config import RandomRouteConfig
from envloop.errors import TaskError
from envloop.suites import load_suite
from minicarla.maps import load_town


@pytest.fixture(scope="module")
def town01():
    return load_town("Town01").carla_map


@pytest.fixture(scope="module")
def selector(town01):
    return RouteSelector(of_record(route="random"), town01)


def covered(suite_points, driven):
    """Share of a route's points that are passed within 1.2 m in the same direction: geometry, without lane numbers."""
    suite_points, driven = suite_points[::3], driven[::2]
    heading, of_driven = (np.diff(points[:, 0] + 1j * points[:, 1]) for points in (suite_points, driven))
    near = np.abs((suite_points[:-1, 0] + 1j * suite_points[:-1, 1])[:, None] - (driven[:-1, 0] + 1j * driven[:-1, 1]))
    index = near.argmin(axis=1)
    same_way = (heading * of_driven[index].conj()).real > 0.0
    return float(((near.min(axis=1) < 1.2) & same_way).mean())


def test_no_training_route_is_a_suites_route(selector):
    """At most half of any suite route is driven in one training episode."""
    suite = [selector.of(name, 0).route.points for name in load_suite("town01-nav").towns[0].route_names()]
    shares = []
    for seed in range(40):
        driven = selector.of("random", seed).route.points
        shares.append(max(covered(points, driven) for points in suite))
    assert max(shares) < 0.56  # points instead of metres, and lanes that part within a junction
    assert max(shares) > 0.4  # and the rule is what keeps them there


def test_training_routes_go_everywhere(selector):
    plans = [selector.draw(np.random.default_rng(seed)) for seed in range(300)]
    driven = {stretch.lane for plan in plans for stretch in plan.stretches}
    lanes = set(selector._planner.network.lanes)
    assert len(driven) >= 0.95 * len(lanes)
    turns = [round(stretch.turn_deg, -1) for plan in plans for stretch in plan.stretches if stretch.in_junction]
    assert min(turns.count(90.0), turns.count(-90.0)) > 75


def test_a_random_course_is_a_function_of_the_seed(selector, town01):
    other = RouteSelector(of_record(route="random"), town01)
    for seed in (0, 7, 2**31 - 1):
        assert np.array_equal(selector.of("random", seed).route.points, other.of("random", seed).route.points)
    assert selector.of("random", 0).name != selector.of("random", 1).name


def test_a_fixed_course_is_planned_once(selector):
    assert selector.of("town01-0", 1) is selector.of("town01-0", 2)


def test_markings_end_at_junctions(selector, town01):
    for name in ("town01-0", "town01-nav/22"):
        route_task = selector.of(name, 0)
        waypoints = [town01.get_waypoint(carla.Location(*point)) for point in route_task.route.points]
        agree = np.array([not waypoint.is_junction for waypoint in waypoints]) == np.array(route_task.lane.marked)
        assert agree.mean() > 0.97  # the boundary itself is met to a metre
        assert not all(route_task.lane.marked)
        widths = [waypoint.lane_width / 2.0 for waypoint in waypoints]
        assert route_task.lane.half_width_m == pytest.approx(widths, abs=0.01)


@pytest.mark.parametrize(("scenario", "limit_s"), [("empty", 50.0), ("0", 210.3), ("2", 210.3)])
def test_the_time_limit_of_route_0_is_nocrashs_in_traffic(town01, scenario, limit_s):
    assert RouteSelector(of_record(scenario=scenario), town01).of("town01-0", 0).limit_s == pytest.approx(
        limit_s, abs=1.0
    )


def test_the_name_of_a_random_route_brings_it_back_whatever_its_height():
    """Roads cross above each other, so a place without its height may be on either."""
    selector = RouteSelector(of_record(route="random"), carla.Map("Bridge", bridge(6.0)))
    levels = set()
    for seed in range(12):
        drawn = selector.of("random", seed)
        again = selector.of(drawn.name, 0)
        assert np.abs(again.route.points - drawn.route.points).max() < 0.02
        levels.add(drawn.name.count(","))
    assert max(levels) == 4
    assert min(levels) == 2


@pytest.mark.parametrize(
    ("length_m", "remedy"), [(80.0, r"--config\.env\.random_route\.min_m=80"), (15.0, "larger map")]
)
def test_a_map_without_long_routes_names_the_remedy(length_m, remedy):
    with pytest.raises(TaskError, match=rf"no way of 100 to 600 m; its longest is {length_m:.0f} m\. .*{remedy}"):
        RouteSelector(of_record(route="random"), carla.Map("Short", street(length_m))).of("random", 0)


def test_lengths_that_the_suites_leave_no_room_for_are_refused(town01):
    config = of_record(route="random", random_route=RandomRouteConfig(5000.0, 6000.0))
    with pytest.raises(TaskError, match="no way of 5000 to 6000 m"):
        RouteSelector(config, town01).of("random", 0)
