"""Two stock clients in two processes: one ticks, both see; what happens to one does not happen to the other."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import carla
from processes import started
from server_process import RawRpc, ServerProcess, SyncWorld, running_server, synchronous, wait_until

SPECTATOR = Path(__file__).with_name("watching_script.py")


@contextlib.contextmanager
def watcher(server: ServerProcess, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SPECTATOR), str(server.port), *options]
    with started(command, stdin=subprocess.PIPE, stderr=None) as process:
        assert process.stdout.readline().strip() == "ready"
        yield process


def test_one_ticks_and_both_see(server: ServerProcess, sync: SyncWorld):
    """Frames, times, actors and a car's place: the same numbers in both processes."""
    car = sync.car()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    seen = {}
    with watcher(server, "--frames", "20") as other:
        while other.poll() is None:
            snapshot = sync.world.get_snapshot()
            place = snapshot.find(car.id).get_transform().location
            actors = sorted(state.id for state in snapshot)
            seen[snapshot.frame] = [snapshot.timestamp.elapsed_seconds, actors, [place.x, place.y]]
            time.sleep(0.01)  # the other takes one snapshot after another
            sync.world.tick()
        output, _ = other.communicate(timeout=60)
    watched = json.loads(output.splitlines()[-1])
    frames = [frame for frame, *_ in watched]
    assert frames == sorted(set(frames))
    assert len(frames) == 20
    assert watched[-1][3][str(car.id)] != watched[0][3][str(car.id)], "it drives"
    for frame, seconds, actors, places in watched:
        assert [seconds, actors, places[str(car.id)]] == seen[frame]


def test_what_the_other_spawns_is_there_for_both(server: ServerProcess, sync: SyncWorld):
    with watcher(server, "--spawn", "vehicle.audi.tt") as other:
        spawned = json.loads(other.stdout.readline())
        sync.world.tick()
        assert sync.world.get_actor(spawned).type_id == "vehicle.audi.tt"
        other.communicate("\n", timeout=60)
    assert other.returncode == 0
    sync.world.tick()
    assert sync.world.get_actor(spawned) is not None, "a client's actors outlive it, as on CARLA"


def test_a_client_that_is_killed_in_a_call_disturbs_nobody():
    """It waits for a tick that the dying client has asked for while that tick is held."""
    with running_server("--town", "Town01") as server:
        sync = synchronous(server)
        car = sync.car()
        sensor = sync.spawn("sensor.other.gnss", carla.Transform(), car)
        sync.world.tick()
        for _ in range(3):
            with watcher(server, "--tick-for-ever") as other:
                with RawRpc(server.port) as announcing:
                    ((_, (actor,)),) = announcing.call("get_actors_by_id", [sensor.id])
                    announcing.call("get_sensor_token", int.from_bytes(actor[5][:4], "little"))
                frame = sync.world.get_snapshot().frame
                assert wait_until(lambda frame=frame: sync.world.get_snapshot().frame > frame + 5, 60.0)
                other.send_signal(signal.SIGKILL)
                other.communicate(timeout=20)
            last = sync.world.tick()
            assert [sync.world.tick() for _ in range(5)] == list(range(last + 1, last + 6))
        assert sync.world.get_actor(car.id) is not None
        _, errors = server.stop()
        assert "Traceback" not in errors
