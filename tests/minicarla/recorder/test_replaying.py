"""Drives that the stock client records and replays on a real server."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import carla
import pytest
from carla_file import added, counted, frame, position, recording, text_frames
from server_process import SyncWorld, wait_until

TICKS = 80
LIGHTS = carla.VehicleLightState(carla.VehicleLightState.LowBeam | carla.VehicleLightState.Brake)


@dataclass
class Drive:
    """A recording, and what the client saw after each of its ticks."""

    name: str
    car: int
    truck: int
    walker: int
    places: list[dict[int, carla.Transform]] = field(default_factory=list)
    lights: list[dict[int, carla.TrafficLightState]] = field(default_factory=list)


@pytest.fixture
def quiet(sync: SyncWorld) -> Iterator[SyncWorld]:
    """A world in which nothing is recorded or replayed, before and after."""
    yield sync
    sync.client.stop_recorder()
    sync.client.stop_replayer(True)
    sync.client.set_replayer_time_factor(1.0)
    sync.client.set_replayer_ignore_hero(False)
    sync.client.set_replayer_ignore_spectator(True)


def drive(sync: SyncWorld, folder: Path) -> Drive:
    """A car runs into a truck while a walker crosses and a light is set; the car has a collision sensor."""
    place = sync.spawn_points[0]
    place.location.z = 0.0
    car = sync.spawn("vehicle.tesla.model3", place, role_name="hero")
    ahead = carla.Transform(place.location + place.get_forward_vector() * 20.0, place.rotation)
    truck = sync.spawn("vehicle.carlamotors.firetruck", ahead)
    sync.spawn("sensor.other.collision", carla.Transform(carla.Location(1.0, 0.0, 1.0)), car)
    pavement = carla.Location(sync.spawn_points[20].location)
    pavement.z = 1.0
    walker = sync.spawn("walker.pedestrian.0001", carla.Transform(pavement))
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.2))
    car.set_light_state(LIGHTS)
    done = Drive(str(folder / "drive.log"), car.id, truck.id, walker.id)
    assert sync.client.start_recorder(done.name, True) == done.name
    signals = sync.world.get_actors().filter("traffic.traffic_light")
    for tick in range(TICKS):
        car.apply_control(carla.VehicleControl(throttle=0.9, steer=0.02))
        if tick == TICKS // 2:
            signals[0].set_state(carla.TrafficLightState.Off)
        sync.world.tick()
        done.places.append({actor.id: actor.get_transform() for actor in (car, truck, walker)})
        done.lights.append({signal.id: signal.state for signal in signals})
    sync.client.stop_recorder()
    return done


def gap(actor: carla.Actor, place: carla.Transform) -> float:
    """Between where an actor is and was: m, or 10 degrees of yaw."""
    turn = (actor.get_transform().rotation.yaw - place.rotation.yaw + 180.0) % 360.0 - 180.0
    return max(actor.get_location().distance(place.location), abs(turn) / 10.0)


def test_a_replay_goes_where_the_drive_went(quiet: SyncWorld, tmp_path: Path):
    done = drive(quiet, tmp_path)
    quiet.clear()
    answer = quiet.client.replay_file(done.name, 0.0, 0.0, done.car, True)
    assert answer == (
        f"Replaying File: {done.name}\nTotal time recorded: 3.95\n"
        "Replaying from 0 s - 3.95 s (3.95 s) at 1.0x\nIgnoring Spectator camera\n"
    )
    spectator = quiet.world.get_spectator()
    for tick in range(TICKS - 1):
        quiet.world.tick()
        actors = {actor_id: quiet.world.get_actor(actor_id) for actor_id in (done.car, done.truck, done.walker)}
        assert max(gap(actor, done.places[tick][actor_id]) for actor_id, actor in actors.items()) < 0.01, tick
        signals = quiet.world.get_actors(list(done.lights[0]))
        assert {signal.id: signal.state for signal in signals} == done.lights[tick + 1]
        behind = actors[done.car].get_transform().transform(carla.Location(-10.0, 0.0, 5.0))
        assert spectator.get_location().distance(behind) < 0.01
        assert actors[done.car].get_velocity().length() == 0.0
    car = actors[done.car]
    assert car.attributes["role_name"] == "hero"
    assert car.get_light_state() == LIGHTS
    (sensor,) = quiet.world.get_actors().filter("sensor.other.collision")
    assert sensor.parent.id == done.car
    mounted = car.get_transform().transform(carla.Location(1.0, 0.0, 1.0))
    assert sensor.get_location().distance(mounted) < 0.01
    # It is over: the car drives again by its own physics.
    quiet.world.tick()
    car.apply_control(carla.VehicleControl(throttle=1.0, reverse=True))
    quiet.ticks(40)
    assert car.get_location().distance(done.places[-1][done.car].location) > 1.0


def test_the_text_of_a_recording_says_what_was_driven(quiet: SyncWorld, tmp_path: Path):
    done = drive(quiet, tmp_path)
    frames = text_frames(quiet.client.show_recorder_file_info(done.name, True))
    assert [one.number for one in frames] == list(range(1, TICKS + 1))
    assert [one.elapsed for one in frames] == pytest.approx([0.05 * tick for tick in range(TICKS)])
    assert frames[0].created[done.truck] == "vehicle.carlamotors.firetruck"
    assert frames[0].created[quiet.world.get_spectator().id] == "spectator"
    for one, places in zip(frames, done.places, strict=True):
        for actor_id, place in places.items():
            (x, y, z), (_, _, yaw) = one.places[actor_id]
            assert place.location.distance(carla.Location(x, y, z)) < 0.01  # of six digits
            assert (yaw - place.rotation.yaw + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=0.01)
        assert one.controls[done.car]["throttle"] == pytest.approx(0.9)
    shown = [{actor: carla.TrafficLightState.values[state] for actor, state in one.lights.items()} for one in frames]
    assert shown == done.lights
    moved = done.places[20][done.car].location - done.places[19][done.car].location
    assert frames[20].velocities[done.car][:2] == pytest.approx((moved.x / 0.05, moved.y / 0.05), abs=0.3)
    hits = [one.number for one in frames if (done.car, done.truck) in one.collisions]
    assert hits
    listed = quiet.client.show_recorder_collisions(done.name, "h", "v")
    assert "v v" in listed
    assert "vehicle.carlamotors.firetruck" in listed
    assert "walker" not in quiet.client.show_recorder_actors_blocked(done.name, 2.0, 100.0)


def test_the_hero_is_left_out_and_time_runs_faster(quiet: SyncWorld, tmp_path: Path):
    done = drive(quiet, tmp_path)
    quiet.clear()
    quiet.client.set_replayer_ignore_hero(True)
    quiet.client.set_replayer_time_factor(1.5)
    answer = quiet.client.replay_file(done.name, 1.0, 1.0, 0)
    assert "Replaying from 1 s - 2 s (3.95 s) at 1.5x\nIgnoring Hero vehicle\n" in answer
    quiet.ticks(4)
    assert {actor.id for actor in quiet.world.get_actors().filter("vehicle.*")} == {done.truck}
    assert not quiet.world.get_actors().filter("sensor.*")
    begin, end = (done.places[tick][done.walker].location for tick in (24, 25))  # at 1.3 s, one frame back
    middle = quiet.world.get_actor(done.walker).get_location()
    assert middle.distance(begin) < 0.07
    assert middle.distance(end) < 0.07
    quiet.client.stop_replayer(True)
    quiet.world.tick()
    assert quiet.world.get_actor(done.truck) is not None


def test_two_replays_are_the_same(quiet: SyncWorld, tmp_path: Path):
    done = drive(quiet, tmp_path)
    runs = []
    for _ in range(2):
        quiet.clear()
        quiet.client.replay_file(done.name, 0.33, 0.0, 0)
        seen = []
        for _ in range(20):
            quiet.world.tick()
            place = quiet.world.get_actor(done.car).get_transform()
            seen.append((place.location.x, place.location.y, place.rotation.yaw))
        runs.append(seen)
    assert runs[0] == runs[1]


def test_actors_come_and_go_with_the_recording(quiet: SyncWorld, tmp_path: Path):
    def at(seconds: float) -> bytes:
        return counted(6, position(5001, 10_000.0 + 100.0 * seconds, 5000.0, 0.0, 0.0, 0.0, 90.0))

    car = added(5001, 1, "vehicle.tesla.model3", (10_000.0, 5000.0, 0.0, 0.0, 0.0, 90.0), {"colour": "1,2,3"})
    unknown = added(5002, 1, "vehicle.of.tomorrow", (0.0,) * 6)
    path = tmp_path / "by_hand.log"
    path.write_bytes(
        recording(
            frame(1, 1.0, 0.0, counted(2)),
            frame(2, 1.0, 1.0, counted(2, car, unknown), at(0.0)),
            frame(3, 1.0, 2.0, at(1.0)),
            frame(4, 1.0, 3.0, at(2.0), counted(3, (5001).to_bytes(4, "little"))),
            frame(5, -1.0, 4.0, counted(3)),
        )
    )
    quiet.client.replay_file(str(path), 0.0, 0.0, 0)
    vehicles = []
    for _ in range(80):
        quiet.world.tick()
        vehicles.append([(v.id, v.get_location().x) for v in quiet.world.get_actors().filter("vehicle.*")])
    assert vehicles[10] == []
    assert vehicles[30][0] == (5001, pytest.approx(100.0))
    assert vehicles[49][0] == (5001, pytest.approx(100.5, abs=0.051))
    assert vehicles[70] == []


def test_a_replay_in_asynchronous_mode_ends_by_itself(quiet: SyncWorld, tmp_path: Path):
    done = drive(quiet, tmp_path)
    quiet.clear()
    quiet.world.apply_settings(carla.WorldSettings(synchronous_mode=False))
    quiet.client.replay_file(done.name, 0.0, 1.0, 0)
    place = done.places[18][done.car].location
    assert wait_until(lambda: (car := quiet.world.get_actor(done.car)) and car.get_location().distance(place) < 0.5)


def test_without_that_map_there_is_no_replay(quiet: SyncWorld, tmp_path: Path):
    path = tmp_path / "elsewhere.log"
    path.write_bytes(recording(frame(1, -1.0, 0.0, counted(2)), town="Atlantis"))
    answer = quiet.client.replay_file(str(path), 0.0, 0.0, 0)
    assert answer == f"Replaying File: {path}\nCould not load mapfile Atlantis\n"
