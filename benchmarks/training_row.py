"""One row of `benchmarks.train`, in a process of its own: a training that is measured whenever it is told to be."""

import dataclasses
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import jax
import numpy as np

from avtd3_jax import runtime
from avtd3_jax.agent.interface import Agent
from avtd3_jax.agent.spaces import Observation
from avtd3_jax.replay.batch import Batch
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.build import Parts, build_learner
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.trainer import Trainer
from benchmarks.bare_training import bare_training, configured
from benchmarks.common import since_start
from benchmarks.train import OURS
from benchmarks.turns import READY
from envloop.workers.pool import Answers, EnvPool

_WARM_UP_S = 1.0  # of a turn
_PHASES = ("act", "sample", "dispatch_update", "env_step", "env_reset", "replay_add", "checkpoint")


def whole(contender: str, values: dict[str, Any], envs: int, seconds: float, repetitions: int) -> dict[str, Any]:
    """Trains from scratch; once it learns, measures the whole and either half alone whenever a line comes on stdin."""
    run = configured({**values, "num_envs": envs, "overlap": contender == "overlap"})
    runtime.setup(run.device if contender in OURS else "cpu")

    def make_learner(parts: Parts, timer: PhaseTimer) -> WatchedLearner | TorchLearner:
        if contender in OURS:
            kind = partial(WatchedLearner, lock_step=contender == "lock-step")
            return cast(WatchedLearner, build_learner(run, parts, timer, kind=kind))
        return TorchLearner(parts.agent, lambda: parts.replay.sample(run.batch_size), contender)

    with ExitStack() as stack:
        training = bare_training(run, make_learner, stack)
        learner, trainer = training.learner, training.trainer
        meter = Meter(learner, training.timer, trainer, run, seconds, repetitions)
        trainer.run(MeteredPool(training.pool, meter), meter.finished)
    return {"turns": meter.turns, "first update s": learner.first_update_s}


def updates_alone(learner: "WatchedLearner | TorchLearner", seconds: float) -> float:
    """Updates per second with nothing else to do."""
    number, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        learner.update(number)
        number += learner.updates_per_dispatch
    learner.settle()
    return number / (spent if number else seconds)


class WatchedLearner(Learner):
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


class TorchLearner:
    """The rival in the place of a Learner: every update is done, and its losses read, when `update` returns."""

    updates_per_dispatch = 1
    updates_before_acting = False
    state: Any = None
    last_batch: Batch | None = None

    def __init__(self, agent: Agent, sample: Callable[[], Batch], variant: str) -> None:
        import torch

        from benchmarks.rivals.torch_td3 import TorchTD3, Variant

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        spec = agent.obs_spec, agent.action_spec
        # The start is not to wait for JAX to compile an initialiser.
        rng, shapes = np.random.default_rng(0), jax.eval_shape(agent.init, 0).params
        params = jax.tree.map(lambda p: rng.normal(0.0, (2.0 / np.prod(p.shape[:-1] or 1)) ** 0.5, p.shape), shapes)
        self._rival = TorchTD3(
            *spec, agent.config, params, Variant(compiled="compiled" in variant, channels_last="NHWC" in variant)
        )
        self._updates_actor = agent.updates_actor
        self._sample = sample
        self.act_latest = self._rival.act
        self.busy_s = 0.0
        self.first_update_s = float("nan")
        self.paused = False

    def begin_act(self, observations: Observation) -> Callable[[], np.ndarray]:
        return lambda: self._rival.act(observations)

    def draw(self) -> None:
        return None

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


@dataclasses.dataclass
class Meter:
    """Measures a running training, from when it learns: `repetitions` turns, each when a line comes on stdin."""

    learner: WatchedLearner | TorchLearner
    timer: PhaseTimer
    trainer: Trainer
    run: RunConfig
    seconds: float
    repetitions: int

    def __post_init__(self) -> None:
        self.turns: list[dict[str, float]] = []
        self._course = self._measuring()

    def finished(self) -> bool:
        return len(self.turns) >= self.repetitions

    def turn(self) -> None:
        """The training loop has come around once more."""
        next(self._course, None)

    def _measuring(self) -> Iterator[None]:
        """What is done between the loop's turns, each of which is a `yield`."""
        while self.trainer.counters.update < 5:
            yield
        while not self.finished():
            self.learner.settle()
            print(READY, flush=True)
            sys.stdin.readline()
            yield from _for(_WARM_UP_S)
            before = self._read()
            yield from _for(self.seconds)
            window = self._window(before, self._read())
            self.learner.paused = True
            before = self._read()
            yield from _for(self.seconds / 2)
            window["steps/s alone"] = self._window(before, self._read())["steps/s"]
            self.learner.paused = False
            window["updates/s alone"] = updates_alone(self.learner, self.seconds / 2)
            slower = min(window["steps/s alone"], window["updates/s alone"] / self.run.updates_per_step)
            self.turns.append(window | {"% of the slower alone": 100.0 * window["steps/s"] / slower})

    def _read(self) -> dict[str, float]:
        """Now, what has been done, and the seconds in which somebody was busy since the last reading."""
        phases = self.timer.totals()
        driving = phases.get("env_step", 0.0) + phases.get("env_reset", 0.0)
        done = {"steps": self.trainer.counters.step, "updates": self.trainer.counters.update}
        return {"now": time.perf_counter(), **done, "learning": self.learner.busy_s, "driving": driving} | {
            phase: phases.get(phase, 0.0) for phase in _PHASES
        }

    def _window(self, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
        spent = {name: after[name] - before[name] for name in ("now", "steps", "updates", "learning")}
        wall = spent["now"]
        return {
            "steps/s": spent["steps"] / wall,
            "updates/s": spent["updates"] / wall,
            "learner idle %": 100.0 * (1.0 - spent["learning"] / wall),
            "env idle %": 100.0 * (1.0 - after["driving"] / wall / self.run.num_envs),
            **{f"{phase} ms": 1e3 * after[phase] / max(spent["steps"], 1.0) for phase in _PHASES},
        }


class MeteredPool:
    """Environments between whose answers a meter does its work."""

    def __init__(self, pool: EnvPool, meter: Meter) -> None:
        self._meter = meter
        self._receive = pool.receive
        self.idle, self.waiting, self.reset, self.step = pool.idle, pool.waiting, pool.reset, pool.step
        self.drive = pool.drive

    def receive(self, wait: bool = True) -> Answers:
        self._meter.turn()
        return self._receive(wait)


def _for(seconds: float) -> Iterator[None]:
    """So many seconds' turns."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield
