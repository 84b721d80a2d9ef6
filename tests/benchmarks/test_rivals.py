"""The rival computes what the learner computes: else a ratio of their speeds says nothing."""

import dataclasses

import jax
import numpy as np
import pytest

from avtd3_jax import runtime

runtime.setup("cpu")
torch = pytest.importorskip(
    "torch", reason="torch is not installed: pip install -e .[bench] to test the benchmarks' rivals"
)

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec  # noqa: E402
from avtd3_jax.agent.td3 import TD3  # noqa: E402
from avtd3_jax.replay.batch import Batch  # noqa: E402
from avtd3_jax.settings.config_file import load  # noqa: E402
from benchmarks.common import OF_RECORD  # noqa: E402
from benchmarks.rivals.torch_td3 import TorchTD3, Variant  # noqa: E402

OBS, ACTION = ObsSpec((4, 36, 36), 5), ActionSpec(2)


def batches(count, size=16, n_step=1):
    rng = np.random.default_rng(7)
    for _ in range(count):
        steps = rng.integers(1, n_step + 1, size, np.int32)
        yield Batch(
            frames=rng.integers(0, 256, (size, 4 + min(n_step, 4), 36, 36), np.uint8),
            vector=rng.standard_normal((size, 5)).astype(np.float32),
            next_vector=rng.standard_normal((size, 5)).astype(np.float32),
            action=rng.uniform(-1, 1, (size, 2)).astype(np.float32),
            reward=rng.standard_normal((size, n_step)).astype(np.float32) * (np.arange(n_step) < steps[:, None]),
            steps=steps,
            terminated=rng.random(size) < 0.3,
        )


def run_both(variant, updates=6, n_step=1, **config):
    """Pairs of losses, then (online, target) parameters before the updates, after ours, after theirs."""
    config = dataclasses.replace(
        load(OF_RECORD).agent, **{"hidden": (32, 32), "tau": 0.3, **config}
    )  # a large tau: a target that moved wrongly would show
    learner = TD3(OBS, ACTION, config)
    state = learner.init(3)
    start = jax.tree.map(np.array, state.params)
    rival = TorchTD3(OBS, ACTION, config, start, variant)
    losses = []
    for number, batch in enumerate(batches(updates, n_step=n_step)):
        _, noise_key = jax.random.split(state.key)
        noise = np.array(jax.random.normal(noise_key, batch.action.shape))
        actor = learner.updates_actor(number)
        state, packed = learner.update(state, batch, update_actor=actor)
        ours = learner.read_metrics(packed, update_actor=actor)
        theirs = rival.update(rival.to_device(batch), update_actor=actor, noise=torch.from_numpy(noise)).tolist()
        losses.append(([ours["loss/critic"], *([ours["loss/actor"]] if actor else [])], theirs))
    ends = jax.tree.map(np.array, (state.params, state.target_params))
    return losses, (start, start), ends, (rival.params(), rival.target_params())


def assert_same_moves(start, ours, theirs):
    """Every array moved from `start` alike.

    Compared by norm: Adam divides a gradient by its own size, so a single parameter whose gradient is nearly zero moves
    by its rounding error.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for before, mine, other in zip(*map(jax.tree.leaves, (start, ours, theirs)), strict=True):
        assert np.linalg.norm(other - mine) < 2e-3 * np.linalg.norm(mine - before) + 1e-6


@pytest.mark.parametrize("encoder_grad", ["both", "critic"])
@pytest.mark.parametrize("trunk_width", [0, 50])
@pytest.mark.parametrize("channels_last", [False, True])
def test_losses_and_parameters_agree(encoder_grad, trunk_width, channels_last):
    losses, start, ours, theirs = run_both(
        Variant(channels_last=channels_last), encoder_grad=encoder_grad, trunk_width=trunk_width
    )
    for mine, other in losses:
        np.testing.assert_allclose(other, mine, rtol=2e-5, atol=1e-6)
    assert_same_moves(start, ours, theirs)


@pytest.mark.parametrize("n_step", [3, 5])  # fewer than the frames of a stack, and more
def test_losses_and_parameters_agree_over_several_steps(n_step):
    losses, start, ours, theirs = run_both(Variant(), n_step=n_step)
    for mine, other in losses:
        np.testing.assert_allclose(other, mine, rtol=2e-5, atol=1e-6)
    assert_same_moves(start, ours, theirs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, while it compiles
def test_the_compiled_rival_agrees_too():
    losses, start, ours, theirs = run_both(Variant(compiled=True), updates=4)
    for mine, other in losses:
        np.testing.assert_allclose(other, mine, rtol=2e-5, atol=1e-6)
    assert_same_moves(start, ours, theirs)


def test_the_other_gradient_routing_would_be_noticed():
    _, start, ours, _ = run_both(Variant(), encoder_grad="both")
    _, _, _, theirs = run_both(Variant(), encoder_grad="critic")
    with pytest.raises(AssertionError):
        assert_same_moves(start, ours, theirs)


def test_the_rivals_policy_is_ours():
    learner = TD3(OBS, ACTION, dataclasses.replace(load(OF_RECORD).agent, hidden=(32, 32)))
    params = learner.init(0).params
    rival = TorchTD3(OBS, ACTION, learner.config, jax.tree.map(np.array, params))
    (batch,) = batches(1)
    observations = {"image": batch.frames[:, 1:], "vector": batch.vector}
    one = {name: part[3] for name, part in observations.items()}
    for observation in (observations, one):
        np.testing.assert_allclose(rival.act(observation), learner.act(params, observation), atol=1e-5)


def test_parameters_survive_the_way_there_and_back():
    learner = TD3(OBS, ACTION, dataclasses.replace(load(OF_RECORD).agent, hidden=(32, 32)))
    params = jax.tree.map(np.array, learner.init(0).params)
    rival = TorchTD3(OBS, ACTION, learner.config, params)
    for mine, other in zip(jax.tree.leaves(params), jax.tree.leaves(rival.params()), strict=True):
        np.testing.assert_array_equal(mine, other)
