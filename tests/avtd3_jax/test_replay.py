"""The frame ring against a plain list of episodes; every frame carries its own id."""

import threading

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import copy_replay

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.replay.ring import FrameRing

STACK = 4
SPEC = ObsSpec(image=(STACK, 2, 2), vector=3)
ACTION = ActionSpec(2)


def frame_of(identity):
    return np.array([identity], ">u4").view(np.uint8).reshape(2, 2)


def identities(frames):
    """[..., 2, 2] uint8 -> [...] ids."""
    return frames.reshape(*frames.shape[:-2], 4).view(">u4")[..., 0].astype(np.int64)


class Recorder:
    """Feeds an environment's ring of a replay and remembers, as plain lists, what should be in it."""

    def __init__(self, replay, environment=0):
        self.replay = replay
        self.environment = environment
        self.observations = []  # one entry a slot ever written: (id, id of the episode's first)
        self.transitions = {}  # id of the observation -> (action, reward, terminated)
        self.stack = []

    def observation(self):
        image = np.stack([frame_of(identity) for identity in self.stack])
        return {"image": image, "vector": np.array([self.stack[-1], 0.5, -self.stack[-1]], np.float32)}

    def begin(self):
        identity = len(self.observations)
        self.stack = [identity] * STACK
        self.observations.append((identity, identity))
        self.replay.begin_episode(self.observation(), self.environment)

    def step(self, terminated=False, truncated=False):
        last, first = self.observations[-1]
        self.stack = [*self.stack[1:], last + 1]
        self.observations.append((last + 1, first))
        self.transitions[last] = (np.array([last, -last], np.float32), np.float32(last / 2), terminated)
        action, reward, _ = self.transitions[last]
        self.replay.add(action, reward, self.observation(), terminated, truncated, self.environment)

    def expected_stack(self, identity):
        """The S + 1 frame ids of the transition from observation `identity`."""
        first = self.observations[identity][1]
        return [max(first, identity + offset) for offset in range(1 - STACK, 2)]

    def valid(self):
        oldest = max(0, len(self.observations) - self.replay.rings[self.environment].capacity)
        return {identity for identity in self.transitions if min(self.expected_stack(identity)) >= oldest}

    def check(self, batch):
        for i, window in enumerate(identities(batch.frames)):
            identity = int(window[-2])
            action, reward, terminated = self.transitions[identity]
            assert window.tolist() == self.expected_stack(identity)
            np.testing.assert_array_equal(batch.vector[i], [identity, 0.5, -identity])
            np.testing.assert_array_equal(batch.next_vector[i], [identity + 1, 0.5, -identity - 1])
            np.testing.assert_array_equal(batch.action[i], action)
            assert batch.reward[i].tolist() == [reward]
            assert batch.steps[i] == 1
            assert batch.terminated[i] == terminated
        return identities(batch.frames)[:, -2]


def recorder(capacity, seed=0):
    return Recorder(FrameReplay(SPEC, ACTION, capacity, seed=seed))


EPISODES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["terminated", "truncated", "torn", "under way"])), max_size=12
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(capacity=st.integers(STACK + 2, 20), episodes=EPISODES)
def test_samples_are_exactly_the_valid_transitions(capacity, episodes):
    """Wraps inside episodes, episodes longer than the ring, torn and empty ones."""
    record = recorder(capacity)
    for length, end in episodes:
        record.begin()
        for i in range(length):
            last = i == length - 1
            record.step(terminated=last and end == "terminated", truncated=last and end == "truncated")
        if end == "torn":
            record.replay.end_torn_episode()
    valid = record.valid()
    assert len(record.replay) == len(valid)
    if valid:
        drawn = record.check(record.replay.sample(40 * len(valid)))
        assert set(drawn.tolist()) == valid  # missing one by chance: below 20 * exp(-40)
    else:
        with pytest.raises(ValueError, match="no transition yet"):
            record.replay.sample(1)


def filled(capacity=64, steps=200, seed=0):
    record = recorder(capacity, seed)
    rng = np.random.default_rng(3)
    record.begin()
    for _ in range(steps):
        done = rng.random() < 0.15
        record.step(terminated=done and rng.random() < 0.5, truncated=done)
        if done:
            record.begin()
    return record


def test_sampling_is_uniform():
    record = filled()
    valid = sorted(record.valid())
    draws = 400 * len(valid)
    counts = np.bincount(np.searchsorted(valid, record.check(record.replay.sample(draws))), minlength=len(valid))
    freedom = len(valid) - 1
    chi_square = np.sum((counts - 400.0) ** 2 / 400.0)
    assert abs(chi_square - freedom) < 4.0 * np.sqrt(2.0 * freedom)


def test_last_observation_of_an_episode_starts_no_transition():
    record = recorder(32)
    record.begin()
    record.step()
    record.step(terminated=True)
    record.begin()
    record.step(truncated=True)
    drawn = record.check(record.replay.sample(200))
    assert set(drawn.tolist()) == {0, 1, 3}


def test_time_limit_is_stored_as_no_termination():
    """Else the target of an episode cut by time would leave out all that was still to come."""
    record = recorder(16)
    record.begin()
    record.step(truncated=True)
    assert not record.replay.sample(8).terminated.any()


def test_torn_episode_keeps_its_whole_transitions():
    record = recorder(16)
    record.begin()
    record.step()
    record.step()
    record.replay.end_torn_episode()
    assert len(record.replay) == 2
    with pytest.raises(ValueError, match="call begin_episode"):
        record.replay.add(np.zeros(2), 0.0, record.observation(), False, False)
    record.begin()
    record.step()
    assert set(record.check(record.replay.sample(100)).tolist()) == {0, 1, 3}


def test_restored_replay_samples_identically_and_goes_on_mid_episode():
    record = filled()
    record.step()
    other = FrameReplay(SPEC, ACTION, 64, seed=99)
    copy_replay(record.replay, other)
    original = record.replay
    for _ in range(5):
        for a, b in zip(original.sample(32), other.sample(32), strict=True):
            np.testing.assert_array_equal(a, b)
    record.step()
    record.replay = other
    other.add(*record.transitions[len(record.observations) - 2][:2], record.observation(), False, False)
    for a, b in zip(original.sample(32), other.sample(32), strict=True):
        np.testing.assert_array_equal(a, b)
    record.check(other.sample(500))


def test_state_holds_no_more_than_the_fill():
    replay = FrameReplay(SPEC, ACTION, 1000)
    record = Recorder(replay)
    record.begin()
    record.step()
    assert replay.rings[0].span == (0, 2)
    assert {len(column) for column in replay.rings[0].read_slots(0, 2).values()} == {2}
    empty = FrameReplay(SPEC, ACTION, 1000)
    restored = FrameReplay(SPEC, ACTION, 1000)
    copy_replay(empty, restored)
    assert len(restored) == 0


def test_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="capacity 16, this one 32"):
        FrameReplay(SPEC, ACTION, 32).set_state(FrameReplay(SPEC, ACTION, 16).get_state())
    wider = FrameReplay(ObsSpec(image=(STACK, 2, 2), vector=4), ACTION, 16)
    with pytest.raises(ValueError, match="vector has another shape"):
        copy_replay(filled(capacity=16).replay, wider)
    with pytest.raises(ValueError, match="of 2 environments, this one of 1"):
        FrameReplay(SPEC, ACTION, 32).set_state(FrameReplay(SPEC, ACTION, 64, 2).get_state())


@pytest.mark.parametrize("spec", [ObsSpec(image=(STACK, 2, 2), vector=None), ObsSpec(image=None, vector=3)])
def test_image_or_vector_alone(spec):
    replay = FrameReplay(spec, ACTION, 8)
    observation = lambda i: np.stack([frame_of(j) for j in i]) if spec.image else np.full(3, i[-1], np.float32)  # noqa: E731
    replay.begin_episode(observation([0, 0, 0, 0]))
    replay.add(np.zeros(2), 1.0, observation([0, 0, 0, 1]), False, False)
    replay.add(np.zeros(2), 1.0, observation([0, 0, 1, 2]), True, False)
    batch = replay.sample(64)
    if spec.image:
        assert batch.vector is None
        assert {tuple(w) for w in identities(batch.frames).tolist()} == {(0, 0, 0, 0, 1), (0, 0, 0, 1, 2)}
    else:
        assert batch.frames is None
        np.testing.assert_array_equal(batch.next_vector, batch.vector + 1.0)


def test_arrays_are_contiguous_and_never_shared():
    replay = filled().replay
    first, second = replay.sample(8), replay.sample(8)
    assert all(part.flags.c_contiguous for part in first if part is not None)
    for a, b in zip(first, second, strict=True):
        assert not np.shares_memory(a, b)
        assert not any(np.shares_memory(a, column) for column in replay.rings[0]._columns.values())


@pytest.mark.parametrize("size", [1, 64])
def test_several_threads_gather_what_one_does(size):
    one = filled().replay
    several = FrameReplay(SPEC, ACTION, one.capacity, gather_threads=7)
    copy_replay(one, several)
    for mine, other in zip(several.sample(size), one.sample(size), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("bad", ["action", "reward", "vector"])
def test_non_finite_numbers_are_refused_and_nothing_is_stored(bad):
    record = recorder(16)
    record.begin()
    record.step()
    observation = record.observation()
    action, reward = np.zeros(2), 0.0
    if bad == "action":
        action[1] = np.nan
    elif bad == "reward":
        reward = float("inf")
    else:
        observation["vector"][2] = np.nan
    with pytest.raises(ValueError, match=f"The {bad} .* is not finite"):
        record.replay.add(action, reward, observation, False, False)
    assert len(record.replay) == 1
    record.step()
    record.check(record.replay.sample(50))


def test_stacks_that_are_not_one_frame_a_step_are_refused():
    record = recorder(16)
    blank = {"image": np.stack([frame_of(i) for i in (0, 0, 0, 7)]), "vector": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="must repeat its first frame"):
        record.replay.begin_episode(blank)
    record.begin()
    skipping = {"image": np.stack([frame_of(i) for i in (0, 0, 5, 9)]), "vector": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="one frame per environment step"):
        record.replay.add(np.zeros(2), 0.0, skipping, False, False)


def test_adding_before_an_episode_is_refused():
    with pytest.raises(ValueError, match="call begin_episode"):
        FrameReplay(SPEC, ACTION, 16).add(np.zeros(2), 0.0, {}, False, False)


def test_a_transition_takes_one_frame():
    """7 kB. Both float32 stacks of a transition would take 226 kB."""
    spec = ObsSpec(image=(4, 84, 84), vector=23)
    assert 7.1e9 < FrameReplay.bytes_at_capacity(spec, ACTION, 1_000_000) < 7.2e9
    replay = FrameReplay(spec, ACTION, 50_000)
    process = psutil.Process()
    before = process.memory_info().rss
    observation = {"image": np.full((4, 84, 84), 7, np.uint8), "vector": np.ones(23, np.float32)}
    replay.begin_episode(observation)
    for _ in range(4_999):
        replay.add(np.zeros(2), 0.0, observation, False, False)
    assert replay.nbytes == FrameReplay.bytes_at_capacity(spec, ACTION, 5_000)
    assert process.memory_info().rss - before < 1.1 * replay.nbytes + 20e6  # of 358 MB reserved, only the fill is used


def test_more_than_the_memory_is_refused_before_it_is_taken():
    capacity = psutil.virtual_memory().total // 7_000
    with pytest.raises(ValueError, match=r"needs .* GB when full .* lower its capacity"):
        FrameReplay(ObsSpec(image=(4, 84, 84), vector=23), ACTION, capacity)


def test_a_capacity_below_a_stack_is_refused():
    with pytest.raises(ValueError, match="must be at least 6"):
        FrameReplay(SPEC, ACTION, 5)


def test_adding_from_another_thread_never_tears_a_sample():
    record = recorder(24)
    record.begin()
    for _ in range(30):
        record.step()
    stop, failures = threading.Event(), []

    def add():
        rng = np.random.default_rng(5)
        while not stop.is_set():
            done = bool(rng.random() < 0.2)
            record.step(terminated=done)
            if done:
                record.begin()

    adder = threading.Thread(target=add)
    adder.start()
    try:
        for _ in range(300):
            batch = record.replay.sample(16)
            windows = identities(batch.frames)
            np.testing.assert_array_equal(batch.vector[:, 0], windows[:, -2])
            np.testing.assert_array_equal(batch.action[:, 0], windows[:, -2])
            np.testing.assert_array_equal(windows[:, -1], windows[:, -2] + 1)
            for window in windows:
                if window.tolist() != record.expected_stack(int(window[-2])):
                    failures.append(window)
    finally:
        stop.set()
        adder.join()
    assert not failures


def test_a_sample_overtaken_by_adding_is_drawn_again(monkeypatch):
    """The gather runs outside the lock; adding a whole ring in the middle of it must not be seen in the batch."""
    record = recorder(8)
    record.begin()
    for _ in range(8):
        record.step()
    gather, calls = FrameRing._gather, []

    def slow_gather(self, drawn, batch):
        calls.append(drawn)
        if len(calls) == 1:
            for _ in range(8):
                record.step()
        return gather(self, drawn, batch)

    monkeypatch.setattr(FrameRing, "_gather", slow_gather)
    drawn = record.check(record.replay.sample(32))
    assert len(calls) == 2
    assert set(drawn.tolist()) <= record.valid()
