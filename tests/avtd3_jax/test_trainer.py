"""What is saved at an episode's end is the run as it was then, although its last updates run on beside the reset."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from learner_cases import VECTOR, make_learner

from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.schema import ExplorationConfig, ScheduleConfig
from avtd3_jax.training.learner_loop import LearnerLoop
from avtd3_jax.training.logs import PhaseTimer, RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.trainer import Trainer

LENGTH = 6  # of every episode
EXPLORATION = 8  # so an update is due with the first action of every later episode


class WatchedLoop(LearnerLoop):
    """Says whether an update is under way."""

    @property
    def updating(self):
        return self._in_flight is not None


def never():
    return False


def empty_replay(environments):
    return FrameReplay(VECTOR, ActionSpec(2), 500, environments)


@pytest.fixture
def make_run(tmp_path):
    """(trainer, loop, checkpoints) of a run in `folder` with so many environments; all that it opens is closed."""
    opened = []

    def make(folder="run", environments=1, overlap=True, exploration=EXPLORATION):
        learner = make_learner(VECTOR)
        replay = empty_replay(environments)
        batches = Prefetcher(lambda: replay.sample(8))
        loop = WatchedLoop(learner, learner.init(0), batches, timer := PhaseTimer(), overlap=overlap)
        checkpoints = Checkpoints(tmp_path / folder / "checkpoints")
        log = RunLog(tmp_path / folder)
        opened.extend([loop, checkpoints, log])
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
            loop=loop,
            replay=replay,
            log=log,
            checkpoints=checkpoints,
            timer=timer,
            evaluate=lambda policy, step: {},
            description={},
            monitors=Monitors(1000, 0.99, ("steer", "accel"), lambda sentence: None),
            clock=lambda: 0.0,
        )
        return trainer, loop, checkpoints

    yield make
    for each in opened:
        each.close()


def transition(observation, action, step, *, episode=0, environment=0):
    return SimpleNamespace(
        observation=observation,
        action=action,
        reward=float(step),
        next_observation=observation + 1.0,
        terminated=step == LENGTH - 1,
        truncated=False,
        info={},
        episode=episode,
        step=step,
        environment=environment,
    )


def drive(trainer, reset=lambda episode: None):
    """What the env loop does: a reset, then an action and a transition a step; `reset` is told of each."""
    for episode in itertools.count(trainer.counters.episode):
        trainer.begin_episode(episode)
        reset(episode)
        for step in range(LENGTH):
            observation = np.full(5, 10.0 * episode + step, np.float32)
            yield transition(observation, trainer.act(observation), step, episode=episode)


@pytest.mark.parametrize("overlap", [False, True])
def test_the_last_update_of_an_episode_runs_on_beside_the_reset(make_run, overlap):
    trainer, loop, _ = make_run(overlap=overlap)
    under_way = []
    stream = drive(trainer, lambda episode: under_way.append(loop.updating))
    trainer.run(itertools.islice(stream, 4 * LENGTH), never)
    assert under_way == [False, False, True, True], "the first update is in the second episode"


@pytest.mark.parametrize("ending", ["stopped", "stopped a step later", "stream over", "reset fails"])
def test_a_run_that_ends_at_an_episodes_end_is_saved_as_it_was_then(make_run, ending):
    trainer, _, checkpoints = make_run()
    last = 3 * LENGTH

    def reset(episode):
        if ending == "reset fails" and episode == 3:
            raise RuntimeError("no simulator")

    stream = drive(trainer, reset)
    if ending.startswith("stopped"):
        end = last + (ending == "stopped a step later")
        trainer.run(stream, lambda: trainer.counters.step == end)
    elif ending == "stream over":
        trainer.run(itertools.islice(stream, last), never)
    else:
        with pytest.raises(RuntimeError, match="no simulator"):
            trainer.run(stream, never)
    checkpoints.wait()
    assert checkpoints.steps() == [last]
    saved = checkpoints.extras()["counters"]
    assert (saved["step"], saved["episode"]) == (last, 3), "episode 3 has not been driven"
    _, other, others = make_run("other")
    others.close()
    state = checkpoints.restore(other.state).state
    assert int(state.step) == saved["update"] == (last - EXPLORATION - 1) // 2


def test_another_environments_step_is_not_in_what_is_saved_at_an_episodes_end(make_run):
    trainer, loop, checkpoints = make_run(environments=2, exploration=1000)

    def both():
        observations = {i: np.full(5, float(i), np.float32) for i in range(2)}
        for environment in range(2):
            trainer.begin_episode(environment, environment)
        for step in range(LENGTH):
            actions = trainer.act_all(observations)
            trainer.learn()
            for i in range(2):  # the second one has answered too by the time that the first one's episode ends
                done = step if i == 0 else min(step, LENGTH - 2)
                yield transition(observations[i], actions[i], done, episode=i, environment=i)

    trainer.run(both(), never)
    checkpoints.wait()
    end = 2 * LENGTH - 1
    assert checkpoints.steps() == [end]
    replay = empty_replay(2)
    assert checkpoints.restore(loop.state, replay).extras["counters"]["step"] == end
    assert [len(ring) for ring in replay.rings] == [LENGTH, LENGTH - 1]
