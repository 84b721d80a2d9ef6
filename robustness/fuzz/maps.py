"""OpenDRIVE texts that no editor writes."""

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import msgpack

from minicarla.maps import load_town
from minicarla.maps.loader import structural_flaw
from robustness.fuzz.harness import Finding, Harness
from robustness.fuzz.mutate import Input

_NUMBER = re.compile(r'"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"')
_VALUES = ("0", "-1", "1", "99", "1e9", "-1e9", "1e-9", "1e308", "1e400", "nan", "inf", "-0", "", "x", "0x10", "\u0661")
_LANE = (
    '<lane id="{id}" type="driving" level="false"><link/><width sOffset="0" a="4" b="0" c="0" d="0"/>'
    '<roadMark sOffset="0" type="solid" weight="standard" color="standard" width="0.13"/></lane>'
)
_ROAD = (
    '<road name="r{id}" length="{length}" id="{id}" junction="-1">\n<link>{link}</link>\n<planView>\n'
    '<geometry s="0" x="{x}" y="0" hdg="0" length="{length}">\n<line/>\n</geometry>\n</planView>\n'
    '<elevationProfile>\n<elevation s="0" a="0" b="0" c="0" d="0"/>\n</elevationProfile>\n<lanes>\n'
    '<laneSection s="0">\n<left>\n{left}\n</left>\n<center>\n<lane id="0" type="none" level="false"/>\n</center>\n'
    "<right>\n{right}\n</right>\n</laneSection>\n</lanes>\n<signals>\n"
    '<signal id="9{id}" name="light" s="5" t="-6" zOffset="0" hOffset="0" roll="0" pitch="0" orientation="-" '
    'dynamic="yes" type="1000001" subtype="-1" value="-1" country="" width="1" height="1"/>\n</signals>\n</road>\n'
)
_PARAMETERS = [2.0, 50.0, 1.0, 0.6, True, True, True]


def small_map() -> str:
    """Two roads, one behind the other, with a traffic light each."""
    lanes = {"left": _LANE.format(id=1), "right": _LANE.format(id=-1)}
    ends = [f'<{way} elementType="road" elementId="{to}" contactPoint="{at}"/>'
            for way, to, at in (("successor", 2, "start"), ("predecessor", 1, "end"))]  # fmt: skip
    roads = [_ROAD.format(id=i + 1, length=60, x=60 * i, link=end, **lanes) for i, end in enumerate(ends)]
    head = '<header revMajor="1" revMinor="4" name="small"><geoReference>+lat_0=1 +lon_0=2</geoReference></header>'
    return f'<?xml version="1.0"?>\n<OpenDRIVE>\n{head}\n{"".join(roads)}</OpenDRIVE>\n'


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


def fuzz_maps(seed: int, count: int, folder: Path, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """`count` texts through the check that a text has to pass before anything else reads it."""
    rng = random.Random(seed)
    xodr = small_map()
    findings = refused = 0
    for number in range(count):
        text = mutated_map(xodr, rng)
        try:
            refused += structural_flaw(text) is not None
        except Exception as error:
            findings += 1
            _keep(text, folder / f"map-{number}.xodr", f"the check of a map failed: {error!r}")
    return {"refused": refused, "findings": findings}


def load_maps(seed: int, count: int, folder: Path, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """`count` texts sent by a client that then loads what became of them, and ticks."""

    async def run() -> dict[str, Any]:
        rng = random.Random(seed + 1)
        xodr, findings = small_map(), 0
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
                _keep(text, folder / f"loaded-{number}.xodr", str(finding))
        return harness.figures() | {"findings": findings}

    return asyncio.run(run())


def _keep(text: str, path: Path, what: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"{what}; the map is {path}", flush=True)
