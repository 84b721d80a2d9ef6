"""Only the simulator's own failures count as its loss; a mistake in our code leaves as it is."""

import os
import signal
import traceback
import weakref

import numpy as np
import pytest

from envloop import env as env_module
from envloop.client.minicarla_process import EmbeddedServer
from envloop.config import EnvConfig, SimulatorConfig
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError
from envloop.task.episode import Episode

DRIVE = np.array([0.0, 0.5], np.float32)
MISTAKES = [RuntimeError("bug"), ValueError("bug"), OSError("bug"), AttributeError("bug")]


@pytest.fixture
def own_env():
    """An environment whose server the test may kill."""
    with CarlaEnv(EnvConfig(simulator=SimulatorConfig(timeout_s=3.0))) as env:
        yield env


def raising(error: Exception):
    def mistaken(*_, **__):
        raise error

    return mistaken


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_in_a_step_leaves_with_its_traceback_and_restarts_nothing(own_env, monkeypatch, mistake):
    own_env.reset(seed=1)
    before = own_env.simulator.generation, own_env.simulator.server_pid
    with monkeypatch.context() as patch:
        patch.setattr(Episode, "tick", raising(mistake))
        with pytest.raises(type(mistake)) as caught:
            own_env.step(DRIVE)
    assert caught.value is mistake
    assert "mistaken" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    own_env.reset(seed=2)
    own_env.step(DRIVE)
    assert (own_env.simulator.generation, own_env.simulator.server_pid) == before


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda error: type(error).__name__)
def test_so_does_one_in_a_reset(own_env, monkeypatch, mistake):
    before = own_env.simulator.generation, own_env.simulator.server_pid
    with monkeypatch.context() as patch:
        patch.setattr(env_module, "sample_initial_state", raising(mistake))
        with pytest.raises(type(mistake)) as caught:
            own_env.reset(seed=1)
    assert caught.value is mistake
    own_env.reset(seed=1)
    assert (own_env.simulator.generation, own_env.simulator.server_pid) == before


def test_one_in_the_traffic_managers_process_comes_over_with_its_traceback(make_env):
    env = make_env(scenario="0")
    env.reset(seed=1)
    manager, generation = env._traffic._process, env.simulator.generation
    with pytest.raises(
        RuntimeError, match=r"Traceback[\s\S]*list index out of range|Traceback[\s\S]*IndexError"
    ) as error:
        manager.call("spawn", 1, [10**6], 1, 20.0)
    assert not isinstance(error.value, SimulatorError)
    with pytest.raises(RuntimeError, match=r"Traceback[\s\S]*ApplyVehicleControl") as error:
        manager.call("tick", 10.0, ["no number", 0.0, 0.0, 0.0])
    assert not isinstance(error.value, SimulatorError)
    assert env.simulator.generation == generation
    env.reset(seed=2)
    env.step(DRIVE)
    assert env._traffic._process is manager


def test_a_killed_server_is_a_lost_simulator_and_comes_back(own_env):
    own_env.reset(seed=1)
    before = own_env.simulator.server_pid
    os.kill(before, signal.SIGKILL)
    with pytest.raises(SimulatorError, match="stopped answering"):
        own_env.step(DRIVE)
    own_env.reset(seed=2)
    own_env.step(DRIVE)
    assert own_env.simulator.generation == 2
    assert own_env.simulator.server_pid != before


def test_who_holds_the_error_does_not_hold_the_lost_client(own_env):
    own_env.reset(seed=1)
    car, world = weakref.ref(own_env._ego), weakref.ref(own_env._traffic)
    os.kill(own_env.simulator.server_pid, signal.SIGKILL)
    with pytest.raises(SimulatorError) as caught:
        own_env.step(DRIVE)
    own_env.recover()
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert car() is world() is None


def test_a_process_that_the_machine_cannot_start_is_a_lost_simulator(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="could not be started"):
        EmbeddedServer(["--town", "Town01"], 10.0, str(tmp_path / "file" / "logs"))
