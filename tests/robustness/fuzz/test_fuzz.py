"""A little of what `python -m robustness.fuzz` does by the million, and everything that it has found so far."""

import asyncio
from pathlib import Path

import pytest

from minicarla.maps import Town, load_town
from robustness.fuzz.harness import Finding, Harness
from robustness.fuzz.maps import fuzz_maps
from robustness.fuzz.mutate import Input
from robustness.fuzz.record import CORPUS
from robustness.fuzz.sequences import Journal, feed_all, fuzz, read_sequence

FOUND = sorted((CORPUS / "found").glob("*.msgpack"))
INPUTS = 3000


@pytest.fixture(scope="module")
def town() -> Town:
    return load_town()


def test_nothing_that_was_found_is_found_again(town: Town):
    async def run() -> None:
        harness = Harness(town, asyncio.get_running_loop())
        for path in FOUND:
            try:
                await feed_all(harness, read_sequence(path))
            except Finding as finding:
                pytest.fail(f"{path.name}: {finding}")

    assert FOUND
    asyncio.run(run())


def test_a_few_thousand_inputs_leave_the_server_well(town: Town, tmp_path: Path):
    async def run() -> int:
        return await fuzz(Harness(town, asyncio.get_running_loop()), 1, INPUTS, Journal(tmp_path))

    assert asyncio.run(run()) == 0


def test_the_harness_finds_what_is_wrong(town: Town, monkeypatch: pytest.MonkeyPatch):
    """Otherwise its silence would say nothing."""

    async def run() -> None:
        harness = Harness(town, asyncio.get_running_loop())
        monkeypatch.setattr("minicarla.world.tick.tick", lambda *_: 1 / 0)
        with pytest.raises(Finding, match="ZeroDivisionError"):
            await feed_all(harness, [Input("rpc", b"\x94\x00\x01\xa8tick_cue\x91\x91\xc2")])

    asyncio.run(run())


def test_no_text_breaks_the_check_of_a_map(tmp_path: Path):
    figures = fuzz_maps(1, 40, tmp_path)
    assert figures["findings"] == 0
    assert 0 < figures["refused"] <= 40


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000
