"""The Stable-Baselines3 rival runs, on the spaces that the learner has."""

import numpy as np
import pytest

from avtd3_jax import runtime

runtime.setup("cpu")
pytest.importorskip(
    "stable_baselines3", reason="stable-baselines3 is not installed: pip install -e .[bench] to test this rival"
)

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec  # noqa: E402
from avtd3_jax.settings.config_file import load  # noqa: E402
from benchmarks.common import OF_RECORD  # noqa: E402
from benchmarks.rivals import sb3  # noqa: E402

OBS, ACTION = ObsSpec((4, 36, 36), 5), ActionSpec(2)


def weights(module):
    return [parameter.detach().numpy().copy() for parameter in module.parameters()]


def test_two_updates_train_critic_then_actor():
    rival = sb3.SB3Learner(OBS, ACTION, load(OF_RECORD).agent, batch=4)
    policy = rival._model.policy
    actor, critic = weights(policy.actor), weights(policy.critic)
    rival.update()
    assert all((a == b).all() for a, b in zip(actor, weights(policy.actor), strict=True))
    assert any((a != b).any() for a, b in zip(critic, weights(policy.critic), strict=True))
    rival.update()
    assert any((a != b).any() for a, b in zip(actor, weights(policy.actor), strict=True))


def test_replay_takes_the_random_transitions():
    buffer = sb3.replay(OBS, ACTION, 8)
    for _ in range(10):
        buffer.add(*sb3.random_transition(np.random.default_rng(0), OBS, ACTION))
    assert buffer.sample(4).observations["image"].shape == (4, 4, 36, 36)
