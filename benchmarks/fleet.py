"""What do N environments cost beyond their simulators, in processes and on Ray? One that costs next to nothing tells.

python -m benchmarks.fleet [--envs 1 2 4 8 16 64] [--seconds 2] [--repetitions 3] [--training 150000] [--json FILE]

The fleets of a row stand at once and take turns. Each observes what the driving task does (four frames of 84x84 and 23
numbers, 29 kB) and stores its transitions in a replay; nothing is learned. The main process acts for the first two. Of
the third each Ray actor acts for its own environments, up to eight, and sends up to 64 steps at a time, a frame each;
there a step's action costs nothing. "main CPU ms" is what the main process works for a step, wherever the environments
are; one core of it serves at most "bound" steps/s. "all CPU ms" has the environments' processes and Ray's own in it.

The last row but one is a training of so many steps, all of exploration: eight environments that act apart, with a run's
books, TensorBoard and checkpoints.
"""

import argparse
import dataclasses
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.report.event_files import read_scalars
from benchmarks.common import repeat, seconds
from benchmarks.stub import FixedAction
from envloop.config import GymEnvConfig
from envloop.make import AnyEnvConfig, spaces_of
from envloop.workers.backend import Backend
from envloop.workers.fleet import FleetConfig
from envloop.workers.pool import EnvPool
from envloop.workers.process import ProcessEnv
from reporting.machine import ROOT, machine
from reporting.publish import Spread, parser, publish

STUB = GymEnvConfig("benchmarks.stub:Frames-v0")
_CAPACITY = 20_000  # of each replay
_CHUNK = FleetConfig.chunk_steps

APART = "Ray, acting apart"
_PER_ACTOR = 8  # environments of one that acts for them
_TITLES = {"processes": "envloop.workers.worker", "Ray": "ray::EnvActor"}  # of an environment's process

Kind = Callable[[AnyEnvConfig], Backend]


class Fleet:
    """So many environments of one kind, and the replay that takes their transitions."""

    def __init__(self, name: str, kind: Kind, count: int) -> None:
        self.name = name
        self.pool = EnvPool([STUB] * count, kind=kind)
        observation_space, action_space = spaces_of(STUB)
        specs = ObsSpec.from_space(observation_space), ActionSpec.from_space(action_space)
        self._replay = FrameReplay(*specs, _CAPACITY, count)
        self._seeds = itertools.count()
        self.turns: list[dict[str, float]] = []
        self.megabytes = 0.0

    def memory_mb(self) -> float:
        """Of an environment, in its process; what that shares with others is not counted.

        The two fleets on Ray have actors of the same title: the second has the first one's in it.
        """
        mine = [process for process in _family() if _TITLES[self.name.partition(",")[0]] in " ".join(process.cmdline())]
        return sum(process.memory_full_info().uss for process in mine) / 1e6 / self.pool.size

    def turn(self, for_s: float) -> None:
        """Drives for a while; what does not count comes before."""
        self._drive(for_s / 4)
        me, everyone = psutil.Process(), _family()
        mine, all_of_us = _cpu_s([me]), _cpu_s(everyone)
        began = time.perf_counter()
        steps = self._drive(for_s)
        wall = time.perf_counter() - began
        mine, all_of_us = _cpu_s([me]) - mine, _cpu_s(everyone) - all_of_us
        self.turns.append(
            {"steps/s": steps / wall, "main CPU ms": 1e3 * mine / steps, "all CPU ms": 1e3 * all_of_us / steps}
        )

    def row(self) -> dict[str, Any]:
        """The figures of all turns but the first."""
        figures = {name: Spread.of([turn[name] for turn in self.turns[1:]]) for name in self.turns[0]}
        figures["bound"] = Spread.of([1e3 / turn["main CPU ms"] for turn in self.turns[1:]])
        return {"environments": self.pool.size, "fleet": self.name, **figures, "MB each": round(self.megabytes)}

    def _drive(self, for_s: float) -> int:
        pool, steps, end = self.pool, 0, time.perf_counter() + for_s
        while time.perf_counter() < end:
            for environment in pool.idle():
                pool.reset(environment, next(self._seeds))
            if self.name == APART:
                for environment in pool.waiting():
                    pool.drive(environment, episode=0, steps=_CHUNK, explore=True, version=0, weights=None)
            else:
                pool.step(dict.fromkeys(pool.waiting(), FixedAction.ACTION))
            answers = pool.receive()
            if answers.lost:
                raise SystemExit(f"fleet: {answers.lost[0].error}")
            for began in answers.began:
                self._replay.begin_episode(began.observation, began.environment)
            for made in answers.transitions:
                arguments = made.action, made.reward, made.next_observation, made.terminated, made.truncated
                self._replay.add(*arguments, made.environment)
            steps += len(answers.transitions)
        return steps


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--envs", type=int, nargs="+", default=[1, 2, 4, 8, 16, 64])
    options.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--training", type=int, default=150_000, metavar="STEPS", help="of the training; 0 for none")
    args = options.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # has the stub
    where = machine()
    with ExitStack() as stack:
        ray = on_ray(stack, 2 * max(args.envs))
        rows = [row for count in args.envs for row in rows_of(ray, count, args)]
    rows += [training(args.training)] if args.training else []
    publish([*rows, replay_alone(args.repetitions)], where, args.json)


def on_ray(stack: ExitStack, room: int) -> Callable[[bool], Kind]:
    """What makes environments on a Ray of this machine's own, until `stack` ends it; told whether they act apart."""
    from envloop.workers.ray_cluster import RayCluster
    from envloop.workers.ray_env import RayFleet

    fleet = FleetConfig(backend="ray")
    apart = dataclasses.replace(fleet, environments_per_actor=_PER_ACTOR, max_lag_updates=1)
    cluster = stack.enter_context(closing(RayCluster(fleet, room)))
    return lambda acts: RayFleet(apart, cluster, FixedAction) if acts else RayFleet(fleet, cluster)


def rows_of(ray: Callable[[bool], Kind], count: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each kind, in turns."""
    kinds: dict[str, Kind] = {APART: ray(True), "processes": ProcessEnv, "Ray": ray(False)}
    with ExitStack() as stack:
        fleets: list[Fleet] = []
        for name, kind in kinds.items():
            fleets.append(Fleet(name, kind, count))
            stack.enter_context(closing(fleets[-1].pool))
            fleets[-1].megabytes = fleets[-1].memory_mb() - (fleets[0].megabytes if name == "Ray" else 0.0)
        fleets.append(fleets.pop(0))
        for _ in range(1 + args.repetitions):
            for fleet in fleets:
                fleet.turn(args.seconds)
        return [fleet.row() for fleet in fleets]


def training(steps: int) -> dict[str, Any]:
    """The row of a training that learns nothing: what it logged of its pace, but for the first fifth of its steps."""
    values = {
        "env.id": STUB.id,
        "num_envs": _PER_ACTOR,
        "fleet.backend": "ray",
        "fleet.environments_per_actor": _PER_ACTOR,
        "fleet.max_lag_updates": 1000,
        "total_steps": steps,
        "exploration_steps": steps,
        "replay.capacity": _CAPACITY,
        "log_every": max(steps // 50, 1),
        "eval_every": 0,
        "checkpoint_every": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--config.{key}={value}" for key, value in values.items()]
        command = [sys.executable, "-m", "avtd3_jax.train", "--config", "gym", "--workdir", f"{folder}/run", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"fleet: the training failed: {done.stderr}")
        pace = read_scalars(Path(folder) / "run" / "tensorboard")["run/steps_per_s"].values
    return {
        "environments": _PER_ACTOR,
        "fleet": f"{APART}, a training",
        "steps/s": Spread.of(list(pace[len(pace) // 5 :])),
    }


def replay_alone(repetitions: int, count: int = 5000) -> dict[str, Any]:
    """Transitions a second into the replay with no environment at all: what bounds every fleet."""
    observation_space, action_space = spaces_of(STUB)
    replay = FrameReplay(ObsSpec.from_space(observation_space), ActionSpec.from_space(action_space), _CAPACITY)
    observation = {"image": np.zeros((4, 84, 84), np.uint8), "vector": np.zeros(23, np.float32)}
    replay.begin_episode(observation)

    def add() -> None:
        for _ in range(count):
            replay.add(FixedAction.ACTION, 0.0, observation, False, False)

    return {"fleet": "none: the replay alone", "steps/s": repeat(lambda: count / seconds(add), repetitions)}


def _family() -> set[psutil.Process]:
    me = psutil.Process()
    return {me, *me.children(recursive=True)}


def _cpu_s(processes: Any) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended
            continue
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
