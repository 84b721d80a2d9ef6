"""python -m robustness.faults soak: one training, a fault every so often, and what is left of the machine afterwards.

The training has one environment, on an external server over a wire, or two, the first on an embedded server; faults are
drawn at random from those that its kind can meet.
"""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avtd3_jax import runtime
from reporting.machine import machine
from reporting.publish import Spread, parser, publish
from robustness.faults import injections
from robustness.faults.injections import Fault
from robustness.faults.ledger import Books, books
from robustness.faults.stage import Needs, Stage
from robustness.faults.strike import strike
from robustness.faults.training import TrainingEnded
from robustness.faults.usage import COUNTED, Sample, Watch, quarters, slope

_ON_THE_WIRE: tuple[type[Fault], ...] = (
    injections.ExternalServerStopped,
    injections.ServerRestarted,
    injections.StreamCut,
    injections.FrameNotDelivered,
    injections.AnswersHeld,
    injections.OutOfFileDescriptorsAlone,
    injections.ClockJump,
    injections.TensorBoardRemoved,
    injections.TrafficManagerPortTaken,
)
_EMBEDDED: tuple[type[Fault], ...] = (
    injections.ServerKilled,
    injections.ServerStopped,
    injections.OutOfFileDescriptors,
    injections.EnvProcessKilled,
)
_ENDLESS = 10_000_000  # steps; it is told to stop
_SAMPLE_S = 2.0
_WARM_UP = 0.25  # of the time: the replay fills, caches and allocators grow to their size
_LEAK_MB_PER_FAULT = 0.25


def main(argv: Sequence[str]) -> int:
    """The command; its exit code is 1 when something was lost or leaked."""
    options = parser(__doc__)
    options.prog = "python -m robustness.faults soak"
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--every", type=float, default=20.0, help="seconds between two faults, on average")
    options.add_argument("--environments", type=int, choices=(1, 2), default=1)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args(argv)
    runtime.setup("cpu")
    where = machine()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        run = Soak(Path(folder) / "run", args.environments, args.seed)
        run.run(60.0 * args.minutes, args.every)
        rows = run.rows()
    publish(rows, where, args.json)
    if args.json is not None:
        from robustness.faults import picture  # matplotlib is an extra

        picture.of_soak(run.watch.samples, run.marks, args.json.with_suffix(".png"))
    print(f"\nverdict: {run.verdict}")
    return int(run.verdict != Soak.GOOD)


class Soak:
    """One training under faults."""

    GOOD = "nothing lost, nothing leaked"

    def __init__(self, workdir: Path, environments: int, seed: int) -> None:
        self.marks: list[tuple[float, str]] = []  # (seconds, fault)
        self.verdict = "not run"
        self._workdir = workdir
        self._rng = random.Random(seed)
        self._kinds = _ON_THE_WIRE + (_EMBEDDED if environments > 1 else ())
        self._recoveries: list[tuple[str, float]] = []
        self._books: Books | None = None
        self._trouble: list[str] = []
        values = {"num_envs": environments, "scenario": "0", "replay.capacity": 1_000, "checkpoint_every": 300}
        values |= {"total_steps": _ENDLESS, "seed": seed}
        self._stage = Stage(Needs(external=True, shims=("clock", "ports"), values=values), workdir)

    def run(self, seconds: float, every_s: float) -> None:
        """Trains for `seconds`, with a fault every `every_s` seconds on average, then ends the run in order."""
        with self._stage as stage:
            training = stage.training
            try:
                training.reach(300)
                with Watch(training.family, _SAMPLE_S) as self.watch:
                    self._strike_for(seconds, every_s)
                training.process.terminate()
                code = training.finish()
                if code != 143:
                    self._trouble.append(f"told to end, it ended with {code}: {training.last_words()}")
            except TrainingEnded as error:
                self._trouble.append(str(error))
            torn = list(training.torn)
            self._check_nobody_is_left()
        if not self._trouble:
            self._books = books(self._workdir, torn)
            if self._books.missing or not self._books.finite:
                self._trouble.append(f"the books do not balance: {self._books}")
        self._trouble += self._leaks()
        self.verdict = "; ".join(self._trouble) or self.GOOD

    def rows(self) -> list[dict[str, Any]]:
        """One for each kind of fault, one for the whole, one for each thing that is counted."""
        rows: list[dict[str, Any]] = []
        for name, number in sorted(Counter(name for _, name in self.marks).items()):
            recoveries = [seconds for fault, seconds in self._recoveries if fault == name]
            row: dict[str, Any] = {"what": name, "injected": number, "survived": len(recoveries)}
            if recoveries:
                row["seconds to recover"] = Spread.of(recoveries)
            rows.append(row)
        whole: dict[str, Any] = {"what": "all", "injected": len(self.marks), "survived": len(self._recoveries)}
        if self._books is not None:
            whole["lost"] = f"{self._books.torn} transitions under way, {self._books.missing} others"
            whole["steps"] = self._books.steps
        rows.append({**whole, "minutes": self._watched_s() / 60.0, "verdict": self.verdict})
        for name in COUNTED if len(self._steady()) > 1 else ():
            first, last = quarters(self._steady(), name)
            per_hour = 3600.0 * slope(self._steady(), name)
            rows.append({"what": name, "first quarter": first, "last quarter": last, "slope per hour": per_hour})
        return rows

    def _strike_for(self, seconds: float, every_s: float) -> None:
        while True:
            pause_s, kind = self._rng.expovariate(1.0 / every_s), self._rng.choice(self._kinds)
            if self.watch.now_s + pause_s > seconds:
                time.sleep(max(0.0, seconds - self.watch.now_s))
                return
            began = time.monotonic()
            self.marks.append((self.watch.now_s, kind.name))
            self._recoveries.append((kind.name, strike(self._stage, kind(), self._rng)))
            time.sleep(max(0.0, pause_s - (time.monotonic() - began)))

    def _steady(self) -> list[Sample]:
        """The samples after the warm-up."""
        return [one for one in self.watch.samples if one["s"] >= _WARM_UP * self._watched_s()]

    def _watched_s(self) -> float:
        return self.watch.samples[-1]["s"] if self.watch.samples else 0.0

    def _leaks(self) -> list[str]:
        steady, found = self._steady(), []
        if len(steady) < 8:
            return ["too few samples to see a leak"]
        per_fault = self._watched_s() / max(1, len(self.marks))
        for name in ("trainer MB", "all MB"):
            if (growth := slope(steady, name) * per_fault) > _LEAK_MB_PER_FAULT:
                found.append(f"{name} grow by {growth:.2f} a fault")
        for name in COUNTED[2:]:
            first, last = quarters(steady, name)
            if last > first:
                found.append(f"{name} grew from {first:g} to {last:g}")
        return found

    def _check_nobody_is_left(self) -> None:
        if left := self._stage.training.orphans():
            self._trouble.append(f"processes outlived the training: {left}")
