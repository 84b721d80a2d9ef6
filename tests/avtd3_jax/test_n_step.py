"""Transitions of several steps against plain lists of episodes; every frame and vector carries its own id."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import BOTH, copy_replay, make_learner, random_batch
from test_replay import ACTION, EPISODES, SPEC, STACK, Recorder, identities

from avtd3_jax.agent import losses
from avtd3_jax.agent.frames import split_frames
from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.replay.batch import make_batch
from avtd3_jax.replay.replay import FrameReplay

GAMMA = 0.9
BOOTSTRAP = 1000.0  # what the critics would say of the state after the last step


class NStepRecorder(Recorder):
    """Knows by walking from observation to observation what n steps from each of them lead to."""

    def walk(self, identity):
        """Rewards on the way, the last observation reached, whether it is terminal."""
        rewards, here, terminated = [], identity, False
        while len(rewards) < self.replay.n_step and here in self.transitions:
            _, reward, terminated = self.transitions[here]
            rewards.append(float(reward))
            here += 1
        return rewards, here, terminated

    def stack_of(self, identity):
        first = self.observations[identity][1]
        return [max(first, identity + offset) for offset in range(1 - STACK, 1)]

    def value(self, identity):
        """The n-step return by recursion."""

        def after(steps, here):
            if steps == 0 or here not in self.transitions:
                return 0.0 if here - 1 in self.transitions and self.transitions[here - 1][2] else BOOTSTRAP
            return float(self.transitions[here][1]) + GAMMA * after(steps - 1, here + 1)

        return after(self.replay.n_step, identity)

    def check(self, batch):
        image, next_image = (identities(np.asarray(stack)) for stack in split_frames(batch))
        targets = losses.td_target(
            batch.reward, batch.steps, batch.terminated, np.full((2, len(image)), BOOTSTRAP), GAMMA
        )
        for i, identity in enumerate(image[:, -1].tolist()):
            rewards, reached, terminated = self.walk(identity)
            assert batch.reward[i].tolist() == rewards + [0.0] * (self.replay.n_step - len(rewards))
            assert batch.steps[i] == len(rewards)
            assert batch.terminated[i] == terminated
            assert image[i].tolist() == self.stack_of(identity)
            assert next_image[i].tolist() == self.stack_of(reached)
            assert batch.vector[i][0] == identity
            assert batch.next_vector[i][0] == reached
            np.testing.assert_array_equal(batch.action[i], self.transitions[identity][0])
            assert float(targets[i]) == pytest.approx(self.value(identity), rel=1e-5)
        return image[:, -1]


def fill(record, episodes):
    for length, end in episodes:
        record.begin()
        for i in range(length):
            last = i == length - 1
            record.step(terminated=last and end == "terminated", truncated=last and end == "truncated")
        if end == "torn":
            record.replay.end_torn_episode(record.environment)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(capacity=st.integers(STACK + 2, 20), n_step=st.integers(2, 7), episodes=EPISODES)
def test_samples_are_exactly_the_n_step_transitions(capacity, n_step, episodes):
    """Wraps inside episodes, episodes shorter than n and longer than the ring, torn ones, one under way at the head."""
    record = NStepRecorder(FrameReplay(SPEC, ACTION, capacity, n_step=n_step))
    fill(record, episodes)
    valid = record.valid()
    assert len(record.replay) == len(valid)
    if valid:
        # One size, so that JAX compiles once; missing one of at most 19 by chance: below 19 * exp(-20).
        assert set(record.check(record.replay.sample(400)).tolist()) == valid


def test_an_episode_of_two_steps_by_hand():
    """Five steps of reward 0, 0.5, 1, ...: a time limit bootstraps from where it struck, a termination does not."""
    for terminated, ends in ((False, BOOTSTRAP), (True, 0.0)):
        record = NStepRecorder(FrameReplay(SPEC, ACTION, 16, n_step=3))
        fill(record, [(5, "terminated" if terminated else "truncated")])
        values = dict(zip(*target_of(record.replay.sample(200)), strict=True))
        assert values == pytest.approx(
            {
                0: 0.0 + 0.9 * 0.5 + 0.81 * 1.0 + 0.729 * BOOTSTRAP,
                1: 0.5 + 0.9 * 1.0 + 0.81 * 1.5 + 0.729 * BOOTSTRAP,
                2: 1.0 + 0.9 * 1.5 + 0.81 * 2.0 + 0.729 * ends,
                3: 1.5 + 0.9 * 2.0 + 0.81 * ends,
                4: 2.0 + 0.9 * ends,
            }
        )


def target_of(batch):
    q = np.full((1, len(batch.reward)), BOOTSTRAP)
    targets = losses.td_target(batch.reward, batch.steps, batch.terminated, q, GAMMA)
    return batch.vector[:, 0].astype(int).tolist(), targets.tolist()


def test_rings_sample_n_steps_too():
    replay = FrameReplay(SPEC, ACTION, 60, 2, n_step=3)
    records = [NStepRecorder(replay, number) for number in range(2)]
    for record in records:
        fill(record, [(7, "terminated"), (30, "truncated"), (2, "torn"), (4, "under way")])
    drawn = records[0].check(replay.sample(2000))  # both rings were told the same
    assert set(drawn.tolist()) == records[0].valid()


@pytest.mark.parametrize(("n_step", "frames"), [(1, 5), (2, 6), (3, 7), (4, 8), (9, 8)])
def test_a_batch_holds_no_more_frames_than_it_must(n_step, frames):
    replay = FrameReplay(SPEC, ACTION, 32, n_step=n_step)
    fill(record := NStepRecorder(replay), [(20, "truncated")])
    batch = replay.sample(16)
    assert batch.frames.shape[1] == frames
    shapes = make_batch(SPEC, ACTION, 16, jax.ShapeDtypeStruct, n_step)
    for part, shape in zip(batch, shapes, strict=True):  # a part that the space lacks is None in both
        assert (part is None) == (shape is None)
        assert part is None or (part.shape, part.dtype) == (shape.shape, shape.dtype)
    record.check(batch)


def test_a_vector_alone_spans_n_steps():
    replay = FrameReplay(ObsSpec(image=None, vector=1), ACTION, 8, n_step=3)
    replay.begin_episode(np.zeros(1))
    for place in range(1, 6):
        replay.add(np.zeros(2), 1.0, np.full(1, place), False, place == 5)
    batch = replay.sample(200)
    np.testing.assert_array_equal(batch.next_vector[:, 0], np.minimum(batch.vector[:, 0] + 3, 5))
    np.testing.assert_array_equal(batch.steps, batch.next_vector[:, 0] - batch.vector[:, 0])


def test_a_restored_replay_samples_the_same_steps():
    record = NStepRecorder(FrameReplay(SPEC, ACTION, 20, n_step=3))
    fill(record, [(9, "terminated"), (15, "under way")])
    other = FrameReplay(SPEC, ACTION, 20, seed=5, n_step=3)
    copy_replay(record.replay, other)
    for a, b in zip(record.replay.sample(64), other.sample(64), strict=True):
        np.testing.assert_array_equal(a, b)


def test_less_than_a_step_is_refused():
    with pytest.raises(ValueError, match="n_step is 0"):
        FrameReplay(SPEC, ACTION, 16, n_step=0)


def test_the_learner_sees_the_next_stack_where_the_steps_say():
    """Frames outside of obs and next_obs change nothing; those inside do."""
    learner = make_learner()
    batch = random_batch(BOTH, size=2, n_step=3)._replace(
        steps=np.array([1, 3], np.int32), terminated=np.zeros(2, bool), reward=np.zeros((2, 3), np.float32)
    )

    def target_mean(frames):
        _, packed = learner.update(learner.init(0), batch._replace(frames=frames), update_actor=False)
        return learner.read_metrics(packed, update_actor=False)["q/target_mean"]

    before = target_mean(batch.frames)
    for row, place, matters in ((0, 5, False), (0, 6, False), (0, 4, True), (1, 6, True), (1, 2, False)):
        frames = batch.frames.copy()
        frames[row, place] = 255 - frames[row, place]
        assert (target_mean(frames) != before) == matters, (row, place)
