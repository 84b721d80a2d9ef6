"""The env loop outlives its simulator: real servers are killed and stopped."""

import itertools
import os
import resource
import signal
import threading

import numpy as np
import pytest
from settings_of_record import of_record

from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError
from envloop.rollout import rollout

DRIVE = np.array([0.0, 0.7], np.float32)


@pytest.fixture
def own_env():
    """An environment whose server the test may kill."""
    config = of_record(simulator=SimulatorConfig(timeout_s=1.0), random_start_fraction=0.0)
    env = CarlaEnv(config)
    yield env
    env.close()


def seed_of(episode: int) -> int:
    return 100 + episode


def test_transitions_chain_within_an_episode(env):
    transitions = list(itertools.islice(rollout(env, lambda _: DRIVE, seed_of), 40))
    for before, after in itertools.pairwise(transitions):
        if before.terminated or before.truncated:
            assert (after.episode, after.step) == (before.episode + 1, 0)
        else:
            assert (after.episode, after.step) == (before.episode, before.step + 1)
            assert after.observation is before.next_observation


def test_observations_are_not_overwritten_later(env):
    transitions = list(itertools.islice(rollout(env, lambda _: DRIVE, seed_of), 10))
    for before, after in itertools.pairwise(transitions):
        assert np.array_equal(before.next_observation["image"][3], after.next_observation["image"][2])


def test_a_rollout_goes_on_where_a_resumed_run_says(env):
    def full_lock(_):
        return np.array([0.6, 0.8], np.float32)

    whole = [t for t in itertools.islice(rollout(env, full_lock, seed_of), 150) if t.episode == 1]
    resumed = list(itertools.islice(rollout(env, full_lock, seed_of, first_episode=1), 20))
    for a, b in zip(whole, resumed, strict=False):
        assert (a.episode, a.step, a.reward) == (b.episode, b.step, b.reward)
        assert np.array_equal(a.next_observation["image"], b.next_observation["image"])


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_server_costs_the_transition_under_way_and_nothing_else(own_env, blow):
    torn, transitions = [], []
    loop = rollout(own_env, lambda _: DRIVE, seed_of, on_torn=torn.append)
    for transition in itertools.islice(loop, 30):
        transitions.append(transition)
        if len(transitions) == 12:
            os.kill(own_env.simulator.server_pid, blow)
    assert [(t.episode, t.step) for t in transitions] == [(0, s) for s in range(12)] + [(1, s) for s in range(18)]
    assert not any(t.terminated or t.truncated for t in transitions)
    assert [(t.episode, t.steps) for t in torn] == [(0, 12)]
    assert "stopped answering" in torn[0].error
    # The new server's episode is the one that an unharmed server would have driven.
    again = list(itertools.islice(rollout(own_env, lambda _: DRIVE, seed_of, first_episode=1), 18))
    for a, b in zip(transitions[12:], again, strict=True):
        assert np.array_equal(a.next_observation["image"], b.next_observation["image"])
        assert a.reward == b.reward


def test_a_server_lost_between_episodes_is_replaced_too(own_env):
    loop = rollout(own_env, lambda _: np.array([1.0, 1.0], np.float32), seed_of)
    for transition in loop:
        if transition.terminated:
            break
    os.kill(own_env.simulator.server_pid, signal.SIGKILL)
    following = next(loop)
    assert (following.episode, following.step) == (2, 0)  # episode 1 could not begin


def test_a_machine_without_another_file_is_waited_for():
    config = SimulatorConfig(timeout_s=1.0, backoff_s=0.2, backoff_max_s=0.2, restart_attempts=100)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    torn, transitions = [], []
    with CarlaEnv(of_record(simulator=config)) as env:
        try:
            for transition in itertools.islice(rollout(env, lambda _: DRIVE, seed_of, on_torn=torn.append), 12):
                transitions.append(transition)
                if len(transitions) == 6:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (6, before[1]))
                    os.kill(env.simulator.server_pid, signal.SIGKILL)
                    threading.Timer(2.0, resource.setrlimit, (resource.RLIMIT_NOFILE, before)).start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [t.episode for t in transitions] == [0] * 6 + [1] * 6
    assert torn[0].recovery_s > 0.5  # a time-out after the kill, the limit still held


def test_traffic_survives_a_lost_server():
    config = of_record(simulator=SimulatorConfig(timeout_s=1.0), scenario="0", random_start_fraction=0.0)
    env = CarlaEnv(config)
    transitions = []
    for transition in itertools.islice(rollout(env, lambda _: DRIVE, seed_of), 20):
        transitions.append(transition)
        if len(transitions) == 8:
            os.kill(env.simulator.server_pid, signal.SIGKILL)
    assert [t.episode for t in transitions] == [0] * 8 + [1] * 12
    assert len(env.npcs) == 20
    env.close()


def test_a_hung_external_server_is_used_again_when_it_wakes(own_env):
    server = own_env.simulator.server_pid
    endpoint = SimulatorConfig(endpoint=own_env.simulator.address, backoff_s=0.1, backoff_max_s=0.2, timeout_s=0.5)
    own_env._ego.close()  # the visitor below is to have the server for itself
    with CarlaEnv(of_record(simulator=endpoint)) as visitor:
        transitions = []
        for transition in itertools.islice(rollout(visitor, lambda _: DRIVE, seed_of), 20):
            transitions.append(transition)
            if len(transitions) == 8:
                os.kill(server, signal.SIGSTOP)
                threading.Timer(1.0, os.kill, (server, signal.SIGCONT)).start()
        assert [t.episode for t in transitions] == [0] * 8 + [1] * 12
        assert visitor.simulator.generation == 2
        # What the first connection had made is gone.
        assert len(visitor.simulator.world.get_actors().filter("vehicle.*")) == 1
        assert len(visitor.simulator.world.get_actors().filter("sensor.camera.*")) == 1


def test_repeated_kills_leak_neither_threads_nor_files(own_env):
    used = []
    for episode in range(3):
        own_env.reset(seed=episode)
        os.kill(own_env.simulator.server_pid, signal.SIGKILL)
        with pytest.raises(SimulatorError):
            own_env.step(DRIVE)
        own_env.recover()
        used.append((len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))))
    assert used[2] == used[1]


def test_a_simulator_that_stays_away_ends_the_rollout(own_env):
    config = SimulatorConfig(
        endpoint=own_env.simulator.address, restart_attempts=2, backoff_s=0.05, backoff_max_s=0.05, timeout_s=0.5
    )
    pid = own_env.simulator.server_pid
    own_env._ego.close()  # the visitor below is to have the server for itself
    visitor = CarlaEnv(of_record(simulator=config))
    loop = rollout(visitor, lambda _: DRIVE, seed_of)
    next(loop)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match="did not come back in 2 attempts"):
        list(itertools.islice(loop, 5))
    visitor.close()
