"""The project's own Town01, as `carla.Map` sees it."""

import math

import carla
import networkx as nx
import pytest

from minicarla.maps import Town, load_town
from minicarla.maps.town01 import JUNCTIONS, ROADS, SPEED_SIGNS, network

CARLA_JUNCTION_CENTRES = {  # CARLA frame, m
    26: (336.93, 2.24),
    54: (156.52, 2.34),
    87: (90.63, 326.09),
    110: (91.04, 2.45),
    143: (336.72, 326.18),
    171: (92.73, 57.15),
    194: (334.38, 197.40),
    222: (334.17, 57.72),
    255: (92.76, 197.33),
    278: (334.38, 132.12),
    306: (92.76, 130.84),
    332: (156.08, 54.99),
}


def lane_key(waypoint: carla.Waypoint) -> tuple[int, int]:
    return waypoint.road_id, waypoint.lane_id


def lane_graph(carla_map: carla.Map) -> nx.DiGraph:
    return nx.DiGraph((lane_key(begin), lane_key(end)) for begin, end in carla_map.get_topology())


def test_it_has_26_roads_12_junctions_and_36_lights(town01: Town) -> None:
    assert len(ROADS) == 26
    assert {plan.id for plan in JUNCTIONS} == set(CARLA_JUNCTION_CENTRES)
    assert len(town01.lights) == 36
    assert len({light.sign_id for light in town01.lights}) == 36


def test_the_text_is_the_same_every_time(town01: Town) -> None:
    again = load_town("Town01")
    assert again.xodr == town01.xodr
    assert again == town01


def test_every_lane_can_be_reached_from_every_other(town01: Town) -> None:
    graph = lane_graph(town01.carla_map)
    assert nx.is_strongly_connected(graph)
    assert graph.number_of_nodes() == 2 * 26 + 6 * 12


def test_every_junction_joins_each_arm_to_the_two_others(town01: Town) -> None:
    graph = lane_graph(town01.carla_map)
    connecting = {road.id: road for road in network().roads if road.junction != -1}
    for junction in network().junctions:
        movements = {
            (before, after)
            for connection in junction.connections
            for lane in graph.nodes
            if lane[0] == connection.connecting
            for before in graph.predecessors(lane)
            for after in graph.successors(lane)
        }
        assert len(movements) == 6
        assert all(before[0] != after[0] for before, after in movements), "no U-turn within a junction"
        assert all(connecting[connection.connecting].junction == junction.id for connection in junction.connections)


def test_junctions_lie_where_carlas_do(town01: Town) -> None:
    for junction_id, (x, y) in CARLA_JUNCTION_CENTRES.items():
        waypoint = town01.carla_map.get_waypoint(carla.Location(x, y, 0.0))
        assert waypoint.is_junction
        assert waypoint.junction_id == junction_id
        box = waypoint.get_junction().bounding_box
        assert math.hypot(box.location.x - x, box.location.y - y) < 0.5


def test_lane_ends_meet_without_a_step(town01: Town) -> None:
    """From the last millimetre of each lane to the first of the next: under 10 mm, and 0.2 degrees."""
    lengths = {road.id: road.length for road in network().roads}
    for begin, end in town01.carla_map.get_topology():
        s = lengths[begin.road_id] - 1e-3 if begin.lane_id < 0 else 1e-3
        tail = town01.carla_map.get_waypoint_xodr(begin.road_id, begin.lane_id, s).transform
        head = end.transform
        assert tail.location.distance(head.location) < 0.01
        turn = (tail.rotation.yaw - head.rotation.yaw + 180.0) % 360.0 - 180.0
        assert abs(turn) < 0.2


def test_every_lane_is_as_wide_as_it_should_be(town01: Town) -> None:
    for waypoint in town01.carla_map.generate_waypoints(5.0):
        assert waypoint.lane_width == pytest.approx(4.0)
        if not waypoint.is_junction:
            shoulder = waypoint.get_right_lane()
            sidewalk = shoulder.get_right_lane()
            assert (shoulder.lane_type, sidewalk.lane_type) == (carla.LaneType.Shoulder, carla.LaneType.Sidewalk)
            assert (shoulder.lane_width, sidewalk.lane_width) == pytest.approx((0.3, 4.0))


def test_traffic_keeps_to_the_right(town01: Town) -> None:
    for waypoint in town01.carla_map.generate_waypoints(20.0):
        if not waypoint.is_junction:
            right = waypoint.transform.get_right_vector()
            oncoming = waypoint.get_left_lane()
            offset = oncoming.transform.location - waypoint.transform.location
            assert offset.dot(right) == pytest.approx(-4.0, abs=0.01)
            assert oncoming.transform.get_forward_vector().dot(waypoint.transform.get_forward_vector()) < -0.99


def test_the_centre_line_is_broken_and_the_outer_line_solid(town01: Town) -> None:
    for waypoint in town01.carla_map.generate_waypoints(20.0):
        if not waypoint.is_junction:
            assert waypoint.left_lane_marking.type == carla.LaneMarkingType.Broken
            assert waypoint.right_lane_marking.type == carla.LaneMarkingType.Solid
            assert waypoint.lane_change == carla.LaneChange.NONE


def northwardness(waypoint: carla.Waypoint) -> float:
    ahead = waypoint.next(15.0)[0] if waypoint.is_junction else waypoint
    return -math.sin(math.radians(ahead.transform.rotation.yaw))


def test_route_0_lies_on_the_lane_and_can_be_driven(town01: Town) -> None:
    """The route of record: west along y = 129.49, a right turn, north along x = 92.34; 264.4 m."""
    for x in range(103, 318):
        west = town01.carla_map.get_waypoint(carla.Location(float(x), 129.49, 0.0))
        assert abs(west.transform.location.y - 129.49) < 0.1
        assert math.cos(math.radians(west.transform.rotation.yaw - 180.0)) > 0.9999
    for y in range(87, 120):
        north = town01.carla_map.get_waypoint(carla.Location(92.34, float(y), 0.0))
        assert abs(north.transform.location.x - 92.34) < 0.1
        assert math.cos(math.radians(north.transform.rotation.yaw + 90.0)) > 0.9999
    waypoint = town01.carla_map.get_waypoint(carla.Location(317.74, 129.49, 0.0))
    driven = 0.0
    while waypoint.transform.location.y > 86.73:
        before = waypoint.transform.location
        waypoint = max(waypoint.next(0.2), key=northwardness)
        driven += waypoint.transform.location.distance(before)
        assert driven < 300.0
    assert driven == pytest.approx(264.4, abs=1.5)


def test_speed_limits_are_landmarks_in_kmh(town01: Town) -> None:
    signs = town01.carla_map.get_all_landmarks_of_type("274")
    assert len({sign.id for sign in signs}) == len(SPEED_SIGNS)
    assert {sign.value for sign in signs} == {30.0, 60.0, 90.0}
    assert {sign.unit for sign in signs} == {"km/h"}
    for sign in signs:
        lane = town01.carla_map.get_waypoint(sign.transform.location)
        offset = sign.transform.location - lane.transform.location
        assert offset.dot(lane.transform.get_right_vector()) == pytest.approx(2.7, abs=0.1), "right of its own lane"
        ahead = lane.previous(4.0)[0].get_landmarks_of_type(6.0, "274")
        assert (sign.id, sign.value) in [(landmark.id, landmark.value) for landmark in ahead]


def test_kerbs_of_the_junctions_are_closed(town01: Town) -> None:
    """Round each junction the sidewalk goes on: every sidewalk that ends there is joined to one that begins there."""
    through = {road.id for road in network().roads if road.junction == -1}
    for junction in network().junctions:
        kerbs = [link for connection in junction.connections for link in connection.lane_links if abs(link[0]) == 3]
        assert len(kerbs) == 3
        assert all(connection.incoming in through for connection in junction.connections)
