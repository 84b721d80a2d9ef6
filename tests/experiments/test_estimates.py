"""Intervals have the seed as their unit, and hold what they say that they hold."""

import itertools
import math
from statistics import NormalDist, fmean

import numpy as np
import pytest

from experiments.estimates import over_episodes, over_seeds

T_OF_2, T_OF_4 = 4.302653, 2.776445  # 97.5 % quantiles of Student's t, from printed tables


def test_three_seeds_by_hand():
    """18, 20 and 18 of 20: mean 14/15, sum of squares (1/30)^2 * 2 + (1/15)^2 = 1/150, over 2 degrees and 3 seeds."""
    found = over_seeds([0.9, 1.0, 0.9])
    error = math.sqrt(1 / 150 / 2 / 3)
    assert (found.mean, found.n, found.unit) == (pytest.approx(14 / 15), 3, "seed")
    assert found.low == pytest.approx(14 / 15 - T_OF_2 * error, abs=1e-6)
    assert found.high == pytest.approx(14 / 15 + T_OF_2 * error, abs=1e-6)
    assert over_seeds([0.9, 1.0, 0.9], 0.0, 1.0).high == 1.0


def test_five_seeds_by_hand():
    """1..5: mean 3, variance 2.5."""
    found = over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.high) == pytest.approx(
        (3 - T_OF_4 * math.sqrt(0.5), 3 + T_OF_4 * math.sqrt(0.5)), abs=1e-5
    )


@pytest.mark.parametrize("means", [[0.6], [1.0, 1.0, 1.0]])
def test_no_interval_where_there_is_no_spread_to_tell_it_from(means):
    found = over_seeds(means)
    assert (found.mean, found.low, found.high, found.n) == (means[0], None, None, len(means))


def test_of_one_policy_the_episodes_are_the_unit():
    found = over_episodes({"mean": 0.5, "low": 0.3, "high": 0.7, "n": 20})
    assert (found.mean, found.low, found.high, found.n, found.unit) == (0.5, 0.3, 0.7, 20, "episode")
    assert over_episodes({"mean": 1.0, "low": 1.0, "high": 1.0, "n": 20}).low is None


def bootstrap(means: list[float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap over all resamples there are, with none left to chance."""
    found = sorted(fmean(drawn) for drawn in itertools.product(means, repeat=len(means)))
    return found[math.floor(0.025 * len(found))], found[math.ceil(0.975 * len(found)) - 1]


def pooled(means: list[float], episodes: int) -> tuple[float, float]:
    """Wilson's interval as if all episodes of all seeds were independent."""
    n, p, z = len(means) * episodes, fmean(means), NormalDist().inv_cdf(0.975)
    centre, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


@pytest.mark.parametrize(("seeds", "bootstraps"), [(3, 0.72), (5, 0.82)])
def test_how_often_an_interval_holds_the_true_success(seeds, bootstraps):
    """Trainings whose policies succeed in 83 % of episodes on average, with a spread of 10 % from seed to seed."""
    rng, truth, spread, episodes, trials = np.random.default_rng(0), 0.83, 0.10, 20, 600
    strength = truth * (1 - truth) / spread**2 - 1
    held = {"ours": 0, "bootstrap": 0, "pooled": 0}
    for _ in range(trials):
        of_policies = rng.beta(truth * strength, (1 - truth) * strength, seeds)
        means = (rng.binomial(episodes, of_policies) / episodes).tolist()
        found = over_seeds(means, 0.0, 1.0)
        held["ours"] += found.low is not None and found.low <= truth <= found.high
        for name, (low, high) in (("bootstrap", bootstrap(means)), ("pooled", pooled(means, episodes))):
            held[name] += low <= truth <= high
    shares = {name: count / trials for name, count in held.items()}
    assert shares["ours"] > 0.90
    assert shares["bootstrap"] == pytest.approx(bootstraps, abs=0.06)
    assert shares["pooled"] < 0.85
