"""How fast does the whole of training run, and who waits for whom? Figures are minicarla's, never CARLA's.

python -m benchmarks.train [--scenarios 0 2] [--batches 64] [--updates-per-step 0.5] [--envs 1 2] [--contenders ...]
    [--seconds 6] [--repetitions 5] [--against DIR] [--json FILE]

The contenders drive the same environment through the same env loop and sample the same replay:
  lock-step: ours; the environment stands still while an update is computed.
  act waits: ours with overlap=False; an update is computed beside the environment's step, and the next action waits.
  overlap: ours with overlap=True; an update may last until the next one.
  torch ...: benchmarks/rivals/torch_td3.py in lock-step, as PyTorch users write it.

Each row is a process of its own. All of a scenario are started one after the other, then they take turns, so that a
machine whose speed drifts slows all of them; whose turn it is not stands still. "x lock-step" is the steps/s over
those of lock-step, the first, in the same turn. --against DIR lets the same contenders of another checkout, for example
`git worktree add DIR COMMIT`, take their turns beside ours: "x COMMIT's" is our steps/s over those of the same loop
there, in the same turn. Every other turn runs in the reverse order, so that a steady drift favours neither.

Busy means: an update was being computed, or an environment was within `step`; the rest is idle. "alone" is the rate of
the environment with the policy and no updates, and of the updates with no environment; "% of the slower alone" is the
whole's rate over the lower of the two. The columns in ms say where the loop's thread is, per environment step; "act"
has the wait for an update in it; "env_step" and "env_reset" are the environments', in their processes where there are
several. "first update s" counts from the process's start, with empty compile caches, and includes the exploration.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import util
from pathlib import Path
from typing import Any

from avtd3_jax import runtime
from benchmarks.turns import Turns, checkout
from reporting.machine import ROOT, commit, machine
from reporting.publish import Spread, parser, publish

OURS = ("lock-step", "act waits", "overlap")
TORCH = ("torch eager NHWC", "torch compiled NHWC")


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument(
        "--scenarios", nargs="*", default=["0", "2"], help="empty, 0, 1, 2: 0, 20, 50, 100 NPC vehicles"
    )
    options.add_argument("--batches", type=int, nargs="*", default=[64])
    options.add_argument("--updates-per-step", type=float, default=0.5)
    options.add_argument(
        "--envs", type=int, nargs="*", default=[1, 2], help="environments: the first for all, the others for overlap"
    )
    options.add_argument("--contenders", nargs="*", default=[*OURS, *TORCH], choices=[*OURS, *TORCH])
    options.add_argument("--updates-per-dispatch", type=int, default=1)
    options.add_argument("--prefetch", type=int, default=0)
    options.add_argument("--seconds", type=float, default=6.0, help="of a measurement; half as long for what is alone")
    options.add_argument("--repetitions", type=int, default=5, help="turns of each row")
    options.add_argument("--against", type=checkout, metavar="DIR", help="another checkout, whose loops are compared")
    options.add_argument("--only", metavar="JSON", help="be one row: print what it measures when a line comes")
    args = options.parse_args()
    if args.only:
        from benchmarks.training_row import whole  # what the parent of all rows need not wait for

        print(json.dumps(whole(**json.loads(args.only))))
        return
    rows = []
    for scenario in args.scenarios:
        for batch in args.batches:
            values = {
                "scenario": scenario,
                "batch_size": batch,
                "updates_per_step": args.updates_per_step,
                "updates_per_dispatch": args.updates_per_dispatch,
                "replay.prefetch": args.prefetch,
            }
            entrants = [
                Entrant(contender, values, envs, home)
                for contender in args.contenders
                if contender in OURS or util.find_spec("torch")
                for envs in (args.envs if contender == "overlap" else args.envs[:1])
                for home in [ROOT, *([args.against] if args.against and contender in OURS else [])]
            ]
            rows += contest(entrants, args.seconds, args.repetitions)
    info = runtime.setup("auto")  # only now: its environment would reach the rows' processes
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


@dataclasses.dataclass(frozen=True)
class Entrant:
    """What is to be measured: who, with which settings, in how many environments, of which checkout."""

    contender: str
    values: Mapping[str, Any]
    envs: int = 1
    home: Path = ROOT

    @property
    def columns(self) -> dict[str, Any]:
        """That say which row it is."""
        return {
            "scenario": self.values["scenario"],
            "batch": self.values["batch_size"],
            "environments": self.envs,
            "loop": self.contender,
        } | ({} if self.home == ROOT else {"of": commit(self.home)})

    def command(self, seconds: float, repetitions: int) -> list[str]:
        """What measures it."""
        wanted = {"contender": self.contender, "values": self.values, "envs": self.envs}
        given = json.dumps(wanted | {"seconds": seconds, "repetitions": repetitions})
        return [sys.executable, "-m", "benchmarks.train", "--only", given]


def contest(entrants: Sequence[Entrant], seconds: float, repetitions: int) -> list[dict[str, Any]]:
    """A row for each, of `repetitions` turns; a "note" says why where there are no figures."""
    with ExitStack() as stack:
        started = []
        for entrant in entrants:
            started.append(stack.enter_context(Turns(entrant.command(seconds, repetitions), entrant.home)))
            print(f"started: {', '.join(f'{name} {value}' for name, value in entrant.columns.items())}", flush=True)
        for turn in range(repetitions):
            for process in started[:: -1 if turn % 2 else 1]:
                process.measure()
            print(f"turn {turn + 1} of {repetitions} is over", flush=True)
        found = [process.found() for process in started]
    pairs = list(zip(entrants, found, strict=True))
    first = f"x {entrants[0].contender}"
    rows = []
    for entrant, one in pairs:
        rivals = {first: found[0]}
        if entrant.home == ROOT:
            rivals |= {f"x {commit(other.home)}'s": its for other, its in pairs if _same_elsewhere(entrant, other)}
        rows.append(entrant.columns | _row(one, rivals))
    return rows


def _same_elsewhere(entrant: Entrant, other: Entrant) -> bool:
    return entrant != other and dataclasses.replace(entrant, home=other.home) == other


def _row(found: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Spreads over an entrant's turns, and over what its steps/s are times each rival's of the same turn."""
    if "note" in found:
        return {"note": found["note"]}
    turns = found["turns"]
    row = {name: Spread.of([turn[name] for turn in turns]) for name in turns[0]}
    for name, rival in rivals.items():
        if "turns" in rival:
            pairs = zip(turns, rival["turns"], strict=True)
            row[name] = Spread.of([own["steps/s"] / its["steps/s"] for own, its in pairs])
    return row | {"first update s": found["first update s"]}


if __name__ == "__main__":
    main()
