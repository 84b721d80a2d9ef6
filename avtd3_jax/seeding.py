"""The random streams of a run, made by the scheme that `envloop.seeding` documents: a seed, a name and numbers.

The learner's key is JAX's own: `jax.random.key(seed)`, split into that of each network's parameters and that of the
updates' noise. No numpy stream has its numbers.
"""

from enum import StrEnum
from zlib import crc32

import numpy as np


class RunStream(StrEnum):
    """What is random in a run, beside its parameters."""

    EXPLORATION = "run/exploration"  # with the number of the episode
    REPLAY = "run/replay"
    TRAINING = "run/training-episodes"  # with the number of the episode
    EVALUATION = "run/evaluation-episodes"  # with the number of the episode


def generator(seed: int, stream: RunStream, *numbers: int) -> np.random.Generator:
    """A stream of the run of `seed`, from its beginning."""
    return np.random.default_rng(_sequence(seed, stream, *numbers))


def episode_seed(seed: int, stream: RunStream, episode: int) -> int:
    """Seed for `env.reset` of episode number `episode` of TRAINING or EVALUATION, in [0, 2**31)."""
    return int(_sequence(seed, stream, episode).generate_state(1)[0] >> 1)


def _sequence(seed: int, stream: RunStream, *numbers: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(crc32(stream.encode()), *numbers))
