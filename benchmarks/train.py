"""How fast does the whole of training run, and who waits for whom? Figures are minicarla's, never CARLA's.

python -m benchmarks.train [--batches 32 256] [--envs 1 2] [--scenarios empty] [--seconds 10] [--json FILE]

Lock-step waits for every update before the environment steps; the others are the training command's own loops, which
let the update compute while the environment steps. Busy means: an update was being computed, or an environment was
within `step`; the rest is idle. The first update's time from the start is benchmarks.first_update's.
"""

import dataclasses
import json
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from avtd3_jax import runtime
from avtd3_jax.checkpoint import Checkpoints
from avtd3_jax.learner import Learner
from avtd3_jax.learner_loop import LearnerLoop
from avtd3_jax.logs import PhaseTimer, RunLog
from avtd3_jax.prefetch import Prefetcher
from avtd3_jax.replay import FrameReplay
from avtd3_jax.replay_rings import ReplayRings
from avtd3_jax.run import RunConfig, parse
from avtd3_jax.spaces import ActionSpec, ObsSpec
from avtd3_jax.trainer import Trainer
from benchmarks.common import Spread, machine, parser, publish
from configs.town01_of_record import get_config
from envloop.env import action_space, observation_space
from envloop.rollout import Transition
from envloop.world import open_world

_EXPLORATION = 300


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--batches", type=int, nargs="*", default=[32, 256])
    options.add_argument("--envs", type=int, nargs="*", default=[1, 2])
    options.add_argument("--scenarios", nargs="*", default=["empty"])
    options.add_argument("--updates-per-step", type=float, default=1.0)
    options.add_argument("--prefetch", type=int, default=0)
    options.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options.add_argument("--repetitions", type=int, default=3)
    args = options.parse_args()
    info = runtime.setup("auto")
    rows = []
    for scenario in args.scenarios:
        for batch in args.batches:
            values = {
                "scenario": scenario,
                "batch_size": batch,
                "updates_per_step": args.updates_per_step,
                "replay.prefetch": args.prefetch,
            }
            loops = [(1, True)] * (1 in args.envs) + [(envs, False) for envs in args.envs]
            rows += [whole(values, envs, lock_step, args.seconds, args.repetitions) for envs, lock_step in loops]
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def whole(values: dict[str, Any], envs: int, lock_step: bool, seconds: float, repetitions: int) -> dict[str, Any]:
    """Trains from scratch and measures `repetitions` windows of `seconds` once it learns."""
    run = configured({**values, "num_envs": envs})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        timer = PhaseTimer()
        learner = Learner(
            ObsSpec.from_space(observation_space(run.env)), ActionSpec.from_space(action_space()), run.agent
        )
        replay = made_replay(run, learner)
        batches = Prefetcher(lambda: replay.sample(run.batch_size), run.replay.prefetch)
        loop = WatchedLoop(learner, learner.init(run.seed), batches, timer, lock_step)
        stack.callback(loop.close)
        loop.prepare(run.batch_size, acting=envs)
        world = open_world(run.environments(), timer, lambda *_: None, lambda torn: None)
        stack.callback(world.close)
        log = RunLog(folder)
        stack.callback(log.close)
        meter = Meter(loop, timer, envs, seconds, repetitions)
        trainer = Trainer(
            schedule=run,
            exploration=run.exploration,
            seed=run.seed,
            loop=loop,
            replay=replay,
            log=log,
            checkpoints=stack.enter_context(Checkpoints(folder / "checkpoints")),
            timer=timer,
            evaluate=lambda policy, step: {},
            description={},
        )
        stream = world.transitions(trainer, 0, meter.finished)
        trainer.run(meter.watch(stream, trainer), meter.finished)
    how = "lock-step" if lock_step else "overlapping"
    what = {"scenario": run.env.scenario, "batch": run.batch_size, "environments": envs, "loop": how}
    return what | meter.row()


def configured(changes: dict[str, Any]) -> RunConfig:
    """The configuration of record with `changes`, and nothing but steps and updates to do."""
    config = get_config()
    config.update_from_flattened_dict(
        {
            "exploration_steps": _EXPLORATION,
            "total_steps": 10_000_000,
            "log_every": 10_000_000,
            "eval_every": 0,
            "checkpoint_every": 0,
            "checkpoint_replay": False,
            "replay.capacity": 20_000,
            **changes,
        }
    )
    return parse(json.loads(json.dumps(config.to_dict())))


def made_replay(run: RunConfig, learner: Learner) -> FrameReplay | ReplayRings:
    """As the training command makes it."""
    spec = learner.obs_spec, learner.action_spec
    if run.num_envs == 1:
        return FrameReplay(*spec, run.replay.capacity, run.seed)
    return ReplayRings(*spec, run.replay.capacity, run.num_envs, run.seed)


class WatchedLoop(LearnerLoop):
    """Adds up the time in which an update was computed; in lock-step it waits for each."""

    def __init__(self, *args: Any) -> None:
        *rest, self._lock_step = args
        super().__init__(*rest)
        self.busy_s = 0.0
        self._dispatched: queue.Queue[tuple[float, jax.Array] | None] = queue.Queue()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def update(self, number: int) -> None:
        began = time.perf_counter()
        super().update(number)
        assert self._in_flight is not None
        self._dispatched.put((began, self._in_flight[0]))
        if self._lock_step:
            self.settle()

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
            self.busy_s += now - max(began, before)
            before = now


@dataclasses.dataclass
class Meter:
    """Windows of a running training, from when it learns."""

    loop: WatchedLoop
    timer: PhaseTimer
    envs: int
    seconds: float
    repetitions: int

    def __post_init__(self) -> None:
        self._windows: list[dict[str, float]] = []
        self._began: tuple[float, int, int, float] | None = None

    def finished(self) -> bool:
        return len(self._windows) > self.repetitions  # the first one warms up

    def watch(self, transitions: Iterator[Transition], trainer: Trainer) -> Iterator[Transition]:
        for transition in transitions:
            yield transition
            counters, now = trainer.counters, time.perf_counter()
            if counters.update < 5:
                continue
            if self._began is None:
                self.timer.totals()
                self._began = now, counters.step, counters.update, self.loop.busy_s
            elif now - self._began[0] >= self.seconds:
                self._close(now, counters.step, counters.update)

    def _close(self, now: float, step: int, update: int) -> None:
        assert self._began is not None
        then, step_then, update_then, busy_then = self._began
        wall, phases = now - then, self.timer.totals()
        driving = phases.get("env_step", 0.0) + phases.get("env_reset", 0.0)
        self._windows.append(
            {
                "steps/s": (step - step_then) / wall,
                "updates/s": (update - update_then) / wall,
                "learner idle %": 100.0 * (1.0 - (self.loop.busy_s - busy_then) / wall),
                "env idle %": 100.0 * (1.0 - driving / wall / self.envs),
            }
        )
        self._began = now, step, update, self.loop.busy_s

    def row(self) -> dict[str, Any]:
        measured = self._windows[1:]
        return {name: Spread.of([window[name] for window in measured]) for name in measured[0]}


if __name__ == "__main__":
    main()
