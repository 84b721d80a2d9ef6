"""Random streams: no two share numbers, none depends on another, and nobody makes one by another scheme."""

import ast
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from avtd3_jax import seeding as run_seeding
from avtd3_jax.seeding import RunStream, episode_seed
from envloop import seeding as episode_seeding
from envloop.seeding import EpisodeStream

ROOT = Path(__file__).parents[1]
STREAMS = [*EpisodeStream, *RunStream]
NUMBERS = [(), (0,), (1,), (2,), (0, 0)]


def numbers_of(stream, seed, *numbers, count=64):
    module = run_seeding if isinstance(stream, RunStream) else episode_seeding
    return module.generator(seed, stream, *numbers).integers(2**63, size=count).tolist()


def test_names_are_different_and_so_are_their_checksums():
    names = {str(stream) for stream in STREAMS}
    assert len(names) == len({crc32(name.encode()) for name in names}) == len(STREAMS)


def test_no_two_streams_share_a_number():
    seeds = [0, 1, 2, 2**31 - 1, 2**32, 2**40 + 1]
    addresses = [(stream, seed, *numbers) for seed in seeds for stream in STREAMS for numbers in NUMBERS]
    drawn = [number for address in addresses for number in numbers_of(*address)]
    for seed in seeds:  # nor with what Gymnasium, the server and anybody's own code would make of the seed
        for entropy in (seed, [seed], [seed, 1], [seed, 2]):
            drawn += np.random.default_rng(entropy).integers(2**63, size=64).tolist()
    # default_rng(s), default_rng([s]) and default_rng([s, 0]) are the same: one of them is enough.
    own = 64 * len(addresses)
    assert len(set(drawn[:own])) == own
    assert not set(drawn[:own]) & set(drawn[own:])


def test_a_stream_is_the_same_whatever_was_drawn_before_it():
    first = {(stream, seed): numbers_of(stream, seed, 3) for seed in (0, 7) for stream in STREAMS}
    backwards = {(stream, seed): numbers_of(stream, seed, 3, count=64) for seed in (7, 0) for stream in STREAMS[::-1]}
    assert first == backwards
    episodes = [episode_seed(5, RunStream.TRAINING, episode) for episode in range(100)]
    assert episodes[::-1] == [episode_seed(5, RunStream.TRAINING, episode) for episode in reversed(range(100))]


def test_episodes_have_seeds_of_their_own():
    seeds = [
        episode_seed(seed, stream, episode)
        for seed in range(5)
        for stream in (RunStream.TRAINING, RunStream.EVALUATION)
        for episode in range(1000)
    ]
    assert len(set(seeds)) >= len(seeds) - 1  # of 2**31, two of 10,000 are equal by chance in one case of 43
    assert 0 <= min(seeds) <= max(seeds) < 2**31


def test_the_streams_are_what_they_were():
    """Numbers of record: a run made before and resumed now would otherwise go on with others, in silence."""
    assert numbers_of(EpisodeStream.START, 3, count=1) == [7683330080002737106]
    assert numbers_of(RunStream.EXPLORATION, 3, 8, count=1) == [7307079937681030183]
    assert episode_seed(3, RunStream.TRAINING, 8) == 2066677914


# A suite's routes are a table of record, drawn once from its recipe's seed.
# The bootstrap of a table resamples what was measured; nothing is driven by it.
OTHERS = {"envloop/suites/make.py", "envloop/task/metrics.py"}
MAKERS = {"default_rng", "SeedSequence", "RandomState", "Generator", "PCG64", "Philox", "MT19937", "SFC64", "Random"}


@pytest.mark.parametrize(
    "path",
    [path for package in ("avtd3_jax", "envloop") for path in sorted((ROOT / package).rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_nobody_makes_a_stream_by_another_scheme(path):
    name = path.relative_to(ROOT).as_posix()
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    called = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    if name in ("avtd3_jax/seeding.py", "envloop/seeding.py"):
        assert called & MAKERS == {"default_rng", "SeedSequence"}
    elif name not in OTHERS:
        assert not called & MAKERS
        from_modules = {ast.unparse(func.value) for func in calls if isinstance(func, ast.Attribute)}
        assert not from_modules & {"random", "np.random", "numpy.random"}, "the process's own generators"
