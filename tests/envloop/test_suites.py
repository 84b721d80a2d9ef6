"""The suites' routes, judged by the maps they lie on."""

import math
from collections import Counter

import carla
import numpy as np
import pytest

from envloop.client.planning.planner import Planner
from envloop.errors import TaskError
from envloop.suites import FOLDER, kind_of, load_suite, suite_names, suite_route
from envloop.suites.__main__ import draw, write
from envloop.suites.make import make_suite
from minicarla.maps import load_town


@pytest.fixture(scope="module", params=[part for name in suite_names() for part in load_suite(name).towns], ids=str)
def suite(request):
    """The routes of a suite in one town."""
    return request.param


@pytest.fixture(scope="module")
def town_map(suite):
    return load_town(suite.town).carla_map


@pytest.fixture(scope="module")
def plans(suite, town_map):
    planner = Planner(town_map)
    return [planner.plan(route.start, route.goal) for route in suite.routes]


def test_there_are_a_suite_for_the_town_and_two_for_others():
    towns = {name: [part.town for part in load_suite(name).towns] for name in suite_names()}
    assert towns == {"town01-nav": ["Town01"], "grid-nav": ["Grid01"], "rings-nav": ["Rings01", "Rings02", "Rings03"]}
    with pytest.raises(TaskError, match="choose one of grid-nav, rings-nav, town01-nav"):
        load_suite("town02-nav")


def test_routes_are_numbered_through_all_towns_of_a_suite():
    suite = load_suite("rings-nav")
    names = [name for part in suite.towns for name in part.route_names()]
    assert names == [f"rings-nav/{i}" for i in range(24)]
    assert [suite_route(name)[1] for name in names] == list(suite.routes)
    assert [suite_route(f"rings-nav/{i}")[0] for i in (0, 7, 8, 23)] == ["Rings01", "Rings01", "Rings02", "Rings03"]


def test_ends_lie_on_lanes_and_outside_of_junctions(suite, town_map):
    for route in suite.routes:
        for x, y in (route.start, route.goal):
            waypoint = town_map.get_waypoint(carla.Location(x=x, y=y))
            nearest = waypoint.transform.location
            assert math.hypot(nearest.x - x, nearest.y - y) < 0.25
            assert not waypoint.is_junction


def test_lengths_and_kinds_are_those_of_the_points(suite, plans):
    """The turns are counted here from the points' headings alone."""
    for route, plan in zip(suite.routes, plans, strict=True):
        steps = np.diff(plan.points[:, :2], axis=0)
        assert np.hypot(*steps.T).sum() == pytest.approx(route.length_m, abs=1.0)
        headings = np.degrees(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
        change = headings[25:] - headings[:-25]  # within 25 m
        turns = [sign * 90 for sign in turning_points(change)]
        assert kind_of(turns) == route.kind


def turning_points(change):
    """Signs of the stretches in which the heading changes by more than 60 degrees."""
    sign = np.where(np.abs(change) > 60.0, np.sign(change), 0.0)
    return [
        after
        for before, after in zip(np.concatenate([[0.0], sign[:-1]]), sign, strict=True)
        if after and after != before
    ]


def test_they_are_spread(suite):
    lengths = [route.length_m for route in suite.routes]
    kinds = Counter(route.kind for route in suite.routes)
    if suite.suite == "rings-nav":
        assert kinds == {"left": 1, "right": 1, "several": 6}
    else:
        assert kinds == {"straight": 4, "left": 6, "right": 6, "several": 9}
    assert 150.0 <= min(lengths) < 175.0
    assert {"Town01": 950.0, "Grid01": 750.0}.get(suite.town, 550.0) < max(lengths) <= 1000.0


def test_no_two_are_nearly_the_same(plans):
    for i, plan in enumerate(plans):
        for other in plans[:i]:
            assert plan.shared_m(other) <= 0.76 * min(plan.length_m, other.length_m)


@pytest.mark.parametrize("name", suite_names())
def test_the_files_are_what_the_command_writes(name, tmp_path, monkeypatch):
    monkeypatch.setattr("envloop.suites.__main__.FOLDER", tmp_path)
    made = write(make_suite(name, lambda town: load_town(town).carla_map))
    assert made.read_text() == (FOLDER / made.name).read_text()


def test_a_picture_shows_the_routes(tmp_path):
    import cv2

    draw(load_suite("grid-nav"), tmp_path / "routes.png")
    picture = cv2.imread(str(tmp_path / "routes.png"))
    assert min(picture.shape[:2]) > 500
    blue = (picture[..., 0] > 200) & (picture[..., 2] < 120)
    assert 0.002 < blue.mean() < 0.1
