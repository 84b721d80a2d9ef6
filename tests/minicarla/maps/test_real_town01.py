"""Against CARLA's own Town01.xodr, which the project does not ship: set AVTD3_XODR_DIR to the folder that holds it."""

import os
from collections import defaultdict
from pathlib import Path

import carla
import cv2
import numpy as np
import pytest

from minicarla.maps import Town, load_xodr

FOLDER = os.environ.get("AVTD3_XODR_DIR")
pytestmark = pytest.mark.skipif(not FOLDER, reason="AVTD3_XODR_DIR is unset: it names the folder with Town01.xodr")

LaneKey = tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


@pytest.fixture(scope="module")
def real() -> Town:
    return load_xodr(Path(FOLDER or "") / "Town01.xodr")


def lane_names(carla_map: carla.Map) -> dict[tuple[int, int], LaneKey]:
    """(road, lane) -> a name that both maps share: itself outside junctions, (from, to) inside."""
    coming: dict[tuple[int, int], tuple[int, int]] = {}
    going: dict[tuple[int, int], tuple[int, int]] = {}
    names: dict[tuple[int, int], LaneKey] = {}
    for begin, end in carla_map.get_topology():
        first, second = (begin.road_id, begin.lane_id), (end.road_id, end.lane_id)
        if end.is_junction:
            coming[second] = first
        if begin.is_junction:
            going[first] = second
    for begin, _ in carla_map.get_topology():
        key = (begin.road_id, begin.lane_id)
        names[key] = (coming[key], going[key]) if begin.is_junction else key
    return names


def sampled_lanes(carla_map: carla.Map, step: float) -> dict[LaneKey, np.ndarray]:
    """[N, 4] per lane: x, y, yaw, width."""
    names = lane_names(carla_map)
    lanes = defaultdict(list)
    for waypoint in carla_map.generate_waypoints(step):
        transform = waypoint.transform
        lanes[names[waypoint.road_id, waypoint.lane_id]].append(
            (transform.location.x, transform.location.y, transform.rotation.yaw, waypoint.lane_width)
        )
    return {name: np.array(rows) for name, rows in lanes.items()}


def test_lane_centres_directions_and_widths_agree(town01: Town, real: Town) -> None:
    ours, theirs = sampled_lanes(town01.carla_map, 0.1), sampled_lanes(real.carla_map, 2.0)
    assert ours.keys() == theirs.keys()
    for name, rows in theirs.items():
        inside = isinstance(name[0], tuple)
        distance = np.hypot(rows[:, None, 0] - ours[name][None, :, 0], rows[:, None, 1] - ours[name][None, :, 1])
        nearest = distance.argmin(axis=1)
        turn = (rows[:, 2] - ours[name][nearest, 2] + 180.0) % 360.0 - 180.0
        assert distance.min(axis=1).max() < (0.5 if inside else 0.1), f"lane {name} is off"
        assert np.abs(turn).max() < (12.0 if inside else 1.5), f"lane {name} points elsewhere"
        assert np.abs(rows[:, 3] - ours[name][nearest, 3]).max() < 0.01, f"lane {name} has another width"


def test_the_same_lanes_are_joined(town01: Town, real: Town) -> None:
    def pairs(carla_map: carla.Map) -> set[tuple[LaneKey, LaneKey]]:
        names = lane_names(carla_map)
        return {
            (names[begin.road_id, begin.lane_id], names[end.road_id, end.lane_id])
            for begin, end in carla_map.get_topology()
        }

    assert pairs(town01.carla_map) == pairs(real.carla_map)


def test_shoulders_and_sidewalks_are_as_wide(town01: Town, real: Town) -> None:
    for road in range(26):
        for lane in (-3, -2, 2, 3):
            widths = [town.carla_map.get_waypoint_xodr(road, lane, 8.0).lane_width for town in (town01, real)]
            assert widths[0] == pytest.approx(widths[1], abs=0.01)


def test_route_0_is_on_the_lane_of_both(town01: Town, real: Town) -> None:
    for x, y in [(float(x), 129.49) for x in range(103, 318)] + [(92.34, float(y)) for y in range(87, 120)]:
        for town in (town01, real):
            lane = town.carla_map.get_waypoint(carla.Location(x, y, 0.0)).transform.location
            assert np.hypot(lane.x - x, lane.y - y) < 0.1


def test_lights_hold_the_same_lanes(town01: Town, real: Town) -> None:
    def zones(town: Town) -> np.ndarray:
        """[36, 4], sorted: junction, stop box and its direction."""
        rows = [(light.junction_id, box.x, box.y, box.yaw % 360.0) for light in town.lights for box in light.stop_boxes]
        return np.array(sorted(rows, key=lambda row: (row[0], round(row[1]), round(row[2]))))

    assert len(real.lights) == len(town01.lights) == 36
    assert zones(town01) == pytest.approx(zones(real), abs=0.3)
    for town in (town01, real):
        groups = defaultdict(set)
        for light in town.lights:
            groups[light.junction_id].add(light.group)
        assert set(map(frozenset, groups.values())) == {frozenset({0, 1, 2})}


def test_a_light_looks_where_carlas_does(town01: Town, real: Town) -> None:
    for light in town01.lights:
        twin = min(
            (other for other in real.lights if other.junction_id == light.junction_id),
            key=lambda other: np.hypot(
                other.stop_boxes[0].x - light.stop_boxes[0].x, other.stop_boxes[0].y - light.stop_boxes[0].y
            ),
        )
        assert np.cos(np.radians(light.pose.yaw - twin.pose.yaw)) > 0.999


def test_a_foreign_map_gets_scenery_too(real: Town) -> None:
    assert len(real.spawn_points) > 150
    assert len(real.buildings) > 100


def test_a_large_truck_fits_on_every_spawn_point_beside_all_others(real: Town) -> None:
    """The Cybertruck's bounding box; OpenCV cuts the rectangles, and the map has bends where two directions meet."""
    size = (6.27, 2.39)
    boxes = [((pose.x, pose.y), size, pose.yaw) for pose in real.spawn_points]
    for number, box in enumerate(boxes):
        for other in boxes[:number]:
            if np.hypot(box[0][0] - other[0][0], box[0][1] - other[0][1]) < 8.0:
                assert cv2.rotatedRectangleIntersection(box, other)[0] == cv2.INTERSECT_NONE, (box, other)
