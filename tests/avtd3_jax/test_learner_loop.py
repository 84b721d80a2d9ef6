"""Updates that were compiled beside the caller are the same updates."""

import numpy as np
import pytest
from learner_cases import make_learner, random_batch, same_bits

from avtd3_jax.learner_loop import LearnerLoop
from avtd3_jax.logs import PhaseTimer
from avtd3_jax.prefetch import Prefetcher


def make_loop(learner, batch_size=8):
    batches = Prefetcher(lambda: random_batch(size=batch_size))
    return LearnerLoop(learner, learner.init(0), batches, PhaseTimer())


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
