"""The random streams of an episode, and the scheme by which every stream of this repository is made.

A stream is addressed by a seed, a name and numbers, and made of nothing else:

    numpy.random.SeedSequence(entropy=seed, spawn_key=(crc32(name), *numbers))

So a stream does not depend on which others were drawn from, or when: a resumed run and a repeated episode draw what
they drew before. Two streams share no numbers, because names differ in their CRC-32 and numpy mixes the whole address;
nor does one share any with `numpy.random.default_rng(seed)`, which has no spawn key. A new stream takes a new name, and
a name is never given a second use.

An episode's seed is the one that `reset` was given; its streams are below. A run's streams are in `avtd3_jax.seeding`,
which draws the seeds of its episodes from two of them. The server draws for itself (what a map's or a sensor's own seed
says), and JAX's keys are of another generator, split as JAX has it.
"""

from enum import StrEnum
from zlib import crc32

import numpy as np


class EpisodeStream(StrEnum):
    """What is random in an episode."""

    START = "episode/start"
    ROUTE = "episode/route"
    TRAFFIC = "episode/traffic"  # with the number of vehicles
    TRAFFIC_MODELS = "episode/traffic-models"  # of a seed that TRAFFIC draws: models and colours
    WALKERS = "episode/walkers"  # with the number of walkers: models, and the seed of the client's crowd
    SCENARIO = "episode/scenario"
    WEATHER = "episode/weather"
    RANDOM_POLICY = "episode/random-policy"


def generator(seed: int, stream: EpisodeStream, *numbers: int) -> np.random.Generator:
    """A stream of the episode of `seed`, from its beginning."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(stream.encode()), *numbers)))
