"""Pedestrians by the client's own crowd, on the navigation mesh that the server makes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import carla
import numpy as np
import pytest
from crowd_script import spawn_crowd
from server_process import ServerProcess, SyncWorld, running_server, synchronous

from minicarla.maps import load_town
from minicarla.navigation.files import build_mesh
from minicarla.navigation.pavements import Area
from minicarla.navigation.polygons import PolygonMesh

SCRIPT = Path(__file__).with_name("crowd_script.py")


@pytest.fixture(scope="module")
def mesh() -> PolygonMesh:
    return build_mesh(load_town("Town01"))


def areas_at(mesh: PolygonMesh, where: np.ndarray) -> list[Area | None]:
    """What lies at each place: a crossing before the road under it, None beside the mesh by more than 5 cm."""
    corners = mesh.vertices[np.where(mesh.polygons >= 0, mesh.polygons, mesh.polygons[:, :1])][..., :2]
    edges = np.roll(corners, -1, axis=1) - corners
    away = where[:, None, None, :2] - corners
    outside = edges[..., 0] * away[..., 1] - edges[..., 1] * away[..., 0]
    inside = (outside <= 0.05 * np.linalg.norm(edges, axis=2)).all(axis=2)
    return [min((Area(area) for area in mesh.areas[row]), default=None) for row in inside]


def places(walkers: list[carla.Actor]) -> np.ndarray:
    locations = [walker.get_location() for walker in walkers]
    return np.array([(place.x, place.y, place.z) for place in locations])


def test_the_file_comes_under_the_name_that_is_asked_for(server: ServerProcess, tmp_path: Path) -> None:
    client = server.client()
    (name,) = client.get_required_files("Nav", False)
    assert client.get_required_files("TM", False) == []
    client.request_file(name)
    with pytest.raises(RuntimeError, match="there is no file 'secret': see "):
        client.request_file("secret")


def test_a_crowd_walks_on_pavements_and_crossings(sync: SyncWorld, mesh: PolygonMesh) -> None:
    sync.world.set_pedestrians_seed(3)
    sync.world.set_pedestrians_cross_factor(0.0)
    walkers, controllers = spawn_crowd(sync.client, sync.world, 40)
    assert len(walkers) > 35
    at_first, seen, fastest = places(walkers), set(), 0.0
    for _ in range(24):
        sync.ticks(25)
        areas = set(areas_at(mesh, places(walkers)))
        assert areas <= {Area.SIDEWALK, Area.CROSSWALK}
        seen |= areas
        fastest = max(fastest, *(walker.get_velocity().length() for walker in walkers))
    assert seen == {Area.SIDEWALK, Area.CROSSWALK}
    moved = np.linalg.norm((places(walkers) - at_first)[:, :2], axis=1)
    assert np.count_nonzero(moved > 5.0) > 0.9 * len(walkers)
    assert 1.2 < fastest < 2.0
    for walker in walkers:
        assert walker.get_location().z == pytest.approx(walker.bounding_box.extent.z, abs=0.05)
    controllers[0].stop()
    sync.ticks(2)
    stopped = places(walkers[:1])
    sync.ticks(5)
    assert places(walkers[:1]) == pytest.approx(stopped)
    assert walkers[0].get_velocity().length() == 0.0
    for controller in controllers[1:]:
        controller.stop()


def test_one_seed_one_walk(server: ServerProcess, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(server.port), str(tmp_path), "25", "300"]
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "timeout": 140.0}
    options["env"] = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    runs = [subprocess.run(command, **options).stdout for _ in range(2)]
    assert len(runs[0].splitlines()) > 20
    assert runs[0] == runs[1]


def test_without_a_pavement_there_is_no_place_and_no_harm(tmp_path: Path) -> None:
    bare = tmp_path / "bare.xodr"
    bare.write_text(load_town("Grid01").xodr.replace('type="sidewalk"', 'type="shoulder"'))
    with running_server("--xodr", str(bare)) as server:
        sync = synchronous(server)
        assert sync.client.get_required_files("Nav", False) == []
        assert sync.world.get_random_location_from_navigation() is None
        walker = sync.spawn("walker.pedestrian.0001", sync.spawn_points[0])
        sync.world.tick()
        controller = sync.spawn("controller.ai.walker", carla.Transform(), walker)
        sync.world.tick()
        controller.start()
        controller.go_to_location(carla.Location(0.0, 0.0, 0.0))
        controller.set_max_speed(1.4)
        sync.ticks(3)
        assert walker.get_location().distance(sync.spawn_points[0].location) < 2.0
        controller.stop()
