"""Exploration covers ground: uniform throttle and brake would cancel out and park the car. On a real server."""

import numpy as np
import pytest

from avtd3_jax.settings.schema import ExplorationConfig
from avtd3_jax.training.exploration import EpisodeNoise
from envloop.config import EnvConfig
from envloop.env import CarlaEnv

EPISODES = 8


def mean_distance_m(env: CarlaEnv, config: ExplorationConfig) -> float:
    """Driven from the route's beginning, from rest."""
    driven = []
    for episode in range(EPISODES):
        env.reset(seed=episode, options={"start": "beginning"})
        noise, ended = EpisodeNoise(config, 2, seed=0, episode=episode), False
        while not ended:
            *_, terminated, truncated, info = env.step(noise.explore())
            ended = terminated or truncated
        driven.append(1000.0 * info["episode_metrics"]["distance_km"])
    return float(np.mean(driven))


@pytest.fixture
def env():
    made = CarlaEnv(EnvConfig())
    yield made
    made.close()


def test_the_default_exploration_covers_ground(env):
    shipped = ExplorationConfig()
    uniform = ExplorationConfig(mean=(0.0, 0.0), std=(0.577, 0.577), correlation=0.0, policy_noise=0.0)
    covered = mean_distance_m(env, shipped)
    assert covered > 12.0
    assert covered > 3.0 * mean_distance_m(env, uniform)
