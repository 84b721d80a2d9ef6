"""The fused step against optax's, for every width of vector that a machine may have."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learner_cases import BOTH, make_learner, on_host, random_batch, same_bits

from avtd3_jax.cpu import fused_adam
from avtd3_jax.cpu.code.emitter import Registers

RATE, TAU = 1e-2, 0.05
WIDTHS = {"16 lanes": Registers(16, 14), "8 lanes": Registers(8, 6), "4 lanes": Registers(4, 6)}
# Below a vector, at one, just beyond, and so large that several chunks share it.
SHAPES = {"one": (), "bias": (3,), "vector": (16,), "odd": (7, 5), "kernel": (4, 4, 3, 33), "dense": (211, 67)}


def random_tree(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(0.0, scale, shape), jnp.float32) for name, shape in SHAPES.items()}


@jax.jit
def fused(apply, count, gradients, params, mu, nu, targets):
    return fused_adam.step(apply, count, RATE, TAU, gradients, params, mu, nu, targets)


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys())
def width(request, monkeypatch):
    """Compiles for another machine's vectors; LLVM makes them of what this one has."""
    monkeypatch.setattr(fused_adam, "registers", lambda: request.param)
    fused.clear_cache()


def test_agrees_with_optax_step_by_step(width):
    """Gradients of very different sizes, so that eps, the moments and the corrections of early steps all count."""
    optimizer = optax.adam(RATE)
    params, targets = random_tree(0), random_tree(1)
    state, ours = optimizer.init(params), params
    mu, nu, our_targets = state[0].mu, state[0].nu, targets
    for step in range(1, 12):
        gradients = jax.tree.map(lambda g, step=step: g * 10.0 ** (-step), random_tree(10 + step))
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        targets = optax.incremental_update(params, targets, TAU)
        ours, mu, nu, our_targets = fused(True, jnp.int32(step), gradients, ours, mu, nu, our_targets)
        for mine, theirs in ((ours, params), (mu, state[0].mu), (nu, state[0].nu), (our_targets, targets)):
            for name in SHAPES:
                atol = 1e-6 * np.abs(theirs[name]).max()
                np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-5, atol=atol, err_msg=name)


def test_moves_nothing_unless_it_is_to_apply():
    """Not even where the gradient is not a number."""
    arrays = [random_tree(seed) for seed in range(4)]
    gradients = jax.tree.map(lambda g: g.at[...].set(jnp.nan), arrays[0])
    assert same_bits(fused(False, jnp.int32(3), gradients, *arrays), tuple(arrays))


def test_without_targets():
    params, mu, nu, targets = (random_tree(seed) for seed in range(4))
    gradients, nu, count = random_tree(5), jax.tree.map(jnp.square, nu), jnp.int32(2)
    *with_targets, _ = fused(True, count, gradients, params, mu, nu, targets)
    *without, none = fused(True, count, gradients, params, mu, nu, None)
    assert none is None
    assert same_bits(with_targets, without)


def test_an_empty_tree_has_nothing_to_move():
    assert fused_adam.step(True, jnp.int32(1), RATE, TAU, {}, {}, {}, {}, None) == ({}, {}, {}, None)


@pytest.mark.parametrize("decay", [0, 4])
def test_the_learner_moves_as_with_optax(monkeypatch, decay):
    """State of the same structure, so that a run can go on on another device, and the same parameters."""
    states = []
    for supported in (True, False):
        if not supported:
            monkeypatch.setattr(fused_adam, "supports", lambda _: False)
        learner = make_learner(BOTH, lr_decay_updates=decay, lr_final_fraction=0.1)
        state = learner.init(0)
        for update in range(6):
            state, _ = learner.step(state, random_batch(seed=update), update)
        states.append(state)
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    for ours, theirs in zip(on_host(states[0]), on_host(states[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6)
