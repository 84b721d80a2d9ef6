"""How do speed and memory grow with the batch, the replay and the number of environments? Figures are minicarla's.

python -m benchmarks.scaling [--batches 32 64 128 256 512] [--replays 10000 100000 1000000] [--envs 1 2 4] [--json FILE]
python -m benchmarks.scaling --quick                    the same rows with small sizes and short repetitions

Each row is a process of its own, so that its memory is its own: the greatest resident set over what the process had
before. Replays are really filled, and sampled from all over; one that does not fit the machine's memory is left out
with a word. Environments are driven by a fixed action, without a learner, to show what the processes alone give.
"""

import argparse
import dataclasses
import itertools
import json
import pickle
import resource
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import numpy as np
import psutil

from avtd3_jax import runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.config_file import load
from benchmarks.common import OF_RECORD, repeat, seconds
from envloop.workers.pool import EnvPool
from reporting.machine import machine
from reporting.publish import Spread, parser, publish


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--batches", type=int, nargs="*", default=[32, 64, 128, 256, 512])
    options.add_argument("--replays", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--envs", type=int, nargs="*", default=[1, 2, 4])
    options.add_argument("--seconds", type=float, default=3.0, help="of each repetition")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="small sizes, one short repetition: does it run?")
    options.add_argument("--only", nargs=2, metavar=("KIND", "SIZE"), help="be one row: print it")
    args = options.parse_args()
    if args.only:
        kind, size = args.only
        found = {"batch": learner, "replay": replay, "envs": environments}[kind](int(size), args)
        print(json.dumps({name: dataclasses.asdict(v) if isinstance(v, Spread) else v for name, v in found.items()}))
        return
    if args.quick:
        args.batches, args.replays, args.envs = [8, 16], [1_000, 10_000], [1]
        args.seconds, args.repetitions = 0.5, 1
    sizes = [("batch", n) for n in args.batches] + [("replay", n) for n in args.replays]
    sizes += [("envs", n) for n in args.envs]
    rows = [row(kind, size, args) for kind, size in sizes]
    rows.append(exchange(args.repetitions))
    info = runtime.setup("auto")  # only now: its environment would reach the rows' processes
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def row(kind: str, size: int, args: argparse.Namespace) -> dict[str, Any]:
    """The row that a process of its own prints."""
    options = ["--seconds", str(args.seconds), "--repetitions", str(args.repetitions)]
    command = [sys.executable, "-m", "benchmarks.scaling", *options, "--only", kind, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"what": f"{kind} {size:,}", "note": done.stderr.strip().splitlines()[-1]}
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Spread(**v) if isinstance(v, dict) else v for name, v in found.items()}


def learner(batch_size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Full updates of the defaults of record from a host replay, one batch after the other."""
    runtime.setup("auto")
    before = psutil.Process().memory_info().rss
    made, source = TD3(*_spec()), _filled(max(2 * batch_size, 2000))
    state, number = made.init(0), 0

    def updates() -> float:
        nonlocal state, number
        began, first = time.perf_counter(), number
        while number - first < 2 or time.perf_counter() - began < args.seconds:
            state, packed = made.step(state, source.sample(batch_size), number)
            packed.block_until_ready()
            number += 1
        return (number - first) / (time.perf_counter() - began)

    rate = repeat(updates, args.repetitions)
    return {"what": f"batch {batch_size}", "updates/s": rate, "memory MB": round(_peak_mb(before))}


def replay(capacity: int, args: argparse.Namespace) -> dict[str, Any]:
    """A full replay: adding while it wraps, and sampling 256 from all over it."""
    before = psutil.Process().memory_info().rss
    made = _filled(capacity)
    used_mb = (psutil.Process().memory_info().rss - before) / 1e6
    sample = repeat(lambda: 1e3 * seconds(lambda: [made.sample(256) for _ in range(50)]) / 50, args.repetitions)
    observation = _observation(np.random.default_rng(1))
    made.begin_episode(observation)

    def add() -> None:
        for _ in range(1000):
            made.add(_ACTION, 0.0, observation, False, False)

    add_us = repeat(lambda: 1e3 * seconds(add), args.repetitions)
    return {
        "what": f"replay {capacity:,}",
        "sample 256 ms": sample,
        "add us": add_us,
        "memory MB": round(used_mb),
        "bytes/transition": round(1e6 * used_mb / capacity),
    }


def environments(count: int, args: argparse.Namespace) -> dict[str, Any]:
    """Steps per second of `count` environments, a tick each, asked as the training loop asks them."""
    before = psutil.Process().memory_info().rss
    pool, seeds = EnvPool([load(OF_RECORD).driving] * count), itertools.count()
    try:

        def drive() -> float:
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < args.seconds:
                for environment in pool.idle():
                    pool.reset(environment, next(seeds))
                pool.step(dict.fromkeys(pool.waiting(), _ACTION))
                steps += len(pool.receive().transitions)
            return steps / (time.perf_counter() - began)

        rate = repeat(drive, args.repetitions)
        children = psutil.Process().children(recursive=True)
        own = psutil.Process().memory_info().rss - before
        memory = (own + sum(process.memory_full_info().uss for process in children)) / 1e6
    finally:
        pool.close()
    return {"what": f"environments {count}", "steps/s": rate, "memory MB": round(memory)}


def exchange(repetitions: int, calls: int = 500) -> dict[str, Any]:
    """What a step costs between processes: an action one way, an observation and its info the other."""
    here, there = (Connection(end.detach()) for end in socket.socketpair())
    observation = _observation(np.random.default_rng(0))
    info = {"reward_terms": dict.fromkeys("abcde", 0.1), "reason": None, "ego": dict.fromkeys("abcdefgh", 0.1)}

    def answer() -> None:
        while there.recv() is not None:
            there.send((observation, 0.1, False, False, info))

    def ask() -> None:
        for _ in range(calls):
            here.send(("step", _ACTION))
            here.recv()

    thread = Thread(target=answer)
    thread.start()
    cost = repeat(lambda: 1e3 * seconds(ask) / calls, repetitions)
    here.send(None)
    thread.join()
    return {"what": f"exchange of a step, {len(pickle.dumps(observation)) / 1e3:.0f} kB", "ms": cost}


_ACTION = np.array([0.0, 0.5], np.float32)  # straight on, half throttle


def _spec() -> tuple[ObsSpec, ActionSpec]:
    return ObsSpec(image=(4, 84, 84), vector=23), ActionSpec(2)


def _filled(capacity: int) -> FrameReplay:
    """A replay whose every slot has been written, in episodes of 300 steps."""
    made = FrameReplay(*_spec(), capacity)
    rng = np.random.default_rng(0)
    observations = [_observation(rng) for _ in range(16)]
    for slot in range(capacity):
        observation = observations[slot // 301 % 16]  # an episode's frames are one: a stack repeats it
        if slot % 301 == 0:
            made.begin_episode(observation)
        else:
            made.add(_ACTION, 0.0, observation, False, slot % 301 == 300)
    return made


def _observation(rng: np.random.Generator) -> dict[str, np.ndarray]:
    frame = rng.integers(0, 256, (84, 84), np.uint8)
    return {"image": np.stack([frame] * 4), "vector": rng.random(23, np.float32)}


def _peak_mb(before: int) -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - before / 1e6


if __name__ == "__main__":
    main()
