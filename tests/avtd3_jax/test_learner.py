"""Updates that were compiled beside the caller are the same updates."""

import itertools

import numpy as np
import pytest
from learner_cases import BOTH, make_learner, random_batch, same_bits

from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.phases import PhaseTimer


def make_loop(learner, batch_size=8, **options):
    seeds = itertools.count()
    batches = Prefetcher(lambda: random_batch(size=batch_size, seed=next(seeds)))
    return Learner(learner, learner.init(0), batches, PhaseTimer(), **options)


@pytest.mark.parametrize("acting", [1, 3])
def test_preparing_changes_no_number_and_leaves_nothing_to_compile(acting):
    states = []
    for prepared in (False, True):
        loop = make_loop(learner := make_learner())
        if prepared:
            loop.prepare(8, acting)
        for number in range(3):
            loop.update(number)
        loop.settle()
        assert learner.trace_count == 2
        states.append(loop.state)
        loop.close()
    assert same_bits(*states)


@pytest.mark.parametrize("prepared", [False, True])
def test_several_updates_a_dispatch_learn_what_single_ones_do(prepared):
    found = []
    for at_once in (1, 4):
        loop = make_loop(make_learner(), updates_per_dispatch=at_once)
        if prepared:
            loop.prepare(8)
        for number in range(0, 8, at_once):
            loop.update(number)
        loop.settle()
        found.append((loop.state, loop.collect(), loop.last_batch))
        loop.close()
    (single, metrics, batch), (multi, means, last) = found
    assert same_bits(single, multi)
    assert same_bits(batch, last)
    assert means == pytest.approx(metrics, rel=1e-4)


def test_an_update_dispatched_before_the_actions_have_come_does_not_change_them():
    waiting, ahead = (make_loop(make_learner()) for _ in range(2))
    observation = {name: array.astype(array.dtype) + 1 for name, array in BOTH.zeros(1).items()}
    assert ahead.updates_before_acting
    for number in range(6):
        wanted = waiting.begin_act(observation)()
        waiting.update(number)
        actions = ahead.begin_act(observation)
        ahead.update(number)
        np.testing.assert_array_equal(actions(), wanted)
    assert same_bits(waiting.state, ahead.state)


def test_overlap_acts_with_the_parameters_before_the_update_under_way():
    learner = make_learner()
    lock_step, overlapping = (make_loop(each, overlap=o) for each, o in ((learner, False), (make_learner(), True)))
    observation = {name: array.astype(array.dtype) + 1 for name, array in BOTH.zeros(1).items()}
    actions = []
    for number in range(4):
        before = lock_step.begin_act(observation)()
        for loop in (lock_step, overlapping):
            loop.update(number)
        actions.append((before, lock_step.begin_act(observation)(), overlapping.begin_act(observation)()))
        np.testing.assert_array_equal(overlapping.act_latest(observation), lock_step.begin_act(observation)())
    for before, _, late in actions:
        np.testing.assert_array_equal(late, before)
    assert any((after != before).any() for before, after, _ in actions)
    overlapping.settle()
    np.testing.assert_array_equal(overlapping.begin_act(observation)(), actions[-1][1])
    lock_step.settle()
    assert same_bits(lock_step.state, overlapping.state)


def test_a_failure_to_compile_reaches_whoever_updates():
    loop = make_loop(make_learner())
    loop.prepare(-2)
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        loop.update(0)
    loop.close()


def test_phases_timed_elsewhere_count_too():
    timer = PhaseTimer()
    with timer("act"):
        pass
    timer.add("env_step", 0.25)
    timer.add("env_step", 0.75)
    means = timer.collect()
    assert means["env_step"] == 500.0
    assert np.isfinite(means["act"])
    timer.add("env_step", 0.5)
    timer.add("env_step", 0.25)
    assert timer.totals() == {"env_step": 0.75}
    assert timer.collect() == {}
