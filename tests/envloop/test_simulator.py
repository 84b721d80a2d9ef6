"""One server's life, with real processes."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError


@pytest.fixture
def own():
    """A server that the test may kill."""
    with Simulator(SimulatorConfig(timeout_s=3.0)) as server:
        yield server


def test_an_embedded_server_is_ready_in_synchronous_mode(simulator):
    settings = simulator.world.get_settings()
    assert settings.synchronous_mode
    assert settings.fixed_delta_seconds == pytest.approx(0.05)
    assert simulator.map.name.endswith("Town01")
    before = simulator.world.get_snapshot().frame
    assert simulator.tick() in (before + 1, simulator.world.get_snapshot().frame)
    assert simulator.healthy()


def test_the_identity_says_minicarla_and_where(simulator):
    identity = simulator.identity()
    name, version = identity["simulator"].split()
    assert (name, version[0].isdigit()) == ("minicarla", True)
    assert identity["host"] == simulator.address
    assert identity["map"] == "Town01"
    assert identity["flags"]["synchronous_mode"] is True


def test_a_clean_close_leaves_no_process_and_no_log():
    server = Simulator(SimulatorConfig())
    server.start()
    pid, log = server.server_pid, server.log_path
    server.close()
    assert not psutil.pid_exists(pid)
    assert not log.exists()
    server.close()  # a second time is harmless


def test_a_town_that_does_not_exist_is_one_sentence():
    with pytest.raises(SimulatorError, match=r"did not start.*Atlantis") as error:
        Simulator(SimulatorConfig(town="Atlantis")).start()
    assert "\n" not in str(error.value)


def test_a_broken_xodr_is_one_sentence(tmp_path):
    broken = tmp_path / "broken map.xodr"
    broken.write_text("<OpenDRIVE><road>")
    with pytest.raises(SimulatorError, match="did not start") as error:
        Simulator(SimulatorConfig(xodr=str(broken), log_dir=str(tmp_path))).start()
    assert "\n" not in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_server_that_is_late_is_told_with_the_remedy_and_leaves_nothing(tmp_path):
    with pytest.raises(SimulatorError, match=r"not ready within 0.01 s.*raise sim.start_timeout_s") as error:
        Simulator(SimulatorConfig(start_timeout_s=0.01, log_dir=str(tmp_path))).start()
    assert str(tmp_path) not in str(error.value), "an empty log is removed, so none may be named"
    assert not list(tmp_path.iterdir())


def test_a_killed_server_is_noticed_and_replaced(own):
    old = own.server_pid
    os.kill(old, signal.SIGKILL)
    with pytest.raises(SimulatorError, match="stopped answering"):
        own.tick()
    assert not own.healthy()
    own.restart()
    assert own.server_pid != old
    assert not psutil.pid_exists(old)
    assert own.generation == 2
    assert own.tick() > 0


def test_a_stopped_server_is_noticed_and_replaced(own):
    old = own.server_pid
    os.kill(old, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(SimulatorError, match="stopped answering"):
        own.tick()
    assert time.monotonic() - began < SimulatorConfig().timeout_s
    own.restart()
    assert not psutil.pid_exists(old)
    assert own.healthy()


def test_one_simulator_object_serves_one_environment(env, simulator):
    with pytest.raises(SimulatorError, match="already serves another environment"):
        CarlaEnv(env.config, simulator=simulator)
    env.reset(seed=1)  # and the first one is not disturbed
    env.step(env.action_space.sample())


class TestExternal:
    """HOST:PORT of a server that somebody else started: here the `own` embedded one."""

    @pytest.fixture
    def endpoint(self, own):
        settings = own.world.get_settings()
        settings.synchronous_mode = False
        own.world.apply_settings(settings)
        return own.address

    def test_it_is_used_and_left_as_it_was_found(self, own, endpoint):
        with Simulator(SimulatorConfig(endpoint=endpoint)) as visitor:
            assert visitor.identity()["simulator"].startswith("minicarla")
            assert visitor.identity()["flags"]["endpoint"] == endpoint
            assert visitor.world.get_settings().synchronous_mode
            assert visitor.server_pid is None
        assert psutil.pid_exists(own.server_pid)
        assert not own.world.get_settings().synchronous_mode

    def test_a_second_environment_is_refused_and_the_first_drives_on(self, endpoint):
        config = SimulatorConfig(endpoint=endpoint)
        with Simulator(config) as first, Simulator(config) as connected_before:
            env = CarlaEnv(simulator=first)
            env.reset(seed=3)
            with pytest.raises(SimulatorError, match="already serves another environment"):
                CarlaEnv(simulator=connected_before)
            with pytest.raises(SimulatorError, match=rf"{endpoint} already serves another environment \(process \d+"):
                Simulator(config).start()
            for _ in range(3):
                env.step(env.action_space.sample())
            env.close()

    def test_an_owner_lives_whatever_the_clock_says(self):
        """Its name has what the kernel counts from the machine's start, field 22 of its stat, and no time of day."""
        _, pid, start, _ = Simulator(SimulatorConfig()).owner.split(":")
        assert start == Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]

    def test_what_a_dead_environment_left_is_removed(self, endpoint, own):
        import subprocess
        import sys

        script = (
            "import os; from envloop.config import *; from envloop.env import CarlaEnv;"
            f"env = CarlaEnv(EnvConfig(simulator=SimulatorConfig(endpoint={endpoint!r}), walkers=3));"
            "env.reset(seed=1); os._exit(9)"
        )
        assert subprocess.run([sys.executable, "-c", script], timeout=200).returncode == 9
        with Simulator(SimulatorConfig(endpoint=endpoint)) as visitor:
            visitor.tick()
            for kind in ("vehicle", "sensor", "walker", "controller"):
                assert len(visitor.world.get_actors().filter(f"{kind}.*")) == 0, kind

    def test_reconnecting_backs_off_and_then_says_that_it_gave_up(self, endpoint, own):
        config = SimulatorConfig(
            endpoint=endpoint, restart_attempts=3, backoff_s=0.05, backoff_max_s=0.1, timeout_s=3.0
        )
        with Simulator(config) as visitor:
            os.kill(own.server_pid, signal.SIGKILL)
            with pytest.raises(SimulatorError, match=r"did not come back in 3 attempts\. No simulator listens"):
                visitor.restart()

    def test_it_is_reached_again_after_a_pause(self, endpoint, own):
        config = SimulatorConfig(endpoint=endpoint, backoff_s=0.05, timeout_s=3.0)
        with Simulator(config) as visitor:
            os.kill(own.server_pid, signal.SIGSTOP)
            with pytest.raises(SimulatorError, match="stopped answering"):
                visitor.tick()
            os.kill(own.server_pid, signal.SIGCONT)
            visitor.restart()
            assert visitor.generation == 2
            assert visitor.tick() > 0
