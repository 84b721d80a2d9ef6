"""Every random stream of a run, addressed by counters: a resumed run and an evaluation repeat theirs exactly."""

import numpy as np

TRAINING, EVALUATION = 0, 2  # 1 is the exploration noise, see exploration.py


def episode_seed(seed: int, stream: int, episode: int) -> int:
    """Seed for `env.reset` of episode number `episode` of a stream, in [0, 2**31)."""
    return int(np.random.SeedSequence([seed, stream, episode]).generate_state(1)[0] >> 1)
