"""Several updates in one executable are the same updates."""

import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, make_learner, on_host, random_batch, run_updates, same_bits

from avtd3_jax.agent.fused_updates import FusedUpdates
from avtd3_jax.errors import NonFiniteError


@pytest.fixture(scope="module")
def four():
    return FusedUpdates(make_learner(), 4)


def batches(first, count):
    return [random_batch(seed=seed) for seed in range(first, first + count)]


@pytest.mark.parametrize(("spec", "delay", "count"), [(BOTH, 2, 4), (VECTOR, 1, 2), (VECTOR, 3, 3)])
def test_parameters_are_those_of_single_updates(spec, delay, count):
    learner, single = (make_learner(spec, policy_delay=delay) for _ in range(2))
    multi, state = FusedUpdates(learner, count), learner.init(0)
    for first in (0, count):
        state, _ = multi(state, [random_batch(spec, seed=seed) for seed in range(first, first + count)])
    expected = run_updates(single, single.init(0), 2 * count)
    assert int(state.step) == 2 * count
    for got, wanted in zip(on_host(state), on_host(expected), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_it_is_traced_once_and_its_cycle_once(four):
    state = four._agent.init(0)
    for first in (0, 4, 8):
        state, _ = four(state, batches(first, 4))
    assert four.trace_count == 1
    assert four._agent.trace_count == 2  # one update that trains the actor, one that does not


def test_on_a_cpu_no_convolution_is_within_a_loop(four):
    """XLA:CPU computes what is in a loop without its other threads."""
    four.compile(four._agent.init(0), random_batch())
    computations = four._executable.as_text().split("\n\n")
    (entry,) = [text for text in computations if text.lstrip().startswith("ENTRY")]
    looped = {
        name.strip("%,)")
        for line in entry.splitlines()
        if " while(" in line
        for name in line.split("body=")[1].split()[:1]
    }
    assert not [text for text in computations if text.lstrip().startswith(tuple(looped)) and "avtd3_conv" in text]
    assert "avtd3_conv" in entry


def test_metrics_are_the_means_of_the_updates_that_have_them(four):
    learner, single = four._agent, make_learner()
    _, packed = four(learner.init(0), batches(0, 4))
    got = learner.read_metrics(packed, update_actor=True)
    state, parts = single.init(0), []
    for number, batch in enumerate(batches(0, 4)):
        state, packed = single.step(state, batch, number)
        parts.append(single.read_metrics(packed, update_actor=single.updates_actor(number)))
    for name, value in got.items():
        assert value == pytest.approx(np.mean([part[name] for part in parts if name in part]), rel=1e-4), name


def test_a_non_finite_update_shows_and_the_others_are_applied(four):
    learner = four._agent
    poisoned = batches(0, 4)
    poisoned[1].reward[3] = np.nan
    state, packed = four(learner.init(0), poisoned)
    with pytest.raises(NonFiniteError):
        learner.read_metrics(packed, update_actor=True)
    assert int(state.step) == 3
    assert all(np.isfinite(leaf).all() for leaf in on_host(state.params))


def test_state_is_donated_and_device_batches_do_as_well(four):
    state = four._agent.init(0)
    following, _ = four(state, batches(0, 4))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    again, _ = four(four._agent.init(0), [jax.device_put(batch) for batch in batches(0, 4)])
    assert same_bits(following, again)


def test_what_does_not_fit_is_refused(four):
    with pytest.raises(ValueError, match=r"updates_per_dispatch is 3: .* multiple of agent.policy_delay, which is 2"):
        FusedUpdates(make_learner(), 3)
    with pytest.raises(ValueError, match="not 4 of the shapes"):
        four(four._agent.init(0), batches(0, 2))
