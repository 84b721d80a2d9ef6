import threading

import jax
import numpy as np
import pytest
from learner_cases import BOTH, filled_replay, make_learner, random_batch, same_bits

from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay


@pytest.mark.parametrize("depth", [0, 2])
def test_batches_come_in_the_order_they_were_drawn(depth):
    expected = filled_replay()
    replay = filled_replay()
    with Prefetcher(lambda: replay.sample(8), depth) as prefetcher:
        for _ in range(10):
            batch = prefetcher.get()
            assert isinstance(batch.frames, jax.Array)
            assert all(isinstance(part, jax.Array if depth else np.ndarray) for part in batch[1:] if part is not None)
            for got, wanted in zip(batch, expected.sample(8), strict=True):
                assert (got is None) == (wanted is None)
                if got is not None:
                    np.testing.assert_array_equal(got, wanted)


def test_depth_0_starts_no_thread_and_draws_on_demand():
    calls = []
    before = set(threading.enumerate())  # of other tests; some may end meanwhile
    with Prefetcher(lambda: calls.append(1) or random_batch(), 0) as prefetcher:
        prefetcher.get()
        assert len(calls) == 1
        assert set(threading.enumerate()) <= before


def test_device_batches_never_change_afterwards():
    """On a CPU a device array may be the very host buffer (jax#37830)."""
    replay = filled_replay(capacity=160)
    with Prefetcher(lambda: replay.sample(64), 3) as prefetcher:
        held = [prefetcher.get() for _ in range(6)]
        copies = [[np.array(part) for part in batch] for batch in held]
        for _ in range(200):
            replay.sample(64)
        for batch, copy in zip(held, copies, strict=True):
            for part, kept in zip(batch, copy, strict=True):
                np.testing.assert_array_equal(part, kept)


def test_prefetching_trains_the_same_parameters():
    learner = make_learner()
    states = []
    for depth in (0, 3):
        replay, state = filled_replay(), learner.init(0)
        with Prefetcher(lambda replay=replay: replay.sample(8), depth) as prefetcher:
            for update in range(4):
                state, _ = learner.step(state, prefetcher.get(), update)
        states.append(state)
    assert same_bits(*states)


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_while_sampling_reaches_the_caller(depth):
    replay = FrameReplay(BOTH, ActionSpec(2), 100)
    with Prefetcher(lambda: replay.sample(8), depth) as prefetcher:
        for _ in range(2):
            with pytest.raises(ValueError, match="no transition yet"):
                prefetcher.get()


def test_stopping_ends_the_thread_even_with_a_full_queue():
    prefetcher = Prefetcher(random_batch, 2)
    prefetcher.get()
    assert any(thread.name == "prefetch" for thread in threading.enumerate())
    prefetcher.stop()
    prefetcher.stop()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="was stopped"):
        prefetcher.get()


def test_a_negative_depth_is_refused():
    with pytest.raises(ValueError, match="depth is -1"):
        Prefetcher(random_batch, -1)
