"""What computes an update is decided by the platform it is lowered for, not by the machine that lowers it."""

import re

import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, filled_replay, make_learner, random_batch

from avtd3_jax.agent.fused_updates import FusedUpdates
from avtd3_jax.cpu import fused_adam, mlp
from avtd3_jax.cpu.conv import conv_stack
from avtd3_jax.replay.device_replay import DeviceReplay

OWN = re.compile(r"@(avtd3_(?:conv|adam|mlp)\w+)")


def calls(traced, platform):
    """Names of the own CPU kernels in a program lowered for a platform."""
    return OWN.findall(traced.lower(lowering_platforms=(platform,)).as_text())


def kinds(found):
    return {name.split("_")[1] for name in found}


def host_batch(obs_spec=BOTH, seed=0):
    """Large enough for the kernels of dense layers."""
    return random_batch(obs_spec, mlp.operation.FEWEST, seed)


def device_batch():
    """Sampled from a replay whose frames lie on the device."""
    return DeviceReplay(filled_replay()).sample(mlp.operation.FEWEST)


@pytest.mark.parametrize("batch", [host_batch, device_batch], ids=["host", "device-resident"])
@pytest.mark.parametrize("update_actor", [False, True])
def test_an_update_lowered_for_cuda_holds_no_cpu_kernel(update_actor, batch):
    learner = make_learner()
    update = jax.jit(learner.traced_update, static_argnames="update_actor", donate_argnums=0)
    traced = update.trace(learner.init(0), batch(), update_actor=update_actor)
    assert calls(traced, "cuda") == []
    assert kinds(calls(traced, "cpu")) == {"conv", "mlp", "adam"}


def test_several_updates_at_once_lowered_for_cuda_hold_no_cpu_kernel_and_scan():
    learner = make_learner()
    fused = FusedUpdates(learner, 4)
    traced = fused._jit.trace(learner.init(0), (random_batch(),) * 4)
    assert calls(traced, "cuda") == []
    assert "stablehlo.while" in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert kinds(calls(traced, "cpu")) == {"conv", "adam"}
    on_cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert len(re.findall("@avtd3_adam", on_cpu)) > 4  # laid out: at least one a cycle and group


def test_acting_lowered_for_cuda_holds_no_cpu_kernel():
    learner = make_learner()
    observation = random_batch()
    traced = learner._jit_act.trace(learner.init(0).params, observation.frames[:, :4], observation.vector)
    assert calls(traced, "cuda") == []
    assert kinds(calls(traced, "cpu")) == {"conv"}


@pytest.mark.parametrize("update_actor", [False, True])
def test_a_cpu_program_holds_no_trace_of_the_choice(update_actor):
    """No branch, and none of XLA's convolutions."""
    learner = make_learner()
    traced = learner._jit_update.trace(learner.init(0), random_batch(), update_actor=update_actor)
    text = traced.lower().compile().as_text()
    assert "avtd3_conv_backward" in text
    assert not re.search(r" (conditional|convolution)\(", text)
    assert "platform_index" not in text


def reference_update(monkeypatch, obs_spec):
    """State and metrics after four updates by optax and XLA."""
    with monkeypatch.context() as patch:
        patch.setattr(fused_adam, "supports", lambda _: False)
        patch.setattr("avtd3_jax.encoders.conv_stack.conv.supports", lambda *_: False)
        patch.setattr("avtd3_jax.agent.networks.mlp.supports", lambda *_: False)
        return four_updates(obs_spec)


def four_updates(obs_spec):
    learner = make_learner(obs_spec)
    state = learner.init(0)
    metrics = []
    for number in range(4):
        state, packed = learner.step(state, host_batch(obs_spec, seed=number), number)
        metrics.append(np.asarray(packed))
    return state, np.concatenate(metrics)


@pytest.mark.parametrize("obs_spec", [BOTH, VECTOR], ids=["image and vector", "vector"])
def test_what_other_platforms_compute_is_the_same_update(obs_spec, monkeypatch):
    """The branch for other platforms, computed here: it is the program that a GPU gets."""
    plain = reference_update(monkeypatch, obs_spec)
    with monkeypatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", lambda *arguments, cpu, default: default(*arguments))
        other = four_updates(obs_spec)
    np.testing.assert_allclose(other[1], plain[1], rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(jax.tree.leaves(other[0].params), jax.tree.leaves(plain[0].params), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-6)


def test_kernels_refuse_numbers_of_another_size():
    """They would read a float64 as two float32."""
    weights = ((np.zeros((3, 3, 1, 32), np.float64), np.zeros(32, np.float32)),)
    with pytest.raises(TypeError, match="float64: they must be float32"):
        conv_stack(np.zeros((1, 1, 9, 11), np.uint8), weights, (1,))
    tree = {"w": np.zeros(3, np.float64)}
    with pytest.raises(TypeError, match="float64: they must be float32"):
        fused_adam.step(True, np.int32(1), 1e-3, 0.005, tree, tree, tree, tree)
