"""Exploration noise: repeatable per episode, with the statistics that its config names."""

import numpy as np
import pytest

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.schema import ExplorationConfig
from avtd3_jax.training.exploration import EpisodeNoise

CONFIG = ExplorationConfig(mean=(0.0, 0.3), std=(0.1, 0.2), correlation=0.9, policy_noise=0.1)


def draw(config, seed, episode, steps):
    noise = EpisodeNoise(config, 2, seed, episode)
    return np.stack([noise.explore() for _ in range(steps)])


def test_an_episode_repeats_and_differs_from_the_others():
    first = draw(CONFIG, 1, 5, 20)
    np.testing.assert_array_equal(first, draw(CONFIG, 1, 5, 20))
    assert not np.array_equal(first, draw(CONFIG, 1, 6, 20))
    assert not np.array_equal(first, draw(CONFIG, 2, 5, 20))


def test_mean_deviation_and_correlation_are_the_configured_ones():
    actions = draw(CONFIG, 0, 0, 40_000)
    np.testing.assert_allclose(actions.mean(0), CONFIG.mean, atol=0.02)
    np.testing.assert_allclose(actions.std(0), CONFIG.std, rtol=0.1)
    centred = actions[:, 0] - actions[:, 0].mean()
    assert abs((centred[1:] * centred[:-1]).mean() / centred.var() - CONFIG.correlation) < 0.02
    assert actions.dtype == np.float32


def test_the_first_action_is_as_random_as_any_other():
    first = np.array([draw(CONFIG, 0, episode, 1)[0] for episode in range(2000)])
    np.testing.assert_allclose(first.std(0), CONFIG.std, rtol=0.1)


def test_actions_stay_legal_however_wild_the_noise():
    wild = ExplorationConfig(mean=(0.9, -0.9), std=(2.0, 2.0), correlation=0.0, policy_noise=3.0)
    noise = EpisodeNoise(wild, 2, 0, 0)
    for _ in range(200):
        assert np.abs(noise.explore()).max() <= 1.0
        assert np.abs(noise.perturb(np.zeros(2, np.float32))).max() <= 1.0


def test_policy_noise_has_its_deviation_and_leaves_the_mean():
    noise = EpisodeNoise(CONFIG, 2, 0, 0)
    perturbed = np.stack([noise.perturb(np.array([0.2, -0.1], np.float32)) for _ in range(5000)])
    np.testing.assert_allclose(perturbed.mean(0), [0.2, -0.1], atol=0.01)
    np.testing.assert_allclose(perturbed.std(0), 0.1, rtol=0.1)


def test_one_value_serves_every_action_dimension():
    one = ExplorationConfig(mean=(0.3,), std=(0.1,), correlation=0.9, policy_noise=0.1)
    three = ExplorationConfig(mean=(0.3,) * 3, std=(0.1,) * 3, correlation=0.9, policy_noise=0.1)
    noise, same = EpisodeNoise(one, 3, 0, 0), EpisodeNoise(three, 3, 0, 0)
    for _ in range(3):
        action = noise.explore()
        np.testing.assert_array_equal(action, same.explore())
        assert len(set(action.tolist())) == 3


def test_another_number_of_values_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"exploration.mean has 2 values and the action 3 dimensions"):
        EpisodeNoise(CONFIG, 3, 0, 0)
