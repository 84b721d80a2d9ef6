"""Stable-Baselines3's TD3 has the settings of the run that it is compared with."""

import numpy as np
import pytest

pytest.importorskip(
    "stable_baselines3", reason="stable-baselines3 is not installed: pip install -e .[bench] to test this rival"
)

from stable_baselines3 import TD3

from avtd3_jax.settings.config_file import load
from reporting.machine import ROOT
from reporting.rival import sb3_td3


def test_its_settings_are_those_of_the_run():
    changes = {"env.id": "Pendulum-v1", "exploration_steps": 20, "agent.gamma": 0.9, "agent.critic_lr": 2e-3}
    changes |= {"batch_size": 16, "replay.capacity": 500, "agent.hidden": (8, 4), "exploration.policy_noise": 0.3}
    model = sb3_td3(TD3, load(ROOT / "configs" / "mujoco.py", changes), seed=3, device="cpu")
    assert (model.gamma, model.learning_rate, model.batch_size, model.seed) == (0.9, 2e-3, 16, 3)
    assert (model.buffer_size, model.learning_starts) == (500, 20)
    assert [layer.out_features for layer in model.actor.mu if hasattr(layer, "out_features")] == [8, 4, 1]
    noise = np.array([model.action_noise() for _ in range(2_000)])
    assert (noise.mean(), noise.std()) == pytest.approx((0.0, 0.3), abs=0.03)
    model.learn(30)
    assert model._n_updates == 10
