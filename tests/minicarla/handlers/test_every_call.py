"""Every method of every class of the stock client: it works, or it says in plain words that it does not."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess, running_server

from minicarla.handlers import unsupported

SCRIPT = Path(__file__).with_name("every_call_script.py")
JUNCTION = "import carla, sys; c = carla.Client('127.0.0.1', int(sys.argv[1])); c.set_timeout(20.0); w = c.get_world()"


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], str]]:
    """What came of every call ("" where it raised nothing), and the server's log."""
    recordings, files = (str(tmp_path_factory.mktemp(name)) for name in ("recordings", "carlaCache"))
    with running_server("--town", "Town01", "--recordings", recordings) as server:
        command = [sys.executable, str(SCRIPT), str(server.port), files]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0, f"the client ended in {lines[-1]}: {done.stderr}"
        yield {line[0]: line[1] for line in lines if len(line) == 2}, server.stop()[1]


def test_each_works_or_raises_a_sentence_that_names_it(called: tuple[dict[str, str], str]):
    outcomes, _ = called
    assert len(outcomes) > 240
    failed = {call: error for call, error in outcomes.items() if error}
    # The client's own: it has no Python type for what it is asked.
    assert "No to_python (by-value) converter found" in failed.pop("ServerSideSensor.get_ignored_vehicles")
    assert {call: error for call, error in failed.items() if "minicarla does not have" not in error} == {}
    raised = {call for name, call in unsupported.CALLS.items() if name not in unsupported.NOT_AWAITED}
    aliases = {"World.apply_textures_to_object", "World.apply_textures_to_objects"}
    aliases |= {"World.apply_color_texture_to_object", "World.apply_float_color_texture_to_object"}
    assert failed.keys() - aliases <= raised, "the README's list is complete"
    assert raised <= failed.keys(), "and nothing on it works"


def test_what_the_client_does_not_hear_of_is_in_the_log_once(called: tuple[dict[str, str], str]):
    outcomes, log = called
    for call in (unsupported.CALLS[name] for name in unsupported.NOT_AWAITED & unsupported.CALLS.keys()):
        assert outcomes[call] == "", f"{call} raises: it belongs to the refused ones"
        assert log.count(f"({call})") == 1, call


def test_a_junction_that_is_not_there_is_the_clients_own_end(server: ServerProcess):
    """`World.get_traffic_lights_in_junction` follows the null pointer that it finds (LibCarla's client/World.cpp)."""
    there = (
        f"{JUNCTION}; ids = {{start.get_junction().id for start, _ in w.get_map().get_topology() if start.is_junction}}"
        "; assert 1 not in ids; assert any(w.get_traffic_lights_in_junction(number) for number in ids)"
    )
    for script, code in ((there, 0), (f"{JUNCTION}; w.get_traffic_lights_in_junction(1)", -signal.SIGSEGV)):
        done = subprocess.run([sys.executable, "-c", script, str(server.port)], check=False, timeout=200)
        assert done.returncode == code
