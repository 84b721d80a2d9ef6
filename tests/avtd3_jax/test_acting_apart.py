"""Environments that act for themselves, through the whole loop: what the replay holds, and how old actions are."""

import contextlib
import pickle
import random
from types import SimpleNamespace

import id_frames
import jax
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import VECTOR

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.errors import NonFiniteError
from avtd3_jax.policies.handed_over import HandedOver
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.schema import ExplorationConfig, ScheduleConfig
from avtd3_jax.training.acting_apart import ActingApart
from avtd3_jax.training.exploration import EpisodeNoise
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.trainer import Trainer
from envloop.errors import SimulatorError, TaskError
from envloop.make import spaces_of
from envloop.workers.actor import EnvActor
from envloop.workers.chunks import packed, unpacked
from envloop.workers.fleet import FleetConfig
from envloop.workers.messages import Lost, Ready
from envloop.workers.pool import EnvPool

CHUNK = 5
SPECS = [spec.from_space(space) for spec, space in zip((ObsSpec, ActionSpec), spaces_of(id_frames.CONFIG), strict=True)]


class ActorHere:
    """The actor in this process; its answers come one or more turns late, or never: then it has died."""

    phase = ""
    rng = random.Random(0)
    deaths = 0.0  # share of the requests that kill it

    def __init__(self, config):
        self.config, self.ready, self.actor, self.request, self.waiting_for = config, None, None, (), ""

    @classmethod
    def answered(cls, asked, timeout_s):
        return [env for env in asked if cls.rng.random() < 0.5]

    @property
    def running(self):
        return self.actor is not None

    def start(self):
        self.actor, self.request, self.waiting_for = EnvActor(), (), "start"

    def ask(self, name, *arguments):
        self.request, self.waiting_for = (name, *arguments), name

    def receive(self):
        name, self.waiting_for = self.waiting_for, ""
        if name == "start":
            self.ready = self.actor.make(0, self.config, FleetConfig(), id_frames.Policy)
            assert isinstance(self.ready, Ready), self.ready
            return self.ready
        if name == "drive" and self.rng.random() < self.deaths:
            raise SimulatorError("the actor is gone")
        return self.actor.ask(0, *self.request)

    def wait(self):
        reply = self.receive()
        assert not isinstance(reply, Lost)
        return reply

    def overdue(self):
        return False

    def hang_up(self):
        pass

    def end(self, grace_s=0.0):
        self.actor, self.waiting_for = None, ""


class Counting:
    """A learner that looks at batches and does nothing else."""

    updates_per_dispatch = 1
    state = None

    def __init__(self, replay):
        self.replay, self.updates = replay, 0

    def update(self, number):
        assert number == self.updates
        self.updates += 1
        id_frames.check(self.replay.sample(1))

    def settle(self):
        pass

    def get_metrics(self):
        return {}


class Run:
    """A trainer over `count` environments, without a folder."""

    def __init__(self, count=3, total=150, exploration=30, max_lag=20, publish=lambda values: values):
        self.replay = FrameReplay(*SPECS, 3000, count, n_step=id_frames.N_STEP)
        self.learner, self.lags, self.explored = Counting(self.replay), [], 0
        self.apart = ActingApart(count, CHUNK, max_lag, 1.0, self.parameters, publish, self.told)
        self.sentences = []
        add = self.replay.add

        def watched(action, *rest):
            if action[1] == 1.0:
                self.explored += 1
            else:
                self.lags.append(self.learner.updates - round(float(action[1]) * 1e6))
            add(action, *rest)

        self.replay.add = watched
        schedule = ScheduleConfig(total_steps=total, exploration_steps=exploration, eval_every=0)
        silent = SimpleNamespace(
            start=lambda *_: None, stepped=lambda *_: None, ended=lambda *_: None, interruption=contextlib.nullcontext
        )
        self.trainer = Trainer(
            schedule=schedule,
            exploration=ExplorationConfig(),
            seed=0,
            learner=self.learner,
            replay=self.replay,
            info_keys=SimpleNamespace(reward_terms_key="", episode_metrics_key="", speed_key=""),
            log=SimpleNamespace(episode=lambda *_: None, scalars=lambda *_: None),
            telemetry=silent,
            checkpoints=SimpleNamespace(take=lambda *_, write: False, save=lambda *_: None, flush=lambda: None),
            timer=lambda phase: contextlib.nullcontext(),
            evaluate=lambda policy, step: {},
            description={},
            monitors=Monitors(1000, 0.99, ("a", "b"), self.told),
            clock=lambda: 0.0,
            report=self.told,
            apart=self.apart,
        )
        self.pool = EnvPool([id_frames.CONFIG] * count, kind=ActorHere)
        for member in self.pool.members:
            member._config = SimpleNamespace(restart_attempts=10**6, backoff_s=0.0, backoff_max_s=0.0)

    def told(self, sentence):
        self.sentences.append(sentence)

    def parameters(self):
        return {"version": np.array([self.learner.updates], np.float64)}

    def drive(self, turns=10**6):
        left = iter(range(turns))
        with contextlib.closing(self.pool):
            self.trainer.run(self.pool, lambda: next(left, None) is None)


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    monkeypatch.setattr("envloop.workers.pool._POLL_S", 0.0)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 4),
    max_lag=st.sampled_from([1, 3, 20, 1000]),
    deaths=st.sampled_from([0.0, 0.2]),
    losses=st.sampled_from([0.0, 0.05]),
)
def test_the_replay_holds_what_was_driven_and_no_action_is_too_old(seed, count, max_lag, deaths, losses):
    rng = random.Random(seed)
    ActorHere.rng, ActorHere.deaths = rng, deaths
    id_frames.IdFrames.losses = iter(lambda: rng.random() < losses, None)
    run = Run(count, max_lag=max_lag)
    run.drive()
    assert run.trainer.counters.step == len(run.replay) == 150
    assert run.trainer.counters.update == run.learner.updates == 120, "every update that was due is made in the end"
    assert 30 - CHUNK * count < run.explored <= 30, "a chunk that an episode ends is not made up for"
    assert max(run.lags) <= max_lag
    assert min(run.lags) >= 0
    id_frames.check(run.replay.sample(400))


def test_a_chunk_is_sent_once_its_time_is_over(monkeypatch):
    monkeypatch.setattr("envloop.workers.driver.CHUNK_S", 0.0)
    ActorHere.rng, ActorHere.deaths = random.Random(0), 0.0
    run = Run(total=60, exploration=30)
    arrived, came = run.apart.arrived, []
    run.apart.arrived = lambda answers, update: (came.append(answers.transitions), arrived(answers, update))
    run.drive()
    assert len(run.replay) == 60
    assert {len({made.environment for made in some}) - len(some) for some in came} == {0}, "one step of each at a time"


@pytest.mark.parametrize(("max_lag", "updates_per_step", "steps"), [(200, 1.0, 25), (200, 0.25, 64), (3, 1.0, 1)])
def test_chunks_are_as_short_as_the_lag_asks_for(max_lag, updates_per_step, steps):
    asked = []
    envs = SimpleNamespace(drive=lambda environment, **what: asked.append(what["steps"]))
    apart = ActingApart(8, 64, max_lag, updates_per_step, dict, lambda values: values, print)
    apart.ask(envs, dict.fromkeys(range(8), 0), exploring=100, left=10_000, update=0, due=0)
    assert asked[:3] == [64, 36, steps], "exploring needs no parameters"
    assert set(asked[2:]) == {steps}


def test_what_is_told_of_lag_and_queues():
    ActorHere.rng, ActorHere.deaths = random.Random(0), 0.0
    run = Run(max_lag=10)
    run.drive()
    told = run.apart.collect()
    assert told["lag_updates_max"] == max(run.lags)
    assert 0.0 < told["lag_updates"] <= told["lag_updates_max"] <= 10.0
    assert 0.0 < told["environments_busy"] <= 1.0
    assert told["updates_due"] > 0.0
    assert told["parameters_age_s"] - told["age_s"] >= 0.0
    assert run.apart.collect() == {}


def test_without_room_for_parameters_older_ones_act_and_then_everyone_waits():
    ActorHere.rng, ActorHere.deaths = random.Random(0), 0.0
    room = iter([True] * 2)
    run = Run(max_lag=8, publish=lambda values: values if next(room, False) else None)
    run.drive(turns=2000)
    assert run.trainer.counters.step < 150
    assert run.apart.under_way == 0
    assert max(run.lags) <= 8
    assert len([told for told in run.sentences if "no room" in told]) == 1


def test_parameters_that_have_run_away_are_told_of():
    ActorHere.rng, ActorHere.deaths = random.Random(0), 0.0
    run = Run()
    run.apart._parameters = lambda: {"group": {"kernel": np.array([1.0, np.nan])}}
    with pytest.raises(NonFiniteError, match="The policy's parameters are non-finite"):
        run.drive()


def test_a_policy_handed_over_acts_as_the_learner_would(monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    agent = TD3(VECTOR, ActionSpec(2), TD3Config(hidden=(8, 8)))
    params = [jax.tree.map(np.asarray, agent.acting_params(agent.init(seed).params)) for seed in (1, 2)]
    handed = HandedOver("td3", agent.config, ExplorationConfig(), seed=5)
    policy = pickle.loads(pickle.dumps(handed))(
        spaces.Box(-9, 9, (5,), np.float32), spaces.Box(-1, 1, (2,), np.float32)
    )
    seen = np.arange(5, dtype=np.float32)
    for episode, version in ((3, 0), (3, 1), (4, 1)):
        noise = EpisodeNoise(ExplorationConfig(), 2, 5, episode)
        if version:
            noise.perturb(np.zeros(2, np.float32)) if episode == 3 else None
        policy.load(version, params[version])
        action, own = policy.act(seen, episode, explore=False)
        np.testing.assert_array_equal(own, agent.act(params[version], seen))
        np.testing.assert_array_equal(action, noise.perturb(own))
    explored, own = policy.act(seen, 9, explore=True)
    np.testing.assert_array_equal(explored, EpisodeNoise(ExplorationConfig(), 2, 5, 9).explore())
    assert own is None


def stack(*identities):
    return {"image": np.stack([id_frames.frame_of(identity) for identity in identities])}


def test_a_chunk_holds_one_frame_a_step_and_a_stack_that_skips_is_refused():
    seen = [stack(1, 1, 2), stack(1, 2, 3), stack(2, 3, 4)]
    parts = packed(stack(1, 1, 1), seen)
    assert parts["image"].shape == (3, 4, 4)
    for made, wanted in zip(unpacked(stack(1, 1, 1), parts), seen, strict=True):
        np.testing.assert_array_equal(made["image"], wanted["image"])
    plain = [np.array([1.0]), np.array([2.0])]
    np.testing.assert_array_equal(unpacked(plain[0], packed(plain[0], plain)), plain)
    assert unpacked(stack(1, 1, 1), packed(stack(1, 1, 1), [])) == []
    with pytest.raises(TaskError, match="does not go on with one frame"):
        packed(stack(1, 1, 1), [stack(1, 2, 3)])
