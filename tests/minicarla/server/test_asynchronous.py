"""Asynchronous worlds: no answer is ahead of what the client can see."""

import itertools
import statistics
import struct
import time
from collections.abc import Iterator

import carla
import pytest
from server_process import RawRpc, RawStream, ServerProcess, running_server

from minicarla.clock import PATIENCE_S, PERIOD_S

PLATFORM_TIME = 56  # its place in a snapshot


@pytest.fixture(params=[None, 0.05], ids=["real time", "as fast as it can"])
def world(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[carla.World]:
    """A fresh asynchronous world."""
    client = server.client()
    world = client.load_world("Town01")
    world.apply_settings(carla.WorldSettings(fixed_delta_seconds=request.param or 0.0))
    yield world
    client.reload_world()


def test_what_is_spawned_is_there_at_once_and_what_is_destroyed_is_gone(world: carla.World):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    for place in world.get_map().get_spawn_points()[:100]:
        car = world.spawn_actor(blueprint, place)
        assert car.get_location().distance(place.location) < 1.0
        number = car.id
        assert car.destroy()
        assert not world.get_snapshot().has_actor(number)
    assert len(world.get_actors().filter("vehicle.*")) == 0


def test_a_reset_without_a_tick(server: ServerProcess, world: carla.World):
    """50 cars by a batch, sensors on them, look-ups, all away again: nothing waits for a tick in between."""
    client, command = server.client(), carla.command
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    gnss = world.get_blueprint_library().find("sensor.other.gnss")
    places = world.get_map().get_spawn_points()[:50]
    for _ in range(2):
        answers = client.apply_batch_sync([command.SpawnActor(blueprint, place) for place in places])
        cars = world.get_actors([answer.actor_id for answer in answers])
        assert all(car.get_location().distance(place.location) < 1.0 for car, place in zip(cars, places, strict=True))
        sensors = [world.spawn_actor(gnss, carla.Transform(), attach_to=car) for car in cars]
        assert all(
            sensor.get_location().distance(car.get_location()) < 2.0 for sensor, car in zip(sensors, cars, strict=True)
        )
        client.apply_batch_sync([command.DestroyActor(actor) for actor in [*sensors, *cars]])
        assert len(world.get_actors().filter("[sv]e*")) == 0


def test_where_a_batch_has_put_it(server: ServerProcess, world: carla.World):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    places = world.get_map().get_spawn_points()[:10]
    client = server.client()
    car = world.spawn_actor(blueprint, places[0])
    for place in places[1:]:
        client.apply_batch_sync([carla.command.ApplyTransform(car, place)])
        assert car.get_location().distance(place.location) < 1.0


def test_a_client_that_does_not_read_holds_nobody_up_for_long(server: ServerProcess, world: carla.World):
    idle = RawStream(server.port + 1, 1)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    places = world.get_map().get_spawn_points()[:100]
    began = time.monotonic()
    cars = [world.spawn_actor(blueprint, place) for place in places]
    assert time.monotonic() - began < 0.5 * len(places) * PATIENCE_S, "it is waited for once"
    assert all(car.get_location().distance(place.location) < 3.0 for car, place in zip(cars, places, strict=True))
    idle.close()


def test_who_waits_when_another_client_makes_the_world_synchronous(server: ServerProcess, world: carla.World):
    world.apply_settings(carla.WorldSettings())
    with RawRpc(server.port) as waiting, RawRpc(server.port) as other:
        settings = other.call("get_episode_settings")[0][1]
        frame = waiting.call("tick_cue")[0][1]
        held = waiting.send("tick_cue")
        settings[0] = True
        assert other.call("set_episode_settings", settings) == [[1, frame]]
        assert waiting.reply() == [1, held, None, [[1, frame]]]
        assert waiting.call("tick_cue") == [[1, frame + 1]]


def test_without_a_client_the_world_does_not_hurry():
    with running_server() as server:
        watching = RawStream(server.port + 1, 1)

        def gaps_s() -> Iterator[float]:
            """Between ticks by the server's clock, whenever they are read here."""
            before = None
            while True:
                (now,) = struct.unpack_from("<d", watching.frame(), PLATFORM_TIME)
                if before is not None:
                    yield now - before
                before = now

        def typical_gap_s(ticks: int) -> float:
            return statistics.median(itertools.islice(gaps, ticks))

        gaps = gaps_s()
        with RawRpc(server.port) as client:
            settings = client.call("get_episode_settings")[0][1]
            settings[2] = [True, 0.05]
            client.call("set_episode_settings", settings)
            assert typical_gap_s(200) < 0.5 * PERIOD_S
        next(gap for gap in gaps if gap > 0.5 * PERIOD_S)  # before it come those that the client has caused
        assert typical_gap_s(30) == pytest.approx(PERIOD_S, rel=0.5), "20 ticks a second"
        watching.close()
