"""How fast does the env loop turn, and where does the time go? Figures are minicarla's, never CARLA's.

python -m benchmarks.envloop [--cores 1] [--steps 1000] [--repetitions 3] [--rows PART ...] [--against DIR]
    [--json FILE]

Each row is a process of its own, with its server and its Traffic Manager. A step is a tick of 0.05 s. "floor steps/s"
is what one core would reach with a server that costs nothing. Of a bare client's row that is the stock client and its
Traffic Manager alone: CARLA's own library, whatever the server. CarlaEnv's rows have its own share too.
--against DIR lets the packages of another checkout, for example `git worktree add DIR COMMIT`, take turns with ours,
every other time in the reverse order: "x COMMIT's" is our steps/s over theirs, in the same turn.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import repeat, seconds
from benchmarks.turns import Turns, checkout
from envloop.config import EnvConfig
from envloop.env import CarlaEnv
from envloop.task.observation import vector_observation
from envloop.task.pictures import grey_84
from envloop.task.scenario import DENSITIES
from reporting.machine import ROOT, commit, machine
from reporting.publish import Spread, chosen, parser, publish

_CAMERAS: tuple[tuple[int, int] | None, ...] = (None, (256, 144), (800, 600))
_BARE_TRAFFIC = (20, 100)
_CROWDS = (("0", 0), ("1", 0), ("2", 0), ("0", 50), ("2", 250))  # scenario, walkers


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--cores", type=int, default=1, help="client and server together may use so many")
    options.add_argument("--steps", type=int, default=1000, help="a turn")
    options.add_argument("--repetitions", type=int, default=3, help="turns of each row")
    options.add_argument("--rows", nargs="+", metavar="PART", help="these alone: parts of their names")
    options.add_argument(
        "--against", type=checkout, metavar="DIR", help="another checkout, whose packages are compared"
    )
    args = options.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])  # inherited by the rows and their servers

    wanted = {name: row for name, row in everything().items() if chosen(name, args.rows)}
    if not wanted:
        options.error(f"no row has such a name; there are: {', '.join(everything())}")
    where = machine()
    rows = [
        contest(name, row | {"steps": args.steps, "repetitions": args.repetitions}, args.against)
        for name, row in wanted.items()
    ]
    if not args.rows:
        rows += preprocessing(args.repetitions)
    publish(rows, where, args.json)


def everything() -> dict[str, dict[str, Any]]:
    """What there is to measure, by name."""
    rows: dict[str, dict[str, Any]] = {}
    for size in _CAMERAS:
        rows[f"bare client, {'no camera' if size is None else f'{size[0]}x{size[1]} camera'}"] = {"camera": size}
    for vehicles in _BARE_TRAFFIC:
        rows[f"bare client, {vehicles} NPC vehicles"] = {"camera": None, "vehicles": vehicles}
    for scenario, walkers in _CROWDS:
        crowd = f"{DENSITIES[scenario].vehicles} NPC vehicles{f' and {walkers} walkers' if walkers else ''}"
        rows[f"CarlaEnv, {crowd}"] = {"scenario": scenario, "walkers": walkers}
    return rows


def contest(name: str, wanted: dict[str, Any], against: Path | None) -> dict[str, Any]:
    """A row: ours, and how many times the other checkout's steps/s, turn by turn."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("envloop_row.py")), json.dumps(wanted)]
    homes = [ROOT, *([against] if against else [])]
    with ExitStack() as stack:
        started = [stack.enter_context(Turns(command, home)) for home in homes]
        for turn in range(wanted["repetitions"]):
            for process in started[:: -1 if turn % 2 else 1]:
                process.measure()
        found = [process.found() for process in started]
    print(f"measured: {name}", flush=True)
    ours = found[0]
    if "note" in ours:
        return {"what": name, "note": ours["note"]}
    turns = ours["turns"]
    row: dict[str, Any] = {"what": name}
    row |= {column: Spread.of([turn[column] for turn in turns]) for column in turns[0]}
    if against and "turns" in found[1]:
        pairs = zip(turns, found[1]["turns"], strict=True)
        row[f"x {commit(against)}'s"] = Spread.of([own["steps/s"] / its["steps/s"] for own, its in pairs])
    return row


def preprocessing(repetitions: int, calls: int = 500) -> list[dict[str, Any]]:
    """What CarlaEnv adds in pure Python per step: the picture to 84x84, the 23 numbers."""
    with closing(CarlaEnv(EnvConfig())) as env:
        env.reset(seed=0, options={"start": "beginning"})
        picture = np.random.default_rng(0).integers(0, 256, (144, 256, 4), np.uint8)
        episode, route_task, config = env.episode, env.route_task, env.config.vector

        def vectors() -> None:
            for _ in range(calls):
                vector_observation(episode.ego, episode.projection, route_task.route, config)

        def pictures() -> None:
            for _ in range(calls):
                grey_84(picture)

        def per_call(work: Callable[[], None]) -> float:
            return 1e3 * seconds(work) / calls

        return [
            {"what": name, "ms": repeat(partial(per_call, work), repetitions)}
            for name, work in (("picture to 84x84 grey", pictures), ("vector of 23", vectors))
        ]


if __name__ == "__main__":
    main()
