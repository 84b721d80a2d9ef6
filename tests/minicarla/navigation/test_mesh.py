"""The navigation mesh: what it covers, that it hangs together, and that a changed one gets a new name."""

from pathlib import Path
from xml.etree import ElementTree as ET

import carla
import networkx as nx
import numpy as np
import pytest

from minicarla.maps import available_towns, load_town, load_xodr
from minicarla.navigation.crossings import crosswalks
from minicarla.navigation.files import NavigationFiles, build_mesh, navigation_file_name
from minicarla.navigation.pavements import Area
from minicarla.navigation.polygons import PolygonMesh

TOWNS = available_towns()


@pytest.fixture(scope="module", params=TOWNS)
def mesh(request: pytest.FixtureRequest) -> PolygonMesh:
    return build_mesh(load_town(request.param))


def rings(mesh: PolygonMesh) -> list[np.ndarray]:
    return [polygon[polygon >= 0] for polygon in mesh.polygons]


def walkable(mesh: PolygonMesh, *areas: Area) -> nx.Graph:
    """Which polygons of these areas touch which."""
    graph = nx.Graph()
    graph.add_nodes_from(np.flatnonzero(np.isin(mesh.areas, areas)).tolist())
    for polygon, others in enumerate(mesh.neighbours.tolist()):
        graph.add_edges_from((polygon, other) for other in others if other in graph and polygon in graph)
    return graph


def test_its_polygons_are_convex_and_turn_the_way_that_detour_wants(mesh: PolygonMesh) -> None:
    for ring in rings(mesh):
        corners = mesh.vertices[ring][:, :2]
        edges = np.roll(corners, -1, axis=0) - corners
        following = np.roll(edges, -1, axis=0)
        turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
        assert turns.max() <= 1e-4


def test_neighbours_share_the_edge_and_know_each_other(mesh: PolygonMesh) -> None:
    for polygon, ring in enumerate(rings(mesh)):
        for k, other in enumerate(mesh.neighbours[polygon][: len(ring)]):
            if other >= 0:
                edge = {int(ring[k]), int(ring[(k + 1) % len(ring)])}
                assert edge <= set(mesh.polygons[other].tolist())
                assert polygon in mesh.neighbours[other]


def test_crossings_make_one_piece_of_a_towns_pavements(mesh: PolygonMesh) -> None:
    assert nx.is_connected(walkable(mesh, Area.SIDEWALK, Area.CROSSWALK))
    assert not nx.is_connected(walkable(mesh, Area.SIDEWALK))
    assert nx.is_connected(walkable(mesh, Area.SIDEWALK, Area.ROAD))


@pytest.mark.parametrize("name", TOWNS)
def test_every_arm_of_a_junction_has_a_crossing_behind_its_stop_line(name: str) -> None:
    town = load_town(name)
    crossings = np.count_nonzero(build_mesh(town).areas == Area.CROSSWALK)
    assert crossings == len(crosswalks(town.carla_map))
    if name.startswith("Rings"):  # its roundabouts have crossings, and no lights
        assert crossings > len(town.lights)
        return
    assert crossings == len(town.lights)
    stops = [stop for light in town.lights for stop in light.stop_boxes]
    for outline in crosswalks(town.carla_map):
        middle = outline.mean(axis=0)
        assert min(np.hypot(stop.x - middle[0], stop.y - middle[1]) for stop in stops) < 9.0
        waypoint = town.carla_map.get_waypoint(carla.Location(*middle.tolist()))
        assert waypoint.is_junction


def test_pavement_polygons_lie_on_pavements(mesh: PolygonMesh, request: pytest.FixtureRequest) -> None:
    town = load_town(request.node.callspec.params["mesh"])
    rng = np.random.default_rng(1)
    for polygon, ring in enumerate(rings(mesh)):
        if mesh.areas[polygon] != Area.SIDEWALK:
            continue
        place = rng.dirichlet(np.ones(len(ring))) @ mesh.vertices[ring]
        waypoint = town.carla_map.get_waypoint(carla.Location(*place.tolist()), lane_type=carla.LaneType.Sidewalk)
        assert waypoint.transform.location.distance(carla.Location(*place.tolist())) < 0.5 * waypoint.lane_width


def test_nobody_walks_on_a_map_without_a_pavement(tmp_path: Path) -> None:
    bare = tmp_path / "bare.xodr"
    bare.write_text(load_town("Town01").xodr.replace('type="sidewalk"', 'type="shoulder"'))
    town = load_xodr(bare)
    assert navigation_file_name(town) is None
    assert NavigationFiles().content(town) == b""


def test_pavements_without_a_carriageway_are_left_out_as_they_are_not_built(tmp_path: Path) -> None:
    root = ET.fromstring(load_town("Town01").xodr)
    street = next(road for road in root.iter("road") if road.get("junction") == "-1")
    for lane in street.iter("lane"):
        lane.set("type", lane.get("type", "").replace("driving", "shoulder"))
    path = tmp_path / "closed.xodr"
    path.write_text(ET.tostring(root, encoding="unicode"))
    town = load_xodr(path)
    mesh = build_mesh(town)
    middles = [mesh.vertices[ring].mean(axis=0) for ring in rings(mesh)]
    roads = {
        town.carla_map.get_waypoint(carla.Location(*middle.tolist()), lane_type=carla.LaneType.Sidewalk).road_id
        for middle, area in zip(middles, mesh.areas, strict=True)
        if area == Area.SIDEWALK
    }
    assert len(roads) > 20
    assert int(street.attrib["id"]) not in roads


def test_another_map_has_another_name() -> None:
    names = {navigation_file_name(load_town(name)) for name in TOWNS}
    assert len(names) == len(TOWNS)
    assert None not in names


def test_the_same_map_gives_the_same_file() -> None:
    content = NavigationFiles().content(load_town("Grid02"))
    assert content
    assert NavigationFiles().content(load_town("Grid02")) == content
