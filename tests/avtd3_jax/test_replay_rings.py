"""Several rings sampled as one, against plain lists; every frame carries its own id and its ring's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import copy_replay
from test_replay import ACTION, SPEC, STACK, Recorder, identities

from avtd3_jax.replay.replay import FrameReplay

RING_IDS = 100_000


class RingRecorder(Recorder):
    """Ids of ring i begin at i * RING_IDS, so that a sample tells its ring."""

    def __init__(self, replay, number):
        super().__init__(replay, number)
        self.first = number * RING_IDS

    def observation(self):
        self.stack = [identity + self.first for identity in self.stack]
        try:
            return super().observation()
        finally:
            self.stack = [identity - self.first for identity in self.stack]


def recorders(capacity, count, seed=0):
    replay = FrameReplay(SPEC, ACTION, capacity, count, seed)
    return replay, [RingRecorder(replay, number) for number in range(count)]


def drawn(records, batch):
    """(ring, id) of every row, after every row was compared with what its ring was given."""
    rows = []
    for i, window in enumerate(identities(batch.frames).tolist()):
        record = records[window[-2] // RING_IDS]
        identity = window[-2] - record.first
        action, reward, terminated = record.transitions[identity]
        assert [frame - record.first for frame in window] == record.expected_stack(identity)
        assert batch.vector[i][0] == window[-2]
        assert batch.next_vector[i][0] == window[-1]
        np.testing.assert_array_equal(batch.action[i], action)
        assert (batch.reward[i, 0], batch.terminated[i]) == (reward, terminated)
        rows.append((record.environment, identity))
    return rows


MOVES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["begin", "step", "end", "torn"])), max_size=120)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(capacity=st.integers(3 * (STACK + 2), 50), moves=MOVES)
def test_samples_are_exactly_the_valid_transitions_of_all_rings(capacity, moves):
    """Any interleaving of three environments' episodes, wraps and torn ones included."""
    replay, records = recorders(capacity, 3)
    running = [False] * 3
    for number, move in moves:
        record = records[number]
        if move == "torn":
            replay.end_torn_episode(number)
            running[number] = False
        elif move == "begin" or not running[number]:
            record.begin()
            running[number] = True
        else:
            record.step(terminated=move == "end")
            running[number] = move != "end"
    valid = {(record.environment, identity) for record in records for identity in record.valid()}
    assert len(replay) == len(valid)
    if valid:
        assert set(drawn(records, replay.sample(40 * len(valid)))) == valid
    else:
        with pytest.raises(ValueError, match="no transition yet"):
            replay.sample(1)


def filled(seed=0):
    """Rings of very different fill, one of them wrapped."""
    replay, records = recorders(96, 3, seed)
    for record, steps in zip(records, (5, 25, 90), strict=True):
        record.begin()
        for i in range(steps):
            record.step(terminated=i % 7 == 6)
            if i % 7 == 6:
                record.begin()
    return replay, records


def test_sampling_is_uniform_over_transitions_not_over_rings():
    replay, records = filled()
    valid = sorted((record.environment, identity) for record in records for identity in record.valid())
    rows = [row for _ in range(100) for row in drawn(records, replay.sample(4 * len(valid)))]
    counts = np.array([rows.count(transition) for transition in valid])
    chi_square, freedom = np.sum((counts - 400.0) ** 2 / 400.0), len(valid) - 1
    assert abs(chi_square - freedom) < 4.0 * np.sqrt(2.0 * freedom)


def test_restored_rings_sample_identically_and_go_on_mid_episode():
    replay, records = filled()
    other = FrameReplay(SPEC, ACTION, 96, 3, seed=9)
    copy_replay(replay, other)
    for record in records:
        record.step()
        last = len(record.observations) - 2
        other.add(*record.transitions[last][:2], record.observation(), False, False, record.environment)
    for _ in range(5):
        for a, b in zip(replay.sample(32), other.sample(32), strict=True):
            np.testing.assert_array_equal(a, b)


def test_rings_of_which_some_are_empty_are_restored():
    replay, records = recorders(96, 3)
    records[1].begin()
    records[1].step()
    other = FrameReplay(SPEC, ACTION, 96, 3)
    copy_replay(replay, other)
    assert [len(ring) for ring in other.rings] == [0, 1, 0]


def test_rings_share_the_capacity_and_refuse_another_number():
    replay, _ = filled()
    assert replay.capacity == 96
    assert [ring.capacity for ring in replay.rings] == [32] * 3
    with pytest.raises(ValueError, match="of 3 environments, this one of 2"):
        FrameReplay(SPEC, ACTION, 96, 2).set_state(replay.get_state())
    lone = FrameReplay(SPEC, ACTION, 96)
    with pytest.raises(ValueError, match="of 1 environments, this one of 3"):
        replay.set_state(lone.get_state())


def test_torn_episodes_end_in_every_ring():
    replay, records = recorders(96, 2)
    for record in records:
        record.begin()
        record.step()
    replay.end_torn_episode()
    assert len(replay) == 2
    for ring in replay.rings:
        with pytest.raises(ValueError, match="call begin_episode"):
            ring.add(np.zeros(2), 0.0, {}, False, False)
