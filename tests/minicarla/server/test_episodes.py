"""Loading, reloading and generating worlds."""

from pathlib import Path

import carla
import pytest
from server_process import RawRpc, ServerProcess, SyncWorld, synchronous, wait_until

from minicarla.maps import load_town


def test_reload_clears_actors_and_settings(server: ServerProcess, sync: SyncWorld):
    sync.car()
    sync.world.set_weather(carla.WeatherParameters.HardRainSunset)
    old = sync.world.id
    world = sync.client.reload_world()
    assert world.id > old
    assert not world.get_settings().synchronous_mode
    assert len(world.get_actors().filter("vehicle.*")) == 0
    assert world.get_weather() == carla.WeatherParameters.ClearNoon
    assert world.wait_for_tick().timestamp.elapsed_seconds < 5.0
    sync.__init__(sync.client, world, sync.port)
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))


def test_reload_that_keeps_its_settings(sync: SyncWorld):
    world = sync.client.reload_world(False)
    assert world.get_settings().synchronous_mode
    assert world.get_settings().fixed_delta_seconds == pytest.approx(0.05)
    assert world.get_snapshot().frame == world.tick() - 1 or world.get_snapshot().frame > 0
    sync.__init__(sync.client, world, sync.port)


def test_ids_start_anew_with_an_episode(sync: SyncWorld):
    ids = []
    for _ in range(2):
        world = sync.client.reload_world(False)
        sync.__init__(sync.client, world, sync.port)
        ids.append(sync.car().id)
    assert ids[0] == ids[1]


def test_other_maps_and_back(sync: SyncWorld):
    maps = sync.client.get_available_maps()
    assert "Carla/Maps/Town01" in maps
    other = next(name for name in maps if not name.endswith("Town01"))
    world = sync.client.load_world(other)
    assert world.get_map().name == other
    assert world.get_map().get_spawn_points()
    back = sync.client.load_world("Town01")
    assert back.get_map().name == "Carla/Maps/Town01"
    sync.__init__(sync.client, back, sync.port)
    back.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))


def test_a_second_client_notices_the_new_map(server: ServerProcess, sync: SyncWorld):
    watcher = server.client().get_world()
    assert watcher.get_map().name == "Carla/Maps/Town01"
    other = next(name for name in sync.client.get_available_maps() if not name.endswith("Town01"))
    sync.client.load_world(other)
    assert wait_until(lambda: server.client().get_world().get_map().name == other)
    back = sync.client.load_world("Town01")
    sync.__init__(sync.client, back, sync.port)
    back.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))


def test_generated_world(sync: SyncWorld):
    xodr = load_town("Town01").xodr
    world = sync.client.generate_opendrive_world(xodr, carla.OpendriveGenerationParameters())
    assert world.get_map().name == "Carla/Maps/OpenDriveMap"
    assert world.get_map().to_opendrive() == xodr
    assert world.get_map().get_spawn_points()
    assert world.wait_for_tick().frame > 0
    with pytest.raises(RuntimeError, match="has no roads"):
        sync.client.generate_opendrive_world("<OpenDRIVE></OpenDRIVE>")
    back = sync.client.load_world("Town01")
    sync.__init__(sync.client, back, sync.port)
    back.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))


def test_stream_of_the_old_episode_ends_without_closing(sync: SyncWorld):
    car = sync.car()
    camera, images = sync.camera("rgb", car)
    sync.world.tick()
    images.get(timeout=10.0)
    world = sync.client.reload_world(False)
    sync.__init__(sync.client, world, sync.port)
    sync.ticks(5)
    assert images.empty()
    assert not camera.is_alive


def test_server_on_an_xodr_file(tmp_path: Path):
    from server_process import running_server

    path = tmp_path / "MyTown.xodr"
    path.write_text(load_town("Town01").xodr)
    with running_server("--xodr", str(path)) as process:
        assert process.town == "MyTown"
        sync = synchronous(process)
        assert sync.map.name == "Carla/Maps/MyTown"
        assert sync.car().is_alive
        assert "Carla/Maps/MyTown" in sync.client.get_available_maps()
        rpc = RawRpc(process.port)
        assert rpc.call("get_map_data")[0][1] == path.read_text()
        rpc.close()
