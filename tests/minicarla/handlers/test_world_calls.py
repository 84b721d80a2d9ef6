"""Versions, settings, ticks, snapshots, weather, spectator, as the stock client sees them."""

import time

import carla
import numpy as np
import pytest
from server_process import RawRpc, ServerProcess, SyncWorld, wait_until

from minicarla import __version__


def test_versions_agree(server: ServerProcess):
    client = server.client()
    assert client.get_server_version() == client.get_client_version() == "0.9.16"
    assert __version__ == "0.1.0"


def ahead_s(first: carla.WorldSnapshot, last: carla.WorldSnapshot) -> float:
    """Of the server's own clock: what happens between two looks here does not count."""
    simulated, real = (
        getattr(last.timestamp, name) - getattr(first.timestamp, name)
        for name in ("elapsed_seconds", "platform_timestamp")
    )
    return simulated - real


def test_asynchronous_world_keeps_to_real_time(server: ServerProcess):
    world = server.client().get_world()
    first = world.wait_for_tick()
    frames, deltas = [], []
    for _ in range(40):
        frames.append(world.tick())
        deltas.append(world.get_snapshot().timestamp.delta_seconds)
    steps = np.diff(frames)
    assert steps.min() == np.median(steps) == 1, "each waits for the next frame, which a starved client may miss"
    last = world.get_snapshot()
    assert ahead_s(first, last) == pytest.approx(0.0, abs=0.2)
    assert np.median(deltas) == pytest.approx(0.05, abs=0.04)


def test_asynchronous_world_of_a_fixed_step_runs_as_fast_as_it_can(server: ServerProcess):
    world = server.client().get_world()
    try:
        for delta in (0.1, 0.02):
            world.apply_settings(carla.WorldSettings(fixed_delta_seconds=delta))
            assert world.get_snapshot().timestamp.delta_seconds == pytest.approx(delta), "when the call returns"
        began = world.get_snapshot()
        assert wait_until(lambda: ahead_s(began, world.get_snapshot()) > 1.0)
        ended = world.get_snapshot()
        simulated = ended.timestamp.elapsed_seconds - began.timestamp.elapsed_seconds
        assert simulated == pytest.approx(0.02 * (ended.frame - began.frame))
    finally:
        world.apply_settings(carla.WorldSettings())
    assert world.wait_for_tick().timestamp.delta_seconds != 0.02


def test_map_and_spawn_points(sync: SyncWorld):
    assert sync.map.name == "Carla/Maps/Town01"
    assert len(sync.spawn_points) > 100
    assert all(sync.map.get_waypoint(point.location, project_to_road=False) for point in sync.spawn_points[::20])


def test_settings_come_back(sync: SyncWorld):
    settings = sync.world.get_settings()
    assert settings.synchronous_mode
    assert settings.fixed_delta_seconds == pytest.approx(0.05)
    settings.max_substeps = 7
    settings.no_rendering_mode = True
    sync.world.apply_settings(settings)
    assert sync.world.get_settings() == settings


@pytest.mark.parametrize("delta", [5.0, 0.002])
def test_steps_of_any_length(sync: SyncWorld, delta: float):
    """CARLA refuses none."""
    car = sync.car()
    car.set_target_velocity(carla.Vector3D(0.0, 3.0, 0.0))
    sync.world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=delta))
    before = sync.world.get_snapshot()
    sync.world.tick()
    after = sync.world.get_snapshot()
    assert after.timestamp.elapsed_seconds - before.timestamp.elapsed_seconds == pytest.approx(delta)
    assert after.timestamp.delta_seconds == pytest.approx(delta)


@pytest.mark.parametrize("delta", [None, 0.0, -1.0])
def test_no_step_is_a_variable_step(sync: SyncWorld, delta: float | None):
    settings = sync.world.get_settings()
    settings.fixed_delta_seconds = delta
    sync.world.apply_settings(settings)
    assert sync.world.get_settings().fixed_delta_seconds is None
    with RawRpc(sync.port) as rpc:  # the stock client itself makes these three one
        fields = rpc.call("get_episode_settings")[0][1]
        fields[2] = [True, delta or 0.0]
        assert rpc.call("set_episode_settings", fields)[0][0] == 1
        assert rpc.call("get_episode_settings")[0][1][2] == [False]


def test_a_step_too_short_to_divide_by_is_refused(sync: SyncWorld):
    settings = sync.world.get_settings()
    settings.fixed_delta_seconds = 1e-9
    with pytest.raises(RuntimeError, match="fixed_delta_seconds must be 0, for a variable step, or at least"):
        sync.world.apply_settings(settings)


def test_tick_advances_one_frame_and_one_step(sync: SyncWorld):
    before = sync.world.get_snapshot()
    frame = sync.world.tick()
    after = sync.world.get_snapshot()
    assert after.frame == frame == before.frame + 1
    assert after.timestamp.elapsed_seconds - before.timestamp.elapsed_seconds == pytest.approx(0.05)


def test_synchronous_world_waits(sync: SyncWorld):
    frame = sync.world.tick()
    time.sleep(0.2)
    assert sync.world.get_snapshot().frame == frame


def test_synchronous_world_waits_for_the_next_client(server: ServerProcess, sync: SyncWorld):
    car = sync.car()
    frame = sync.world.tick()
    late = server.client().get_world()
    # Without a tick: the newcomer is told what the world looks like.
    assert wait_until(lambda: late.get_snapshot().frame == frame)
    assert late.get_actor(car.id).type_id == car.type_id
    assert late.tick() == frame + 1


def test_on_tick_callback(sync: SyncWorld):
    frames: list[int] = []
    callback = sync.world.on_tick(lambda snapshot: frames.append(snapshot.frame))
    last = sync.ticks(3)
    assert wait_until(lambda: frames[-3:] == [last - 2, last - 1, last])
    sync.world.remove_on_tick(callback)


def test_weather_comes_back(sync: SyncWorld):
    sync.world.set_weather(carla.WeatherParameters.HardRainSunset)
    assert sync.world.get_weather() == carla.WeatherParameters.HardRainSunset


def test_spectator_moves(sync: SyncWorld):
    spectator = sync.world.get_spectator()
    place = carla.Transform(carla.Location(10.0, 20.0, 30.0), carla.Rotation(pitch=-30.0, yaw=45.0))
    spectator.set_transform(place)
    sync.world.tick()
    assert spectator.get_transform().location.distance(place.location) < 1e-3
    assert spectator.get_transform().rotation.pitch == pytest.approx(-30.0)
    assert not sync.world.get_actor(spectator.id).destroy()


def test_debug_drawing_is_accepted(sync: SyncWorld):
    origin, end = carla.Location(0, 0, 1), carla.Location(1, 1, 1)
    sync.world.debug.draw_point(origin)
    sync.world.debug.draw_line(origin, end)
    sync.world.debug.draw_arrow(origin, end)
    sync.world.debug.draw_box(carla.BoundingBox(origin, carla.Vector3D(1, 1, 1)), carla.Rotation())
    sync.world.debug.draw_string(origin, "here")
    sync.world.tick()


def test_blueprint_library(sync: SyncWorld):
    library = sync.blueprints
    assert len([b for b in library.filter("vehicle.*") if int(b.get_attribute("number_of_wheels")) == 4]) >= 10
    assert library.filter("walker.*")
    assert library.find("controller.ai.walker")
    camera = library.find("sensor.camera.rgb")
    assert [camera.get_attribute(name).as_int() for name in ("image_size_x", "image_size_y")] == [800, 600]
    assert camera.get_attribute("fov").as_float() == 90.0
    assert camera.get_attribute("exposure_mode").recommended_values == ["histogram", "manual"]
    assert camera.get_attribute("enable_postprocess_effects").as_bool()
    car = library.find("vehicle.tesla.model3")
    assert not car.get_attribute("base_type").is_modifiable
    assert car.get_attribute("color").type == carla.ActorAttributeType.RGBColor
    car.set_attribute("color", "255,0,0")
    car.set_attribute("role_name", "hero")


def test_scene_queries(sync: SyncWorld):
    assert sync.world.get_level_bbs(carla.CityObjectLabel.Buildings)
    building = sync.world.get_environment_objects(carla.CityObjectLabel.Buildings)[0]
    assert building.name in sync.world.get_names_of_all_objects()
    road = sync.spawn_points[0].location + carla.Location(z=5.0)
    below = sync.world.ground_projection(road, 20.0)
    assert below.label == carla.CityObjectLabel.Roads
    assert below.location.z == pytest.approx(0.0, abs=1e-3)
    assert sync.world.ground_projection(road, 1.0) is None
    top = building.bounding_box.location + carla.Location(z=50.0)
    assert sync.world.cast_ray(top, building.bounding_box.location)[0].label == carla.CityObjectLabel.Buildings
    assert list(sync.world.get_lightmanager().get_all_lights()) == []


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda sync: sync.world.get_imui_sensor_gravity(), "get_imui_gravity"),
        (lambda sync: sync.world.get_spectator().get_bone_names(), "has no skeleton"),
        (lambda sync: sync.client.load_world("Town99"), "there is no map 'Town99'"),
    ],
)
def test_what_is_missing_is_named(sync: SyncWorld, call, name: str):
    with pytest.raises(RuntimeError, match=name):
        call(sync)
    sync.world.tick()


def test_unknown_method_gets_an_error_and_the_connection_lives(server: ServerProcess):
    rpc = RawRpc(server.port)
    rpc.send("make_coffee")
    _, _, error, result = rpc.reply()
    assert "make_coffee" in error
    assert result is None
    assert rpc.call("version") == [[1, "0.9.16"]]
    rpc.close()
