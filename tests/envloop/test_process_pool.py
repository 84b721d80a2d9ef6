"""Several environments in processes of their own: real processes are killed and stopped while the others drive on."""

import dataclasses
import itertools
import os
import re
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from settings_of_record import of_record

from envloop.config import SimulatorConfig
from envloop.errors import SimulatorError
from envloop.workers.pool import EnvPool
from envloop.workers.process import CrashedError, ProcessEnv

DRIVE = np.array([0.0, 0.6], np.float32)
SIMULATOR = SimulatorConfig(timeout_s=3.0, backoff_s=0.1, backoff_max_s=0.2)  # a busy machine may stall a server
CONFIG = of_record(simulator=SIMULATOR, random_start_fraction=0.0)
NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def pool():
    """Two environments; every test leaves both of them driving."""
    made = EnvPool([CONFIG] * 2)
    processes = family(made)
    assert len(processes) == 4
    yield made
    processes |= family(made)
    made.close()
    _, alive = psutil.wait_procs(list(processes), timeout=60)
    assert not alive, "processes outlived their pool"


def family(pool):
    """All workers and their servers."""
    workers = [psutil.Process(member.backend.pid) for member in pool.members]
    return {process for worker in workers for process in [worker, *worker.children(recursive=True)]}


def server_of(member):
    (server,) = psutil.Process(member.backend.pid).children()
    return server


@dataclasses.dataclass
class Step:
    """A transition, with the number of its episode and of its step within it."""

    episode: int
    step: int
    made: Any

    def __getattr__(self, name):
        return getattr(self.made, name)


class Drive:
    """Drives a pool and remembers what happened; the lives of episodes are numbered as they begin."""

    def __init__(self, pool):
        self.pool = pool
        self.begun, self.torn, self.lost = [], [], []
        self.transitions = []
        self.running = {}  # environment -> (episode, next step)

    def turn(self):
        for environment in self.pool.idle():
            episode = len(self.begun)
            self.begun.append((episode, environment))
            self.running[environment] = [episode, 0]
            self.pool.reset(environment, seed=100 + episode)
        self.pool.step(dict.fromkeys(self.pool.waiting(), DRIVE))
        answers = self.pool.receive()
        self.torn += [(*self.running[torn.environment], torn) for torn in answers.torn]
        self.lost += answers.lost
        for transition in answers.transitions:
            running = self.running[transition.environment]
            self.transitions.append(Step(*running, transition))
            running[1] += 1

    def until(self, enough, limit_s=120.0):
        deadline = time.monotonic() + limit_s
        while not enough():
            self.turn()
            assert time.monotonic() < deadline
        return self

    def steps(self, environment):
        return [t for t in self.transitions if t.environment == environment]


@pytest.fixture
def drive(pool):
    """A drive that both environments have joined; it ends with nothing asked of either."""
    made = Drive(pool)
    yield made.until(lambda: made.steps(0) and made.steps(1))
    for member in pool.members:
        member.interrupted()


def check_chains(transitions):
    """Within each environment whole episodes, unless torn, and no transition twice."""
    by_environment = defaultdict(list)
    for transition in transitions:
        by_environment[transition.environment].append(transition)
    for own in by_environment.values():
        for before, after in itertools.pairwise(own):
            if after.episode == before.episode:
                assert after.step == before.step + 1
                assert np.array_equal(before.next_observation["image"], after.observation["image"])
                assert np.array_equal(after.observation["image"][1:], after.next_observation["image"][:-1])
            else:
                assert after.step == 0
                assert after.episode > before.episode


def test_transitions_chain_within_each_environment_and_episodes_are_numbered_once(pool, drive):
    drive.until(lambda: len(drive.begun) >= 4)
    check_chains(drive.transitions)
    assert [episode for episode, _ in drive.begun] == list(range(len(drive.begun)))
    assert {environment for _, environment in drive.begun} == {0, 1}
    ended = [t for t in drive.transitions if t.terminated or t.truncated]
    assert all("episode_metrics" in t.info for t in ended)


def test_an_episode_is_its_seed_s_whoever_drives_it(pool, drive, env):
    first = [
        t for t in drive.until(lambda: len(drive.steps(1)) >= 20).steps(1) if t.episode == drive.steps(1)[0].episode
    ]
    observation, _ = env.reset(seed=100 + first[0].episode, options={"start": "beginning"})
    for transition in first:
        assert np.array_equal(transition.observation["image"], observation["image"])
        observation, reward, *_ = env.step(transition.action)
        assert reward == transition.reward


def test_the_processes_know_no_jax(pool):
    for process in family(pool):
        assert "jax" not in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.parametrize(
    ("whose", "blow"),
    [
        ("server", signal.SIGKILL),
        ("server", signal.SIGSTOP),
        ("process", signal.SIGKILL),
        ("process", signal.SIGSTOP),
    ],
)
def test_one_that_dies_or_hangs_never_stops_the_other(pool, drive, whose, blow):
    member = pool.members[0]
    struck = server_of(member).pid if whose == "server" else member.backend.pid
    before = len(drive.steps(0))
    others = len(drive.steps(1))
    os.kill(struck, blow)
    drive.until(lambda: drive.lost)
    assert drive.lost[0].environment == 0
    drive.until(lambda: len(drive.steps(0)) >= before + 12)
    assert len(drive.steps(1)) > others + 20, "the other one waited"
    check_chains(drive.transitions)
    ((episode, steps, torn),) = drive.torn
    assert torn.environment == 0
    assert [t.step for t in drive.transitions if t.episode == episode] == list(range(steps))
    assert not [t for t in drive.transitions if t.episode == episode and (t.terminated or t.truncated)]
    if whose == "process" or blow == signal.SIGKILL:
        assert not psutil.pid_exists(struck)


def test_the_evaluation_environment_drives_without_disturbing_the_others(pool, drive):
    drive.until(lambda: drive.transitions[-1].terminated or drive.transitions[-1].truncated)
    ended = drive.transitions[-1]
    spare = pool.evaluation_env()
    first, told = spare.reset(seed=7, options={"start": "beginning"})
    assert told["ego"]["x"] == pytest.approx(317.7, abs=6.0), "info comes over, as from an environment in this process"
    rewards = [spare.step(DRIVE)[1] for _ in range(5)]
    again, _ = spare.reset(seed=7, options={"start": "beginning"})
    assert np.array_equal(first["image"], again["image"])
    assert [spare.step(DRIVE)[1] for _ in range(5)] == rewards
    drive.until(lambda: drive.steps(ended.environment)[-1].episode > ended.episode)
    check_chains(drive.transitions)


def test_an_evaluation_environment_whose_process_dies_says_so_and_comes_back(pool):
    spare = pool.evaluation_env()
    spare.reset(seed=7, options={"start": "beginning"})
    os.kill(pool.members[0].backend.pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match=r"process .* ended"):
        spare.step(DRIVE)
    spare.reset(seed=7, options={"start": "beginning"})
    spare.step(DRIVE)


def test_a_pool_that_cannot_start_says_why_and_leaves_nothing_behind():
    children = set(psutil.Process().children(recursive=True))
    with pytest.raises(SimulatorError, match=re.escape(NOBODY)):
        EnvPool([CONFIG, of_record(simulator=SimulatorConfig(endpoint=NOBODY, timeout_s=0.5))])
    with pytest.raises(ValueError, match="route is 'nowhere'"):
        EnvPool([of_record(route="nowhere")])
    _, alive = psutil.wait_procs(list(set(psutil.Process().children(recursive=True)) - children), timeout=60)
    assert not alive


def test_without_any_environment_left_the_run_ends():
    simulator = dataclasses.replace(SIMULATOR, restart_attempts=1)
    pool = EnvPool([of_record(simulator=simulator)], kind=ProcessEnv)
    try:
        drive = Drive(pool)
        drive.until(lambda: drive.transitions)
        away = of_record(simulator=dataclasses.replace(simulator, endpoint=NOBODY))
        pool.members[0].backend.config = away  # what the next process will look for
        os.kill(pool.members[0].backend.pid, signal.SIGKILL)
        with pytest.raises(SimulatorError, match="No environment can be brought back"):
            drive.until(lambda: False)
    finally:
        pool.close()


def test_a_bug_in_a_process_reaches_the_run_with_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'envloop.workers.worker' in sys.orig_argv:\n"
        "    from envloop.task.episode import Episode\n"
        "    def broken(self, view):\n"
        "        raise RuntimeError('a bug of ours')\n"
        "    Episode.tick = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    pool = EnvPool([CONFIG] * 2)
    try:
        drive = Drive(pool)
        with pytest.raises(CrashedError, match=r"(?s)Traceback .*in broken.*RuntimeError: a bug of ours"):
            drive.until(lambda: False)
        assert not drive.lost
    finally:
        pool.close()
