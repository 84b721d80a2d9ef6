"""What does a checkpoint cost a run that goes on, with a small replay and with one of a million transitions?

python -m benchmarks.checkpoint [--capacity 1000000] [--repetitions 20] [--directory DIR] [--json FILE]

The learner is that of configs/town01.py; pictures are random, so nothing can be compressed. Each part is a process of
its own and writes below DIR (the system's temporary directory), which must be on a disk.
  stall ms: for how long the run stands still, to copy the learner and the slots that are new; stall CPU ms: how much of
    that it works. On a machine that others use as well, the rest is theirs.
  on disk ms, CPU ms: until all of it is there, and what that takes of the processor in all threads.
  memory + GB: the peak of the resident memory over what it was before the first checkpoint, the replay's own apart.
A replay is written as it grows. "never saved before" is one that could not be, as after a full disk; "episodes" says
how many of 300 steps it takes until it has been caught up with, beside the run.
"""

import multiprocessing
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from avtd3_jax import runtime
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.replay.replay import FrameReplay
from benchmarks.contenders import ACTION, OBS
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

_EPISODE = 300
_BETWEEN = 10  # episodes from one checkpoint to the next while a large replay fills


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--capacity", type=int, default=1_000_000, help="transitions of the large replay")
    options.add_argument("--repetitions", type=int, default=20)
    options.add_argument("--directory", type=Path, help="where to write")
    args = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.directory) as folder:
        for part, given in ((small, args.repetitions), (orbax, args.repetitions)):
            rows.append(apart(part, given, Path(folder) / part.__name__))
        rows += apart(filling, args.capacity, Path(folder) / "filling")
        rows.append(apart(restoring, args.capacity, Path(folder) / "filling"))
        rows.append(apart(catching_up, args.capacity, Path(folder) / "catching up"))
    publish(rows, machine(), args.json)


def apart(part: Callable[[int, Path], Any], given: int, folder: Path) -> Any:
    """`part(given, folder)` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(part, (given, folder))
    print(found, flush=True)
    return found


def small(repetitions: int, folder: Path) -> dict[str, Any]:
    """A checkpoint after every episode."""
    _, state = made()
    replay, grow = FrameReplay(OBS, ACTION, 10 * _EPISODE), Growth()
    stalls, done, spent = [], [], []
    with Checkpoints(folder) as checkpoints:
        for number in range(repetitions + 1):
            grow(replay, _EPISODE)
            began, cpu = time.perf_counter(), time.process_time()
            checkpoints.take(number, state, replay)
            stalls.append(1e3 * (time.perf_counter() - began))
            checkpoints.wait()
            done.append(1e3 * (time.perf_counter() - began))
            spent.append(1e3 * (time.process_time() - cpu))
        size = sum(file.stat().st_size for file in (folder / str(repetitions)).rglob("*"))
    return {
        "what": f"after an episode of {_EPISODE} steps",
        "stall ms": Spread.of(stalls[1:]),
        "on disk ms": Spread.of(done[1:]),
        "CPU ms": Spread.of(spent[1:]),
        "written GB": size / 1e9,
    }


def orbax(repetitions: int, folder: Path) -> dict[str, Any]:
    """The same learner, without any replay, by orbax's asynchronous checkpoints."""
    import jax
    import orbax.checkpoint as ocp

    _, state = made()
    tree = {"params": state.params, "target_params": state.target_params, "opt_state": state.opt_state}
    stalls, done, spent = [], [], []
    with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=3)) as manager:
        for number in range(repetitions + 1):
            began, cpu = time.perf_counter(), time.process_time()
            manager.save(number, args=ocp.args.StandardSave(tree))
            stalls.append(1e3 * (time.perf_counter() - began))
            manager.wait_until_finished()
            done.append(1e3 * (time.perf_counter() - began))
            spent.append(1e3 * (time.process_time() - cpu))
    return {
        "what": "orbax, the learner alone",
        "stall ms": Spread.of(stalls[1:]),
        "on disk ms": Spread.of(done[1:]),
        "CPU ms": Spread.of(spent[1:]),
        "written GB": sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 1e9,
    }


def filling(capacity: int, folder: Path) -> list[dict[str, Any]]:
    """A replay that is written as it grows, and the checkpoint that a run of it ends with."""
    _, state = made()
    replay, grow = FrameReplay(OBS, ACTION, capacity), Growth()
    memory, stalls = Memory(), Stalls()
    with Checkpoints(folder) as checkpoints:
        for number in range(capacity // _EPISODE + 1):
            grow(replay, _EPISODE)
            stalls.add(partial(checkpoints.take, number, state, replay, write=number % _BETWEEN == 0))
            memory.look(replay.nbytes)
            if number % _BETWEEN == _BETWEEN - 1:
                checkpoints.wait()  # no run makes transitions faster than a disk takes them
        began = time.perf_counter()
        checkpoints.save(number + 1, state, replay)
        last = 1e3 * (time.perf_counter() - began)
        on_disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        files = len(list((folder / "replay").iterdir()))
    return [
        {
            "what": f"while a replay of {capacity:,} fills",
            **stalls.row(),
            "memory + GB": memory.close(),
            "on disk GB": on_disk / 1e9,
            "files": files,
        },
        {"what": "the run's last one, waited for", "on disk ms": last},
    ]


def restoring(capacity: int, folder: Path) -> dict[str, Any]:
    """Reading that back, every checksum compared."""
    _, state = made()
    replay, memory = FrameReplay(OBS, ACTION, capacity), Memory()
    began = time.perf_counter()
    with Checkpoints(folder, read_only=True) as checkpoints:
        checkpoints.restore(state, replay)
    spent = time.perf_counter() - began
    memory.look(replay.nbytes)
    return {"what": f"restored, {len(replay):,} transitions", "seconds": spent, "memory + GB": memory.close()}


def catching_up(capacity: int, folder: Path) -> dict[str, Any]:
    """A full replay of which nothing is on disk, while the run goes on at its own pace."""
    _, state = made()
    replay, grow = FrameReplay(OBS, ACTION, capacity), Growth()
    grow(replay, capacity)
    memory, stalls, began = Memory(replay.nbytes), Stalls(), time.perf_counter()
    with Checkpoints(folder) as checkpoints:
        while not checkpoints.steps():
            grow(replay, _EPISODE)
            stalls.add(lambda: checkpoints.take(len(stalls.wall_ms), state, replay))
            memory.look(replay.nbytes)
            time.sleep(0.2)
        spent = time.perf_counter() - began
    return {
        "what": f"a full replay of {capacity:,}, never saved before",
        **stalls.row(),
        "seconds": spent,
        "episodes": len(stalls.wall_ms),
        "memory + GB": memory.close(),
    }


def made() -> tuple[TD3, Any]:
    """The learner with the default settings and its first state."""
    runtime.setup("cpu")
    learner = TD3(OBS, ACTION)
    return learner, learner.init(0)


class Stalls:
    """How long the run stood still, each time."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self._cpu_ms: list[float] = []

    def add(self, work: Callable[[], Any]) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        work()
        self.wall_ms.append(1e3 * (time.perf_counter() - began))
        self._cpu_ms.append(1e3 * (time.thread_time() - cpu))

    def row(self) -> dict[str, Spread]:
        return {"stall ms": Spread.of(self.wall_ms), "stall CPU ms": Spread.of(self._cpu_ms)}


class Growth:
    """Adds episodes of random pictures."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._frames = rng.integers(0, 256, (64, 84, 84), np.uint8)
        self._vectors = rng.random((64, 23), np.float32)
        self._action = rng.uniform(-1, 1, 2).astype(np.float32)

    def __call__(self, replay: FrameReplay, steps: int) -> None:
        window = deque([0] * 4, maxlen=4)  # the pictures of a stack, oldest first
        for step in range(steps):
            if step % _EPISODE == 0:
                window.extend([0] * 4)
                replay.begin_episode(self._shown(window))
            window.append(1 + step % _EPISODE % 63)
            last = step % _EPISODE == _EPISODE - 1 or step == steps - 1
            replay.add(self._action, float(step), self._shown(window), False, last)

    def _shown(self, window: Sequence[int]) -> dict[str, np.ndarray]:
        return {"image": self._frames[list(window)], "vector": self._vectors[window[-1]]}


class Memory:
    """The most that the resident memory grew beyond the replay's own bytes."""

    def __init__(self, replay_bytes: int = 0) -> None:
        self._process = psutil.Process()
        self._base = self._process.memory_info().rss - replay_bytes
        self._replay_bytes = replay_bytes
        self._most = 0
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def look(self, replay_bytes: int) -> None:
        """Tells how much the replay takes by now."""
        self._replay_bytes = replay_bytes

    def close(self) -> float:
        """GB."""
        self._closing.set()
        self._watcher.join()
        return self._most / 1e9

    def _watch(self) -> None:
        while not self._closing.wait(0.01):
            self._most = max(self._most, self._process.memory_info().rss - self._base - self._replay_bytes)


if __name__ == "__main__":
    main()
