"""How fast is the training of small networks from vectors alone, beside Stable-Baselines3 and SBX?

python -m benchmarks.small [--env HalfCheetah-v5] [--contenders ...] [--seconds 8] [--repetitions 5] [--json FILE]

TD3 with two hidden layers of 256, batches of 256, one update a step, on two cores (or those that the process may use):
  ours: the training command with configs/mujoco.py, its log and its checkpoints included; in float32, the setting of
    record, and with agent.compute_dtype="bfloat16".
  SB3, SBX: `model.learn`, as their users call it; SB3 also with its updates under PyTorch's autocast to bfloat16.
  environment alone: random actions, no learner.

Each is a process of its own. All learn first, then they take turns as in `benchmarks.train`; whose turn it is not
stands still within its environment's step. "x ours" is our float32 steps/s over theirs, in the same turn, and
"x ours, bfloat16" our bfloat16 steps/s. It needs
`pip install -e '.[bench]'`.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import gymnasium as gym

from benchmarks.rivals.small import TRAININGS
from benchmarks.turns import READY, Turns
from reporting.machine import ROOT, machine
from reporting.publish import Spread, parser, publish

_OURS = ("ours", "ours, bfloat16")
_METERED = "Metered-v0"
_EXPLORATION, _LEARNED = 500, 100  # steps before the first update, and updates before the first turn
_WARM_UP_S = 0.5  # of a turn


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--env", default="HalfCheetah-v5")
    options.add_argument("--contenders", nargs="*", default=list(TRAININGS), choices=list(TRAININGS))
    options.add_argument("--seconds", type=float, default=8.0)
    options.add_argument("--repetitions", type=int, default=5, help="turns of each row")
    options.add_argument("--only", help="be one row: measure when a line comes")
    args = options.parse_args()
    if args.only:
        measured(args.only, args.env, args.seconds, args.repetitions)
        return
    turn = ["--env", args.env, "--seconds", str(args.seconds), "--repetitions", str(args.repetitions)]
    rows = contest(args.contenders, turn, args.repetitions)
    publish([{"env": args.env, **row} for row in rows], machine(), args.json)


def contest(contenders: Sequence[str], turn: Sequence[str], repetitions: int) -> list[dict[str, Any]]:
    """A row for each; a "note" says why where there are no figures."""
    with ExitStack() as stack:
        started = []
        for name in contenders:
            command = [sys.executable, "-m", "benchmarks.small", "--only", name, *turn]
            started.append(stack.enter_context(Turns(command, ROOT)))
            print(f"started: {name}", flush=True)
        for number in range(repetitions):
            for process in started[:: -1 if number % 2 else 1]:
                process.measure()
            print(f"turn {number + 1} of {repetitions} is over", flush=True)
        found = dict(zip(contenders, (process.found() for process in started), strict=True))
    rows = []
    for name, one in found.items():
        row: dict[str, Any] = {"what": name}
        if "note" in one:
            row["note"] = one["note"]
        else:
            row["steps/s"] = Spread.of(one["steps/s"])
            row["ms a step"] = Spread.of([1e3 / rate for rate in one["steps/s"]])
            for ours in _OURS:
                if rates := found.get(ours, {}).get("steps/s"):
                    row[f"x {ours}"] = Spread.of([mine / its for mine, its in zip(rates, one["steps/s"], strict=True)])
        rows.append(row)
    return rows


def measured(contender: str, env_id: str, seconds: float, repetitions: int) -> None:
    """Trains in an environment that takes the turns, and ends the process after the last."""
    learned = 0 if contender == "environment alone" else _EXPLORATION + _LEARNED

    def make(**kwargs: Any) -> gym.Env:
        return Metered(gym.make(env_id, **kwargs), learned, seconds, repetitions)

    gym.register(_METERED, make, max_episode_steps=1_000)
    TRAININGS[contender](_METERED, 10_000_000, _EXPLORATION)


class Metered(gym.Wrapper):
    """Counts its steps a second, `repetitions` times from step number `first` on, whenever a line comes on stdin."""

    def __init__(self, env: gym.Env, first: int, seconds: float, repetitions: int) -> None:
        super().__init__(env)
        self._first = first
        self._seconds = seconds
        self._repetitions = repetitions
        self._course = self._measuring()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        next(self._course)
        return self.env.step(action)

    def _measuring(self) -> Iterator[None]:
        """What is done between the steps, each of which is a `yield`."""
        for _ in range(self._first):
            yield
        rates = []
        for _ in range(self._repetitions):
            print(READY, flush=True)
            sys.stdin.readline()
            yield from _for(_WARM_UP_S)
            began, steps = time.perf_counter(), 0
            for _ in _for(self._seconds):
                steps += 1
                yield
            rates.append(steps / (time.perf_counter() - began))
        print(json.dumps({"steps/s": rates}), flush=True)
        os._exit(0)  # a library's own end would save and close what nobody reads


def _for(seconds: float) -> Iterator[None]:
    """So many seconds' steps."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield


if __name__ == "__main__":
    main()
