"""Means with 95 % intervals, whose unit is what was drawn independently: a training's seed.

Episodes of one seed share its policy, so many of them say much about that policy and little about the next seed's.
The interval over seeds is Student's t of the seeds' means. A bootstrap over seeds (rliable's, scipy's) suits dozens of
runs; of three it hardly leaves their least and greatest, and holds the true mean 7 times in 10, where Student's does so
9 times and more (tests/experiments/test_estimates.py). No table pools experiments or tasks, so there are no strata.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds or episodes with its 95 % interval.

    `low` and `high` are None where nothing can be said: there is one, or all are equal, so that their spread of 0 tells
    nothing of the next one.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    unit: Literal["seed", "episode"]


def over_seeds(means: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Mean of each seed's mean with Student's t interval, cut to what the metric can be.

    Args:
      means: one for each seed, at least one.
      least, most: bounds of the metric.
    """
    mean, n = float(np.mean(means)), len(means)
    if n == 1 or np.ptp(means) == 0.0:
        return Estimate(mean, None, None, n, "seed")
    low, high = stats.t.interval(CONFIDENCE, n - 1, loc=mean, scale=stats.sem(means))
    return Estimate(mean, max(float(low), least), min(float(high), most), n, "seed")


def over_episodes(summary: Mapping[str, Any]) -> Estimate:
    """What an evaluation file says of one policy, whose episodes were drawn independently."""
    alike = summary["low"] == summary["high"]
    low, high = (None, None) if alike else (summary["low"], summary["high"])
    return Estimate(summary["mean"], low, high, summary["n"], "episode")
