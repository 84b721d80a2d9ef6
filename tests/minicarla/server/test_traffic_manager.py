"""The wheel's own Traffic Manager on minicarla: it runs in a process of its own, so that its listener dies with it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from server_process import RawRpc, ServerProcess, SyncWorld, held_still, wait_until

from envloop.free_ports import free_ports

SCRIPT = Path(__file__).with_name("traffic_script.py")
LOADING = Path(__file__).with_name("loading_script.py")


def drive(server: ServerProcess, tm_port: int, *options: str) -> dict:
    command = [sys.executable, str(SCRIPT), str(server.port), str(tm_port), *options]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != -signal.SIGSEGV:  # the wheel's own Traffic Manager: seldom, and on busy machines alone
            break
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", ["physics", "hybrid"])
def test_cars_drive_keep_their_lanes_and_stop_at_red(server: ServerProcess, mode: str):
    result = drive(server, free_ports(), "--cars", "12", "--ticks", "700", "--mode", mode)
    assert result["cars"] == 12
    assert result["moved"] >= 10
    assert result["off_lane"] == 0
    assert result["stopped_at_red"] > 50
    assert result["collisions"] == 0


def test_one_seed_one_traffic(server: ServerProcess):
    first, second = (drive(server, free_ports(), "--cars", "6", "--ticks", "200") for _ in range(2))
    assert first["digest"] == second["digest"]


@pytest.mark.parametrize("mode", ["asynchronous", "synchronous"])
def test_worlds_are_loaded_beside_a_traffic_manager(server: ServerProcess, mode: str):
    """Most processes that loaded a dozen ended in a race of the client's own, which the server can keep from it."""
    command = [sys.executable, str(LOADING), str(server.port), str(free_ports()), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(number) for number in range(12)]


def test_registration_ends_with_its_client(server: ServerProcess):
    port = free_ports()
    first, second = RawRpc(server.port), RawRpc(server.port)
    assert first.call("add_traffic_manager_running", ["127.0.0.1", port]) == [[1, True]]
    assert second.call("add_traffic_manager_running", ["127.0.0.1", port]) == [[1, False]]
    assert second.call("is_traffic_manager_running", port) == [[1, True]]
    assert second.call("get_traffic_manager_running", port) == [[1, ["127.0.0.1", port]]]
    first.close()
    assert wait_until(lambda: second.call("is_traffic_manager_running", port) == [[1, False]])
    assert second.call("get_traffic_manager_running", port) == [[1, ["", 0]]]
    second.close()


def test_a_vanished_actor_is_no_error_for_what_traffic_managers_ask(server: ServerProcess):
    rpc = RawRpc(server.port)
    assert rpc.call("get_actor_bounding_box", 12345) == [[1, [[0, 0, 0], [0, 0, 0], [0, 0, 0], 0]]]
    assert rpc.call("set_actor_simulate_physics", 12345, True) == [[False]]
    rpc.close()


def test_tick_waits_for_the_traffic_managers_question(server: ServerProcess, sync: SyncWorld):
    rpc = RawRpc(server.port)
    rpc.call("add_traffic_manager_running", ["127.0.0.1", free_ports()])
    rpc.call("get_vehicle_light_states")
    rpc.call("apply_batch", [], False)
    with held_still(server):  # the tick waits for 20 ms
        tick, version = rpc.send("tick_cue"), rpc.send("version")
        question = rpc.send("get_episode_settings")
    # The question overtakes, for the Traffic Manager asks it while `World.tick` waits; nothing else does.
    assert [rpc.reply()[1] for _ in range(3)] == [question, tick, version]
    rpc.close()


def test_tick_does_not_wait_for_ever_for_a_traffic_manager(server: ServerProcess, sync: SyncWorld):
    rpc = RawRpc(server.port)
    rpc.call("add_traffic_manager_running", ["127.0.0.1", free_ports()])
    rpc.call("get_vehicle_light_states")
    rpc.call("apply_batch", [], False)
    ((kind, frame),) = rpc.call("tick_cue")
    assert kind == 1
    assert rpc.call("tick_cue") == [[1, frame + 1]]
    rpc.close()
