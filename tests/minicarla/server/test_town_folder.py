"""A server with a folder of maps, as the stock client uses it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import carla
import pytest
from server_process import ServerProcess, launch, ready, running_server, synchronous

from minicarla.maps import load_town


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps")
    (path / "Town02.xodr").write_text(load_town("Grid02").xodr)
    (path / "Town03.xodr").write_text("<OpenDRIVE></OpenDRIVE>")
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with running_server("--maps", str(folder), "--town", "Town01_Opt") as process:
        yield process


def test_towns_of_the_folder_are_maps_like_the_others(server: ServerProcess, folder: Path):
    client = server.client()
    assert {"Carla/Maps/Town01_Opt", "Carla/Maps/Town02", "Carla/Maps/Town02_Opt"} <= set(client.get_available_maps())
    world = client.load_world("Town02")
    assert world.get_map().name == "Carla/Maps/Town02"
    assert world.get_map().to_opendrive() == (folder / "Town02.xodr").read_text()
    world = client.load_world("/Game/Carla/Maps/Town02_Opt")
    assert world.get_map().name == "Carla/Maps/Town02_Opt"
    world = client.reload_world()
    assert world.get_map().name == "Carla/Maps/Town02_Opt"
    assert client.load_world("Town01").get_map().name == "Carla/Maps/Town01"


def test_a_file_that_is_no_map_leaves_the_world_as_it_is(server: ServerProcess):
    client = server.client()
    episode = client.get_world().id
    with pytest.raises(RuntimeError, match=r"Town03\.xodr has no roads"):
        client.load_world("Town03")
    assert client.get_world().id == episode


def test_layers_do_nothing(server: ServerProcess):
    world = server.client().get_world()
    world.unload_map_layer(carla.MapLayer.Buildings)
    world.load_map_layer(carla.MapLayer.All)
    assert world.get_level_bbs(carla.CityObjectLabel.Buildings)


def test_others_are_served_while_a_town_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """And an environment variable names the folder."""
    monkeypatch.setenv("MINICARLA_MAPS", str(folder))
    with ready(launch("--port", "0")) as process:
        sync = synchronous(process)
        longest_shares = []
        for town in ("Town02", "Grid03"):  # a busy machine may hold up one of them, or this process
            loader = threading.Thread(target=process.client().load_world, args=(town,))
            waits_s = []
            began = time.monotonic()
            loader.start()
            while loader.is_alive():
                start = time.monotonic()
                sync.client.get_available_maps()
                waits_s.append(time.monotonic() - start)
            took_s = time.monotonic() - began
            assert process.client().get_world().get_map().name == f"Carla/Maps/{town}"
            assert len(waits_s) > 20
            longest_shares.append(max(waits_s) / took_s)
        assert min(longest_shares) < 0.3
