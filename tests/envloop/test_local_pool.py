"""One environment in this process outlives its simulator: real servers are killed and stopped."""

import dataclasses
import itertools
import os
import resource
import signal
import threading

import numpy as np
import pytest

from envloop.config import EnvConfig, SimulatorConfig
from envloop.errors import SimulatorError
from envloop.workers.pool import EnvPool

DRIVE = np.array([0.0, 0.7], np.float32)
IMPATIENT = SimulatorConfig(timeout_s=3.0, backoff_s=0.1, backoff_max_s=0.2)  # a busy machine may stall a server


@pytest.fixture
def make_pool():
    pools = []

    def make(**changes):
        pools.append(EnvPool([EnvConfig(**{"simulator": IMPATIENT, "random_start_fraction": 0.0, **changes})]))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture(scope="module")
def pool():
    made = EnvPool([EnvConfig(random_start_fraction=0.0)])
    yield made
    made.close()


def env_of(pool):
    return pool.members[0].backend.env


class Drive:
    """Drives a pool and remembers what it answers; each transition has its episode and its step."""

    def __init__(self, pool, policy=lambda _: DRIVE, first_episode=0):
        self.pool, self.policy, self.next_episode = pool, policy, first_episode
        self.transitions, self.torn, self.lost = [], [], []
        self.once_lost = None  # called when the simulator is lost
        if pool.members[0].acting:
            pool.members[0].interrupted()

    def steps(self, count, before_each=lambda drive: None):
        target = len(self.transitions) + count
        while len(self.transitions) < target:
            if self.pool.idle():
                self.episode, self.step, self.next_episode = self.next_episode, 0, self.next_episode + 1
                self.pool.reset(0, seed=100 + self.episode)
            if observations := self.pool.waiting():
                before_each(self)
                self.pool.step({0: self.policy(observations[0])})
            answers = self.pool.receive()
            self.torn += answers.torn
            self.lost += answers.lost
            if self.lost and self.once_lost is not None:
                self.once_lost, call = None, self.once_lost
                call()
            for transition in answers.transitions:
                self.transitions.append((self.episode, self.step, transition))
                self.step += 1
        return self.transitions


def strike(pool, at, blow=signal.SIGKILL):
    """Before the step number `at` the server is struck."""

    def before_each(drive):
        if len(drive.transitions) == at and not drive.torn:
            os.kill(env_of(pool).simulator.server_pid, blow)

    return before_each


def test_transitions_chain_within_an_episode(pool):
    for before, after in itertools.pairwise(Drive(pool).steps(40)):
        if before[2].terminated or before[2].truncated:
            assert after[:2] == (before[0] + 1, 0)
        else:
            assert after[:2] == (before[0], before[1] + 1)
            assert after[2].observation is before[2].next_observation


def test_observations_are_not_overwritten_later(pool):
    for (_, _, before), (_, _, after) in itertools.pairwise(Drive(pool).steps(10)):
        assert np.array_equal(before.next_observation["image"][3], after.next_observation["image"][2])


def test_a_drive_goes_on_where_a_resumed_run_says(pool):
    def full_lock(_):
        return np.array([0.6, 0.8], np.float32)

    whole = [t for t in Drive(pool, full_lock).steps(150) if t[0] == 1]
    resumed = Drive(pool, full_lock, first_episode=1).steps(20)
    for a, b in zip(whole, resumed, strict=False):
        assert (*a[:2], a[2].reward) == (*b[:2], b[2].reward)
        assert np.array_equal(a[2].next_observation["image"], b[2].next_observation["image"])


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_server_costs_the_transition_under_way_and_nothing_else(make_pool, blow):
    pool = make_pool()
    drive = Drive(pool)
    transitions = drive.steps(30, strike(pool, 12, blow))
    assert [t[:2] for t in transitions] == [(0, s) for s in range(12)] + [(1, s) for s in range(18)]
    assert not any(t.terminated or t.truncated for _, _, t in transitions)
    assert [torn.environment for torn in drive.torn] == [0]
    assert "stopped answering" in drive.torn[0].error
    assert [loss.error for loss in drive.lost] == [drive.torn[0].error]
    # The new server's episode is the one that an unharmed server would have driven.
    again = Drive(pool, first_episode=1).steps(18)
    for (_, _, a), (_, _, b) in zip(transitions[12:], again, strict=True):
        assert np.array_equal(a.next_observation["image"], b.next_observation["image"])
        assert a.reward == b.reward


def test_a_server_lost_between_episodes_is_replaced_too(make_pool):
    pool = make_pool()
    drive = Drive(pool, lambda _: np.array([1.0, 1.0], np.float32))
    while not (drive.transitions and drive.transitions[-1][2].terminated):
        drive.steps(1)
    os.kill(env_of(pool).simulator.server_pid, signal.SIGKILL)
    assert drive.steps(1)[-1][:2] == (2, 0)  # episode 1 could not begin


def test_a_machine_without_another_file_is_waited_for(make_pool):
    simulator = dataclasses.replace(IMPATIENT, restart_attempts=100)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    pool = make_pool(simulator=simulator)
    drive = Drive(pool)
    drive.once_lost = threading.Timer(1.0, resource.setrlimit, (resource.RLIMIT_NOFILE, before)).start

    def before_each(drive):
        if len(drive.transitions) == 6 and not drive.torn:
            resource.setrlimit(resource.RLIMIT_NOFILE, (6, before[1]))
            os.kill(env_of(pool).simulator.server_pid, signal.SIGKILL)

    try:
        transitions = drive.steps(12, before_each)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [t[0] for t in transitions] == [0] * 6 + [1] * 6
    assert drive.torn[0].recovery_s > 0.5  # the limit still held


def test_traffic_survives_a_lost_server(make_pool):
    pool = make_pool(scenario="0")
    transitions = Drive(pool).steps(20, strike(pool, 8))
    assert [t[0] for t in transitions] == [0] * 8 + [1] * 12
    assert len(env_of(pool).npcs) == 20


def test_a_simulator_that_stays_away_ends_the_drive(make_pool):
    served = make_pool()
    env = env_of(served)
    config = dataclasses.replace(IMPATIENT, endpoint=env.simulator.address, restart_attempts=2)
    env._ego.close()  # the visitor below is to have the server for itself
    pid = env.simulator.server_pid
    visitor = Drive(make_pool(simulator=config))
    visitor.steps(1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match="No environment can be brought back"):
        visitor.steps(5)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), OSError("a bug")])
def test_a_bug_of_ours_is_never_answered_by_starting_the_simulator_anew(make_pool, monkeypatch, error):
    pool = make_pool()
    server = env_of(pool).simulator.server_pid
    drive = Drive(pool)
    drive.steps(3)

    def broken(self, view):
        raise error

    monkeypatch.setattr("envloop.task.episode.Episode.tick", broken)
    with pytest.raises(type(error), match="a bug") as raised:
        drive.steps(1)
    assert raised.value is error
    assert raised.traceback[-1].name == "broken"
    assert env_of(pool).simulator.server_pid == server
    assert not drive.torn


def test_a_hung_external_server_is_used_again_when_it_wakes(make_pool):
    env = env_of(make_pool())
    server = env.simulator.server_pid
    endpoint = dataclasses.replace(IMPATIENT, endpoint=env.simulator.address)
    env._ego.close()  # the visitor below is to have the server for itself
    pool = make_pool(simulator=endpoint)
    visitor = Drive(pool)
    visitor.once_lost = threading.Timer(1.0, os.kill, (server, signal.SIGCONT)).start

    def before_each(drive):
        if len(drive.transitions) == 8 and not drive.torn:
            os.kill(server, signal.SIGSTOP)

    transitions = visitor.steps(20, before_each)
    assert [t[0] for t in transitions] == [0] * 8 + [1] * 12
    assert env_of(pool).simulator.generation == 2
    # What the first connection had made is gone.
    assert len(env_of(pool).simulator.world.get_actors().filter("vehicle.*")) == 1
    assert len(env_of(pool).simulator.world.get_actors().filter("sensor.camera.*")) == 1


def test_repeated_kills_leak_neither_threads_nor_files(make_pool):
    env = env_of(make_pool())
    threads, files = [], []
    for episode in range(6):
        env.reset(seed=episode)
        os.kill(env.simulator.server_pid, signal.SIGKILL)
        with pytest.raises(SimulatorError):
            env.step(DRIVE)
        env.recover()
        threads.append(len(os.listdir("/proc/self/task")))
        files.append(len(os.listdir("/proc/self/fd")))
    # A thread of a client that is gone ends in its own time, so single counts differ by one; a leak adds up.
    assert min(threads[4:]) <= max(threads[1:3]), threads
    assert min(files[4:]) <= max(files[1:3]), files
