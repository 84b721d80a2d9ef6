"""Towns drawn from a seed: whatever the seed, they can be driven."""

import math
from collections import Counter

import carla
import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicarla.maps import Town, load_town
from minicarla.maps.grid import network
from minicarla.maps.opendrive import to_xml
from minicarla.maps.roundabout import RADIUS


@pytest.fixture(scope="module", params=["Grid01", "Grid02", "Grid03", "Rings01", "Rings02", "Rings03"])
def town(request: pytest.FixtureRequest) -> Town:
    return load_town(request.param)


def turn_deg(first: carla.Waypoint, second: carla.Waypoint) -> float:
    return (second.transform.rotation.yaw - first.transform.rotation.yaw + 180.0) % 360.0 - 180.0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(seed=st.integers(0, 10**6), roundabouts=st.sampled_from([0.0, 0.4, 1.0]))
def test_any_seed_gives_a_town_where_all_lanes_meet(seed: int, roundabouts: float) -> None:
    xodr = to_xml(network("Grid", seed, roundabouts))
    assert to_xml(network("Grid", seed, roundabouts)) == xodr
    carla_map = carla.Map("Grid", xodr)
    topology = carla_map.get_topology()
    assert nx.is_strongly_connected(nx.DiGraph(((a.road_id, a.lane_id), (b.road_id, b.lane_id)) for a, b in topology))
    lengths = {road.id: road.length for road in network("Grid", seed, roundabouts).roads}
    for begin, end in topology:
        s = lengths[begin.road_id] - 1e-3 if begin.lane_id < 0 else 1e-3
        tail = carla_map.get_waypoint_xodr(begin.road_id, begin.lane_id, s)
        assert tail.transform.location.distance(end.transform.location) < 0.01
        assert abs(turn_deg(tail, end)) < 0.1


def test_the_towns_differ(town: Town) -> None:
    assert town.xodr != load_town("Town01").xodr
    assert len({load_town(name).xodr for name in ("Grid01", "Grid02", "Grid03")}) == 3


def test_it_has_bends_outside_junctions(town: Town) -> None:
    bends = [
        abs(turn_deg(waypoint, waypoint.next(4.0)[0]))
        for waypoint in town.carla_map.generate_waypoints(4.0)
        if not waypoint.is_junction and not waypoint.next(4.0)[0].is_junction
    ]
    assert sum(turn > 2.0 for turn in bends) > 20


def test_it_has_room_lights_and_houses(town: Town) -> None:
    assert len(town.spawn_points) > 120
    assert len(town.buildings) > 60
    arms = Counter(light.junction_id for light in town.lights)
    assert set(arms.values()) == {3, 4}, "T-junctions at the edge, four-way crossings inside"
    turns = Counter((light.junction_id, light.group) for light in town.lights)
    assert set(turns.values()) == {1}


def test_no_house_stands_on_a_lane(town: Town) -> None:
    for waypoint in town.carla_map.generate_waypoints(1.0):
        right = waypoint.transform.get_right_vector()
        for reach in (-2.0, 0.0, 2.0):
            x, y = (waypoint.transform.location.x + reach * right.x, waypoint.transform.location.y + reach * right.y)
            for box in (building.box for building in town.buildings):
                if math.hypot(box.x - x, box.y - y) < math.hypot(box.ex, box.ey):
                    yaw = math.radians(box.yaw)
                    along = (x - box.x) * math.cos(yaw) + (y - box.y) * math.sin(yaw)
                    across = (y - box.y) * math.cos(yaw) - (x - box.x) * math.sin(yaw)
                    assert abs(along) > box.ex or abs(across) > box.ey


def test_a_roundabout_is_driven_counter_clockwise_and_has_no_lights() -> None:
    carla_map = load_town("Rings01").carla_map
    rings = [road.id for road in network("Rings01", 13, 0.4).roads if road.junction == -1 and len(road.lanes) == 3]
    assert len(rings) >= 9, "three of them at least"
    for road in rings:
        waypoint = carla_map.get_waypoint_xodr(road, -1, 0.5)
        assert carla_map.get_waypoint_xodr(road, 1, 0.5) is None
        turned = 0.0
        for _ in range(80):  # metres of the ring's inner edge, along which the client counts
            following = min(waypoint.next(1.0), key=lambda after: turn_deg(waypoint, after))
            turned += turn_deg(waypoint, following)
            waypoint = following
        assert turned == pytest.approx(-math.degrees(80.0 / RADIUS), rel=0.05), "to the left"
    lit = {light.junction_id for light in load_town("Rings01").lights}
    entered = {
        waypoint.next(3.0)[0].junction_id for waypoint in (carla_map.get_waypoint_xodr(r, -1, 0.5) for r in rings)
    }
    assert not lit & entered
