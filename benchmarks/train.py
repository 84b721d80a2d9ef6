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
whole's rate over the lower of the two. "first update s" counts from the process's start, with empty compile caches,
and includes the exploration.
"""

import argparse
import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import util
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import psutil

from avtd3_jax import runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.replay.batch import Batch
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.learner_loop import LearnerLoop
from avtd3_jax.training.logs import PhaseTimer, RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.trainer import Trainer
from benchmarks.common import OF_RECORD
from envloop.env import action_space, observation_space
from envloop.rollout import Transition
from envloop.world import open_world
from reporting.machine import ROOT, commit, machine
from reporting.publish import Spread, parser, publish

_EXPLORATION = 300
_READY = "ready"
_WARM_UP_S = 1.0  # of a turn
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


def checkout(folder: str) -> Path:
    """The folder of a checkout that has this benchmark, for argparse."""
    path = Path(folder).resolve()
    if not (path / "benchmarks" / "train.py").is_file():
        raise argparse.ArgumentTypeError(f"{folder} holds no benchmarks/train.py: name the folder of a checkout.")
    if path == ROOT:
        raise argparse.ArgumentTypeError(f"{folder} is this checkout: name another one.")
    return path


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


def contest(entrants: Sequence[Entrant], seconds: float, repetitions: int) -> list[dict[str, Any]]:
    """A row for each, of `repetitions` turns; a "note" says why where there are no figures."""
    with ExitStack() as stack:
        started = []
        for entrant in entrants:
            started.append(stack.enter_context(_Process(entrant, seconds, repetitions)))
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


class _Process:
    """An entrant in a process of its own, with empty compile caches: once entered it learns, and waits for its turn."""

    def __init__(self, entrant: Entrant, seconds: float, repetitions: int) -> None:
        wanted = {"contender": entrant.contender, "values": entrant.values, "envs": entrant.envs}
        self._given = json.dumps(wanted | {"seconds": seconds, "repetitions": repetitions})
        self._home = entrant.home
        self._last = ""
        self._stack = ExitStack()

    def __enter__(self) -> "_Process":
        cache = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._errors = self._stack.enter_context(tempfile.TemporaryFile("w+"))
        self._process = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.train", "--only", self._given],
                cwd=self._home,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(
                        [str(self._home), *_paths()]
                    ),  # its own packages before installed ones
                    "XDG_CACHE_HOME": cache,
                    "TORCHINDUCTOR_CACHE_DIR": cache,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        )
        self._stack.callback(self._process.terminate)  # where it has not ended by itself
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self) -> None:
        """One turn; returns when it is over, or the process."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has failed, and `found` says how
            os.write(self._process.stdin.fileno(), b"\n")  # past the buffer, which a dead process would leave unwritten
            self._wait()

    def found(self) -> dict[str, Any]:
        """What it says after its last turn, or why it says nothing."""
        if not self._process.wait():
            return cast(dict[str, Any], json.loads(self._last))
        self._errors.seek(0)
        return {"note": (self._errors.read().strip().splitlines() or ["no word"])[-1]}

    def _wait(self) -> None:
        """For the next time that it is ready, or for its end."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == _READY:
                return
            self._last = line


def _paths() -> list[str]:
    """PYTHONPATH without this checkout, which another one's processes are not to see."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in given if path and Path(path).resolve() != ROOT]


def whole(contender: str, values: dict[str, Any], envs: int, seconds: float, repetitions: int) -> dict[str, Any]:
    """Trains from scratch; once it learns, measures the whole and either half alone whenever a line comes on stdin."""
    run = configured({**values, "num_envs": envs, "overlap": contender == "overlap"})
    runtime.setup(run.device if contender in OURS else "cpu")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        timer = PhaseTimer()
        learner = TD3(
            ObsSpec.from_space(observation_space(run.driving)), ActionSpec.from_space(action_space()), run.agent
        )
        replay = FrameReplay(
            learner.obs_spec,
            learner.action_spec,
            run.replay.capacity,
            run.num_envs,
            seed=run.seed,
            n_step=run.replay.n_step,
            gather_threads=run.replay.gather_threads,
        )
        loop: WatchedLoop | TorchLoop
        if contender in OURS:
            source = DeviceReplay(replay) if run.replay.device_resident else replay
            batches = Prefetcher(lambda: source.sample(run.batch_size), run.replay.prefetch)
            parts = (learner, learner.init(run.seed), batches, timer, run.updates_per_dispatch, run.overlap)
            loop = WatchedLoop(*parts, lock_step=contender == "lock-step")
            loop.prepare(run.batch_size, envs, run.replay.n_step)
        else:
            loop = TorchLoop(learner, lambda: replay.sample(run.batch_size), contender)
        stack.callback(loop.close)
        world = open_world((run.driving,) * envs, timer, lambda *_: None, lambda torn: None)
        stack.callback(world.close)
        log = RunLog(folder)
        stack.callback(log.close)
        meter = Meter(loop, timer, run, seconds, repetitions)
        trainer = Trainer(
            schedule=run,
            exploration=run.exploration,
            seed=run.seed,
            loop=loop,
            replay=replay,
            log=log,
            checkpoints=cast(Checkpoints, _NoCheckpoints()),
            timer=timer,
            evaluate=lambda policy, step: {},
            description={},
            monitors=Monitors(run.warn_window, run.agent.gamma, ("steer", "accel"), lambda sentence: None),
            clock=time.perf_counter,
        )
        stream = world.transitions(trainer, 0, meter.finished)
        trainer.run(meter.watch(stream, trainer), meter.finished)
    return {"turns": meter.turns, "first update s": loop.first_update_s}


def updates_alone(loop: "WatchedLoop | TorchLoop", seconds: float) -> float:
    """Updates per second with nothing else to do."""
    number, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        loop.update(number)
        number += loop.updates_per_dispatch
    loop.settle()
    return number / (spent if number else seconds)


def configured(changes: dict[str, Any]) -> RunConfig:
    """The configuration of record with `changes`, and nothing but steps and updates to do."""
    return load(
        OF_RECORD,
        {
            "exploration_steps": _EXPLORATION,
            "total_steps": 10_000_000,
            "log_every": 10_000_000,
            "eval_every": 0,
            "checkpoint_every": 0,
            "replay.capacity": 20_000,
            **changes,
        },
    )


class _NoCheckpoints:
    """Saves nothing: saving is no part of what is measured."""

    def take(self, *_: Any, **__: Any) -> bool:
        return True

    def flush(self) -> None:
        return None


class WatchedLoop(LearnerLoop):
    """Adds up the time in which an update was computed; in lock-step it waits for each."""

    def __init__(self, *args: Any, lock_step: bool) -> None:
        super().__init__(*args)
        self.busy_s = 0.0
        self.first_update_s = float("nan")
        self.paused = False
        self._lock_step = lock_step
        self._dispatched: queue.Queue[tuple[float, jax.Array] | None] = queue.Queue()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def update(self, number: int) -> None:
        if self.paused:
            return self.settle()
        began = time.perf_counter()
        super().update(number)
        assert self._in_flight is not None
        self._dispatched.put((began, self._in_flight[0]))
        if self._lock_step:
            self.settle()
        return None

    def close(self) -> None:
        self._dispatched.put(None)
        self._watcher.join()
        super().close()

    def _watch(self) -> None:
        before = 0.0
        while (item := self._dispatched.get()) is not None:
            began, packed = item
            packed.block_until_ready()
            now = time.perf_counter()
            if not before:
                self.first_update_s = since_start()
            self.busy_s += now - max(began, before)
            before = now


class TorchLoop:
    """The rival in the place of a LearnerLoop: every update is done, and its losses read, when `update` returns."""

    updates_per_dispatch = 1
    state: Any = None
    last_batch: Batch | None = None

    def __init__(self, learner: TD3, sample: Callable[[], Batch], variant: str) -> None:
        import torch

        from benchmarks.rivals.torch_td3 import TorchTD3, Variant

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        spec = learner.obs_spec, learner.action_spec
        # The start is not to wait for JAX to compile an initialiser.
        rng, shapes = np.random.default_rng(0), jax.eval_shape(learner.init, 0).params
        params = jax.tree.map(lambda p: rng.normal(0.0, (2.0 / np.prod(p.shape[:-1] or 1)) ** 0.5, p.shape), shapes)
        self._rival = TorchTD3(
            *spec, learner.config, params, Variant(compiled="compiled" in variant, channels_last="NHWC" in variant)
        )
        self._updates_actor = learner.updates_actor
        self._sample = sample
        self.act = self.act_latest = self._rival.act
        self.busy_s = 0.0
        self.first_update_s = float("nan")
        self.paused = False

    def update(self, number: int) -> None:
        if self.paused:
            return
        began = time.perf_counter()
        batch = self._rival.to_device(self._sample())
        self._rival.update(batch, update_actor=self._updates_actor(number)).tolist()
        if not self.busy_s:
            self.first_update_s = since_start()
        self.busy_s += time.perf_counter() - began

    def settle(self) -> None:
        return None

    def get_metrics(self) -> dict[str, tuple[float, int]]:
        return {}

    def set_metrics(self, sums: Mapping[str, Sequence[float]]) -> None:
        raise NotImplementedError("a benchmark does not resume")

    def collect(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        return None


def since_start() -> float:
    """Seconds since this process began."""
    return time.time() - psutil.Process().create_time()


@dataclasses.dataclass
class Meter:
    """Measures a running training, from when it learns: `repetitions` turns, each when a line comes on stdin."""

    loop: WatchedLoop | TorchLoop
    timer: PhaseTimer
    run: RunConfig
    seconds: float
    repetitions: int

    def __post_init__(self) -> None:
        self.turns: list[dict[str, float]] = []

    def finished(self) -> bool:
        return len(self.turns) >= self.repetitions

    def watch(self, transitions: Iterator[Transition], trainer: Trainer) -> Iterator[Transition]:
        while trainer.counters.update < 5:
            yield next(transitions)
        while not self.finished():
            self.loop.settle()
            print(_READY, flush=True)
            sys.stdin.readline()
            yield from _for(_WARM_UP_S, transitions)
            before = self._read(trainer)
            yield from _for(self.seconds, transitions)
            window = self._window(before, self._read(trainer))
            self.loop.paused = True
            before = self._read(trainer)
            yield from _for(self.seconds / 2, transitions)
            window["steps/s alone"] = self._window(before, self._read(trainer))["steps/s"]
            self.loop.paused = False
            window["updates/s alone"] = updates_alone(self.loop, self.seconds / 2)
            slower = min(window["steps/s alone"], window["updates/s alone"] / self.run.updates_per_step)
            self.turns.append(window | {"% of the slower alone": 100.0 * window["steps/s"] / slower})

    def _read(self, trainer: Trainer) -> dict[str, float]:
        """Now, what has been done, and the seconds in which somebody was busy since the last reading."""
        phases = self.timer.totals()
        driving = phases.get("env_step", 0.0) + phases.get("env_reset", 0.0)
        done = {"steps": trainer.counters.step, "updates": trainer.counters.update}
        return {"now": time.perf_counter(), **done, "learning": self.loop.busy_s, "driving": driving}

    def _window(self, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
        spent = {name: after[name] - before[name] for name in ("now", "steps", "updates", "learning")}
        wall = spent["now"]
        return {
            "steps/s": spent["steps"] / wall,
            "updates/s": spent["updates"] / wall,
            "learner idle %": 100.0 * (1.0 - spent["learning"] / wall),
            "env idle %": 100.0 * (1.0 - after["driving"] / wall / self.run.num_envs),
        }


def _for(seconds: float, transitions: Iterator[Transition]) -> Iterator[Transition]:
    """Those of so many seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield next(transitions)


if __name__ == "__main__":
    main()
