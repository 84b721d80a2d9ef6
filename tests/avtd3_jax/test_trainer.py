"""What is saved at an episode's end is the run as it was then, although its last updates run on beside the reset."""

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
from learner_cases import VECTOR, make_learner, same_bits

from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import NonFiniteError
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.schema import ExplorationConfig, ScheduleConfig
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.logs import RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.telemetry import Telemetry
from avtd3_jax.training.trainer import Trainer

LENGTH = 6  # of every episode
EXPLORATION = 8  # so an update is due with the first action of every later episode
KEYS = SimpleNamespace(reward_terms_key="", episode_metrics_key="", speed_key="")


class WatchedLearner(Learner):
    """Says whether an update is under way."""

    @property
    def updating(self):
        return self._in_flight is not None


class Environments:
    """Counting environments: an observation tells its episode and step. `reset` is told of each reset as it is made."""

    def __init__(self, size=1, reset=lambda episode: None, lengths=None):
        self.size, self.on_reset, self.lengths = size, reset, lengths or [LENGTH] * size
        self.asked, self.observations = {}, {}
        self.episodes = 0
        self.steps = [0] * size
        self.seeds = []

    def idle(self):
        return [i for i in range(self.size) if i not in self.observations and i not in self.asked]

    def waiting(self):
        return {i: self.observations[i] for i in self.observations if i not in self.asked}

    def reset(self, environment, seed):
        self.asked[environment] = None
        self.seeds.append(seed)

    def step(self, actions):
        self.asked.update(actions)

    def receive(self):
        began, transitions = [], []
        for i, action in list(self.asked.items()):
            del self.asked[i]
            if action is None:
                self.on_reset(self.episodes)
                self.observations[i] = np.full(5, 10.0 * self.episodes, np.float32)
                self.episodes += 1
                self.steps[i] = 0
                began.append(SimpleNamespace(environment=i, observation=self.observations[i]))
                continue
            before = self.observations.pop(i)
            self.steps[i] += 1
            ended = self.steps[i] == self.lengths[i]
            if not ended:
                self.observations[i] = before + 1.0
            transitions.append(
                SimpleNamespace(
                    environment=i,
                    action=action,
                    reward=float(self.steps[i]),
                    next_observation=before + 1.0,
                    terminated=ended,
                    truncated=False,
                    info={},
                )
            )
        return SimpleNamespace(began=began, transitions=transitions, lost=[], torn=[])


def never():
    return False


def empty_replay(environments):
    return FrameReplay(VECTOR, ActionSpec(2), 500, environments)


@pytest.fixture
def make_run(tmp_path):
    """(trainer, learner, checkpoints) of a run in `folder` with so many environments; all that it opens is closed."""
    with ExitStack() as stack:

        def make(folder="run", environments=1, overlap=True, exploration=EXPLORATION):
            agent = make_learner(VECTOR)
            replay = empty_replay(environments)
            batches = Prefetcher(lambda: replay.sample(8))
            timer = PhaseTimer()
            learner = WatchedLearner(agent, agent.init(0), batches, timer, overlap=overlap)
            checkpoints = Checkpoints(tmp_path / folder / "checkpoints")
            log = RunLog(tmp_path / folder)
            for opened in (log, checkpoints, learner):
                stack.callback(opened.close)
            schedule = ScheduleConfig(
                total_steps=1000,
                exploration_steps=exploration,
                updates_per_step=0.5,
                updates_per_dispatch=1,
                overlap=overlap,
                batch_size=8,
                log_every=1000,
                eval_every=0,
                eval_episodes=1,
                checkpoint_every=0,
                checkpoints_kept=3,
                debug_every=1000,
                warn_window=1000,
            )
            trainer = Trainer(
                schedule=schedule,
                exploration=ExplorationConfig(mean=(0.0, 0.5), std=(0.5, 0.5), correlation=0.5, policy_noise=0.1),
                seed=0,
                learner=learner,
                replay=replay,
                info_keys=KEYS,
                log=log,
                telemetry=Telemetry(schedule, log, timer, agent),
                checkpoints=checkpoints,
                timer=timer,
                evaluate=lambda policy, step: {},
                description={},
                monitors=Monitors(1000, 0.99, ("steer", "accel"), lambda sentence: None),
                clock=lambda: 0.0,
                report=lambda sentence: None,
            )
            return trainer, learner, checkpoints

        yield make


def after(trainer, steps):
    return lambda: trainer.counters.step >= steps


@pytest.mark.parametrize("overlap", [False, True])
def test_the_last_update_of_an_episode_runs_on_beside_the_reset(make_run, overlap):
    trainer, learner, _ = make_run(overlap=overlap)
    under_way = []
    envs = Environments(reset=lambda episode: under_way.append(learner.updating))
    trainer.run(envs, after(trainer, 4 * LENGTH))
    assert under_way == [False, False, True, True], "the first update is in the second episode"


@pytest.mark.parametrize("overlap", [False, True])
def test_batches_drawn_beside_the_update_before_are_those_drawn_when_they_are_due(make_run, overlap, monkeypatch):
    states = []
    for early in (True, False):
        trainer, learner, _ = make_run(f"early {early}", overlap=overlap)
        if not early:
            draw = learner.draw
            learner.draw = lambda: None
            update = learner.update

            def at_the_last_moment(number, learner=learner, draw=draw, update=update):
                learner.draw = draw
                update(number)
                learner.draw = lambda: None

            monkeypatch.setattr(learner, "update", at_the_last_moment)
        trainer.run(Environments(), after(trainer, 4 * LENGTH))
        states.append(learner.state)
    assert same_bits(*states)
    assert int(states[0].step) > LENGTH // 2


@pytest.mark.parametrize("ending", ["stopped", "stopped in the next episode", "reset fails", "step fails"])
def test_a_run_that_ends_after_an_episodes_end_is_saved_as_it_was_then(make_run, ending):
    trainer, _, checkpoints = make_run()
    last = 3 * LENGTH

    def reset(episode):
        if ending == "reset fails" and episode == 3:
            raise RuntimeError("no simulator")

    envs = Environments(reset=reset)
    if ending.startswith("stopped"):
        trainer.run(envs, after(trainer, last + 2 * (ending != "stopped")))
    else:
        if ending == "step fails":
            inner, envs.step = envs.step, lambda actions: inner(actions) if envs.episodes < 4 else 1 / 0
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            trainer.run(envs, never)
    checkpoints.wait()
    assert checkpoints.steps() == [last]
    saved = checkpoints.extras()["counters"]
    assert (saved["step"], saved["episode"]) == (last, 3), "episode 3 has not been driven"
    _, other, others = make_run("other")
    others.close()
    state = checkpoints.restore(other.state).state
    assert int(state.step) == saved["update"] == (last - EXPLORATION - 1) // 2


@pytest.mark.parametrize("first", [False, True])
def test_another_environments_step_is_not_in_what_is_saved_at_an_episodes_end(make_run, first):
    trainer, learner, checkpoints = make_run(environments=2, exploration=1000)
    envs = Environments(2, lengths=[LENGTH, 1000])
    inner = envs.receive

    def receive():
        answers = inner()
        answers.transitions.reverse()  # the one that ends its episode comes first, or last
        return answers

    envs.receive = receive if first else inner
    trainer.run(envs, after(trainer, 2 * LENGTH + 1))
    checkpoints.wait()
    assert checkpoints.steps() == [2 * LENGTH]
    replay = empty_replay(2)
    assert checkpoints.restore(learner.state, replay).extras["counters"]["step"] == 2 * LENGTH
    assert [len(ring) for ring in replay.rings] == [LENGTH, LENGTH]


def test_a_run_makes_exactly_its_steps_and_numbers_its_episodes_once(make_run):
    trainer, _, _ = make_run(environments=2, exploration=2000)
    envs = Environments(2)
    trainer._schedule = SimpleNamespace(**{**vars(trainer._schedule), "total_steps": 2 * LENGTH + 3})
    trainer.run(envs, never)
    assert trainer.counters.step == 2 * LENGTH + 3
    assert trainer.counters.episode == envs.episodes == len(set(envs.seeds)) == 4


def test_all_that_wait_are_served_by_one_call_of_the_policy_and_each_gets_its_own_action(make_run):
    trainer, learner, _ = make_run(environments=3, exploration=0)
    batches = []

    def act(observations):
        batches.append(observations["vector"].copy())
        return observations["vector"][:, :2] / 1000.0

    learner.begin_act = lambda observations: lambda: act(observations)
    learner.update = lambda number: None
    trainer._exploration = ExplorationConfig(mean=(0.0,), std=(0.0,), correlation=0.0, policy_noise=0.0)
    envs, given = Environments(3), []
    inner = envs.step
    envs.step = lambda actions: (given.append(dict(actions)), inner(actions))
    trainer.run(envs, after(trainer, 9))
    assert [batch.shape for batch in batches] == [(3, 5)] * len(batches)
    for batch, actions in zip(batches, given, strict=True):
        for environment, action in actions.items():
            np.testing.assert_allclose(action, np.minimum(batch[environment, :2] / 1000.0, 1.0))


def test_a_policy_that_has_run_away_is_told_of_before_the_environment_is_blamed(make_run):
    trainer, learner, _ = make_run(exploration=0)
    learner.begin_act = lambda observations: lambda: np.full((1, 2), np.nan, np.float32)
    with pytest.raises(NonFiniteError, match="The policy's action is non-finite"):
        trainer.run(Environments(), never)
