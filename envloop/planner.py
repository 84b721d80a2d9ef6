"""Global planner: from a start and a goal on a map to the lane-centre points in between.

The graph has one node per lane segment (road, section, lane) and one edge per lane-to-lane connection of
`carla.Map.get_topology()`; routes keep their lane, so they go on to a neighbouring lane only where a road leads there.
"""

import itertools

import carla
import networkx as nx
import numpy as np

LaneKey = tuple[int, int, int]  # road, section, lane

_LOWEST_STEP_M = 1e-3


class PlannerError(ValueError):
    """No route leads from the start to the goal."""


def plan_route(
    carla_map: carla.Map,
    start: tuple[float, float],
    goal: tuple[float, float],
    *,
    spacing_m: float = 1.0,
    tolerance_m: float = 2.0,
) -> np.ndarray:
    """Shortest way along driving lanes, in driving direction.

    Args:
      carla_map: any map of the `carla` wheel; no server is needed.
      start, goal: (x, y) in metres, CARLA frame; each is moved to the nearest lane centre.
      spacing_m: distance between points within a lane.
      tolerance_m: how far from a lane centre the start and the goal may lie.

    Returns:
      [N, 3] float64 lane-centre points (x, y, z) in metres, from the start's projection to the goal's.

    Raises:
      PlannerError: a point is on no driving lane, or no way leads to the goal.
    """
    first = _lane_waypoint(carla_map, start, "start", tolerance_m)
    last = _lane_waypoint(carla_map, goal, "goal", tolerance_m)
    lanes = _lane_sequence(lane_graph(carla_map), first, last)
    if lanes is None:
        raise PlannerError(
            f"No way leads from start {_text(start)} to goal {_text(goal)} without a lane change or a turn "
            f"against traffic; choose a goal that lies ahead of the start on {carla_map.name}."
        )
    waypoints = _waypoints_along(lanes, first, last, spacing_m)
    points = np.array([_xyz(waypoint) for waypoint in waypoints], dtype=np.float64)
    return _without_repeats(points)


def lane_graph(carla_map: carla.Map) -> nx.DiGraph:
    """Lane segments as nodes (attribute `entry`: first waypoint, `length` in metres), connections as edges."""
    graph = nx.DiGraph()
    for entry, successor in carla_map.get_topology():
        for waypoint in (entry, successor):
            if _key(waypoint) not in graph:
                graph.add_node(_key(waypoint), entry=waypoint, length=_length(waypoint))
        # Dijkstra sums edge weights, so an edge costs the lane that it leaves.
        graph.add_edge(_key(entry), _key(successor), weight=graph.nodes[_key(entry)]["length"])
    return graph


def _lane_sequence(graph: nx.DiGraph, first: carla.Waypoint, last: carla.Waypoint) -> list[carla.Waypoint] | None:
    """Where the route begins in each lane that it passes, or None where there is no way."""
    start_key, goal_key = _key(first), _key(last)
    if start_key == goal_key and _travelled(last) >= _travelled(first):
        return [first]
    if start_key not in graph or goal_key not in graph:  # a dead end joins nothing
        return None
    ways = []
    for successor in graph.successors(start_key):
        try:
            cost, way = nx.single_source_dijkstra(graph, successor, goal_key)
        except nx.NetworkXNoPath:
            continue
        ways.append((cost, way))
    if not ways:
        return None
    _, way = min(ways)
    return [first, *(graph.nodes[key]["entry"] for key in way)]


def _waypoints_along(
    lanes: list[carla.Waypoint], first: carla.Waypoint, last: carla.Waypoint, spacing_m: float
) -> list[carla.Waypoint]:
    """Waypoints through whole lanes, and through the last one as far as the goal."""
    waypoints = []
    for begin in lanes[:-1]:
        waypoints += [begin, *begin.next_until_lane_end(spacing_m)]
    begin = lanes[-1]
    ahead = [begin, *begin.next_until_lane_end(spacing_m)]
    waypoints += itertools.takewhile(lambda waypoint: _travelled(waypoint) < _travelled(last), ahead)
    return [*waypoints, last]


def _lane_waypoint(carla_map: carla.Map, point: tuple[float, float], role: str, tolerance_m: float) -> carla.Waypoint:
    x, y = point
    waypoint = carla_map.get_waypoint(carla.Location(x=float(x), y=float(y), z=0.0))
    if waypoint is None:
        raise PlannerError(f"The map {carla_map.name} has no driving lane; load another one.")
    nearest = waypoint.transform.location
    distance = float(np.hypot(nearest.x - x, nearest.y - y))
    if distance > tolerance_m:
        raise PlannerError(
            f"The {role} {_text(point)} is {distance:.1f} m from the nearest driving lane of {carla_map.name}; "
            f"move it to ({nearest.x:.2f}, {nearest.y:.2f})."
        )
    return waypoint


def _travelled(waypoint: carla.Waypoint) -> float:
    """Monotonic position within a lane: left lanes (id > 0) are driven against the reference line's s."""
    return -waypoint.s if waypoint.lane_id > 0 else waypoint.s


def _length(entry: carla.Waypoint) -> float:
    rest = entry.next_until_lane_end(1.0)
    return abs(rest[-1].s - entry.s) if rest else _LOWEST_STEP_M


def _without_repeats(points: np.ndarray) -> np.ndarray:
    """Drops a lane's first point where it repeats the end of the lane before."""
    step = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1)
    keep = np.concatenate([[True], step > 0.05])
    keep[-1] = True  # the goal itself stays
    if len(points) > 2 and step[-1] <= 0.05:
        keep[-2] = False
    return points[keep]


def _key(waypoint: carla.Waypoint) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _xyz(waypoint: carla.Waypoint) -> tuple[float, float, float]:
    location = waypoint.transform.location
    return location.x, location.y, location.z


def _text(point: tuple[float, float]) -> str:
    return f"({point[0]:.2f}, {point[1]:.2f})"
