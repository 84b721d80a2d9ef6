"""OpenDRIVE texts that no editor writes."""

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import msgpack

from benchmarks.fuzz.harness import Finding, Harness
from benchmarks.fuzz.mutate import Input
from envloop.minicarla.maps import load_town
from envloop.minicarla.maps.loader import structural_flaw

_NUMBER = re.compile(r'"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"')
_VALUES = ("0", "-1", "1", "99", "1e9", "-1e9", "1e-9", "1e308", "1e400", "nan", "inf", "-0", "", "x", "0x10", "\u0661")
_PARAMETERS = [2.0, 50.0, 1.0, 0.6, True, True, True]


def mutated_map(xodr: str, rng: random.Random) -> str:
    """A map with some of its numbers, lines or characters changed."""
    pick = rng.random()
    if pick < 0.6:
        spots = list(_NUMBER.finditer(xodr))
        for spot in sorted(rng.sample(spots, rng.choice((1, 1, 2, 5))), key=lambda s: -s.start()):
            xodr = f'{xodr[: spot.start()]}"{rng.choice(_VALUES)}"{xodr[spot.end() :]}'
        return xodr
    if pick < 0.85:
        lines = xodr.splitlines(keepends=True)
        for _ in range(rng.randrange(1, 4)):
            place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            action = rng.random()
            if action < 0.4:
                del lines[place]
            elif action < 0.7:
                lines.insert(place, lines[other])
            else:
                lines[place], lines[other] = lines[other], lines[place]
        return "".join(lines)
    place = rng.randrange(len(xodr))
    wedge = rng.choice(("<", "&lol;", "<!DOCTYPE x>", "\0", "]]>", "<road>" * 2000, "é", "\ud7ff", '"'))
    return xodr[:place] + wedge + xodr[place:] if pick < 0.97 else xodr[:place]


def fuzz_maps(seed: int, count: int, folder: Path) -> dict[str, Any]:
    """`count` texts through the check that a text has to pass before anything else reads it."""
    rng = random.Random(seed)
    xodr = _small_map()
    findings = refused = 0
    for number in range(count):
        text = mutated_map(xodr, rng)
        try:
            refused += structural_flaw(text) is not None
        except Exception as error:
            findings += 1
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"map-{number}.xodr"
            path.write_text(text)
            print(f"the check of a map failed: {error!r}; the map is {path}", flush=True)
    return {"refused": refused, "findings": findings}


def load_maps(seed: int, count: int, folder: Path) -> dict[str, Any]:
    """`count` texts sent by a client that then loads what became of them, and ticks."""

    async def run() -> dict[str, Any]:
        rng = random.Random(seed + 1)
        xodr, findings = _small_map(), 0
        harness = Harness(load_town(), asyncio.get_running_loop())
        for number in range(count):
            text = mutated_map(xodr, rng)
            sent = (("copy_opendrive_to_file", [text, _PARAMETERS]), ("load_new_episode", ["OpenDriveMap", True, 0]))
            try:
                await harness.begin()
                for name, arguments in (*sent, ("tick_cue", [])):
                    await harness.feed(Input("rpc", msgpack.packb([0, number, name, [[False], *arguments]])))
                await harness.probe()
            except Finding as finding:
                findings += 1
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"map-{number}.xodr"
                path.write_text(text)
                print(f"{finding}; the map is {path}", flush=True)
        before, after = harness.memory
        return {"longest ms": 1e3 * harness.longest_s, "MB before": before >> 20, "MB after": after >> 20,
                "findings": findings}  # fmt: skip

    return asyncio.run(run())


def _small_map() -> str:
    """A town of few roads."""
    return load_town("Grid01").xodr
