"""The learners of a race, each in a process of its own, so that no one's idle threads disturb another's.

A contender is built once and then asked in turns: noise of the machine hits all of them alike.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.replay.batch import Batch
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.config_file import load
from benchmarks.common import OF_RECORD

OBS, ACTION = ObsSpec(image=(4, 84, 84), vector=23), ActionSpec(2)
# Without avtd3_jax.cpu.conv, dense, mlp or fused_adam: what each is worth.
XLA_CONVOLUTIONS, XLA_DENSE = "ours, XLA's convolutions", "ours, XLA's dense layers"
XLA_MLPS, OPTAX_ADAM = "ours, XLA's actor and critics", "ours, optax's Adam"
TORCH = ("torch eager", "torch eager NHWC", "torch compiled", "torch compiled NHWC")
VARIANTS = ("ours", XLA_CONVOLUTIONS, XLA_DENSE, XLA_MLPS, OPTAX_ADAM, *TORCH, "SB3")


@dataclass(frozen=True)
class Spec:
    """What a contender computes.

    variant: one of VARIANTS.
    feed: "fixed" is one batch that lies on the device, "replay" samples every batch and brings it there, one thread
      ahead; "device ring" has the replay's frames on the device, and is ours alone; SB3 has "fixed" alone.
    at_once: updates per dispatch, ours alone.
    """

    variant: str
    batch: int = 256
    encoder_grad: Literal["critic", "both"] = "both"
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    feed: Literal["fixed", "replay", "device ring"] = "fixed"
    at_once: int = 1
    device: Literal["cpu", "gpu"] = "cpu"
    small: bool = False


class ContenderError(RuntimeError):
    """A contender ended, or did not answer in time."""


class Contender:
    """A process that builds itself, then updates for as long as it is told, and waits in between."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contenders", json.dumps(asdict(spec))],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # several share one GPU
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def build_s(self, timeout: float) -> float:
        """Seconds that building, compiling and warming up took; waits for it. Call it first.

        Raises:
          ContenderError: as `rate`.
        """
        return self._answer(timeout)["build_s"]

    def rate(self, seconds: float) -> float:
        """Updates per second over at least `seconds`.

        Raises:
          ContenderError: the process has ended, or takes far longer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ContenderError(f"{self.spec.variant} has ended with exit status {self._process.wait()}") from error
        return self._answer(20.0 + 5.0 * seconds)["rate"]

    def close(self) -> None:
        """Ends the process; by force where it does not listen."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, timeout: float) -> dict[str, Any]:
        try:
            found = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise ContenderError(f"{self.spec.variant} gave no answer within {timeout:.0f} s") from None
        if found is None:
            raise ContenderError(f"{self.spec.variant} ended with exit status {self._process.wait()}")
        return found

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # a library may print lines of its own
                self._answers.put(json.loads(line))
        self._answers.put(None)


def random_batch(size: int, obs_spec: ObsSpec = OBS, seed: int = 0) -> Batch:
    """A batch of random numbers; its speed is that of any other."""
    rng = np.random.default_rng(seed)
    assert obs_spec.image is not None
    assert obs_spec.vector is not None
    stack, height, width = obs_spec.image
    vectors = rng.standard_normal((2, size, obs_spec.vector)).astype(np.float32)
    return Batch(
        frames=rng.integers(0, 256, (size, stack + 1, height, width), np.uint8),
        vector=vectors[0],
        next_vector=vectors[1],
        action=rng.uniform(-1.0, 1.0, (size, ACTION.size)).astype(np.float32),
        reward=rng.standard_normal((size, 1)).astype(np.float32),
        steps=np.ones(size, np.int32),
        terminated=rng.random(size) < 0.01,
    )


def random_replay(
    capacity: int, obs_spec: ObsSpec = OBS, filled: int | None = None, gather_threads: int = 1
) -> FrameReplay:
    """A replay with episodes of 200 random steps."""
    assert obs_spec.image is not None
    assert obs_spec.vector is not None
    replay = FrameReplay(obs_spec, ACTION, capacity, gather_threads=gather_threads)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (64, *obs_spec.image[1:]), np.uint8)
    vector = np.zeros(obs_spec.vector, np.float32)
    image = np.empty(obs_spec.image, np.uint8)
    for step in range(capacity if filled is None else filled):
        frame = frames[step % len(frames)]
        if step % 200 == 0:
            image[:] = frame
            replay.begin_episode({"image": image, "vector": vector})
            continue
        image[:-1], image[-1] = image[1:], frame
        replay.add(np.zeros(ACTION.size, np.float32), 0.5, {"image": image, "vector": vector}, False, step % 200 == 199)
    return replay


def _spec_sizes(spec: Spec) -> tuple[ObsSpec, TD3Config]:
    """The task's sizes, or small ones for a dry run."""
    obs_spec = ObsSpec((4, 36, 36), 23) if spec.small else OBS
    hidden = (32, 32) if spec.small else (256, 256)
    agent = load(OF_RECORD).agent
    return obs_spec, replace(agent, encoder_grad=spec.encoder_grad, compute_dtype=spec.compute_dtype, hidden=hidden)


def _replay_for(spec: Spec, obs_spec: ObsSpec) -> FrameReplay:
    """Half a replay of record; a GPU is fed by several threads, whoever uses it."""
    capacity = 1_000 if spec.small else 50_000
    return random_replay(capacity, obs_spec, gather_threads=1 if spec.device == "cpu" else 4)


def _ours(spec: Spec) -> Callable[[int], None]:
    import jax

    from avtd3_jax.agent.fused_updates import FusedUpdates
    from avtd3_jax.cpu import conv, dense, fused_adam, mlp
    from avtd3_jax.replay.device_replay import DeviceReplay
    from avtd3_jax.replay.prefetch import Prefetcher

    if spec.variant == XLA_CONVOLUTIONS:
        conv.supports = lambda *_: False
    if spec.variant == XLA_DENSE:
        dense.supports = lambda *_: False
    if spec.variant == XLA_MLPS:
        mlp.supports = lambda *_: False
    if spec.variant == OPTAX_ADAM:
        fused_adam.supports = lambda params: False
    obs_spec, config = _spec_sizes(spec)
    learner = TD3(obs_spec, ACTION, config)
    multi = FusedUpdates(learner, spec.at_once) if spec.at_once > 1 else None
    state = learner.init(0)
    if spec.feed == "fixed":
        get: Callable[[], Batch] = partial(_same, jax.device_put(random_batch(spec.batch, obs_spec)))
    else:
        replay = _replay_for(spec, obs_spec)
        source = DeviceReplay(replay) if spec.feed == "device ring" else replay
        get = Prefetcher(partial(source.sample, spec.batch), depth=2 * spec.at_once).get

    def updates(count: int) -> None:
        nonlocal state
        for number in range(0, count, spec.at_once):
            if multi is None:
                state, packed = learner.step(state, get(), number)
            else:
                state, packed = multi(state, [get() for _ in range(spec.at_once)])
        packed.block_until_ready()

    return updates


def _same(batch: Batch) -> Batch:
    return batch


def _torch(spec: Spec) -> Callable[[int], None]:
    import jax
    import torch

    from benchmarks.rivals.torch_td3 import TorchTD3, Variant

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # as JAX has it on a GPU
    torch.backends.cudnn.benchmark = True
    obs_spec, config = _spec_sizes(spec)
    params = jax.tree.map(np.array, TD3(obs_spec, ACTION, config).init(0).params)
    variant = Variant(
        compiled="compiled" in spec.variant,
        channels_last="NHWC" in spec.variant,
        bfloat16=spec.compute_dtype == "bfloat16",
    )
    device = "cuda" if spec.device == "gpu" else "cpu"
    rival = TorchTD3(obs_spec, ACTION, config, params, variant, device)
    if spec.feed == "replay":
        replay, ahead = _replay_for(spec, obs_spec), ThreadPoolExecutor(1)
        waiting = ahead.submit(lambda: rival.to_device(replay.sample(spec.batch)))
    fixed = rival.to_device(random_batch(spec.batch, obs_spec))

    def updates(count: int) -> None:
        nonlocal waiting
        for number in range(count):
            batch = fixed
            if spec.feed == "replay":
                batch = waiting.result()
                waiting = ahead.submit(lambda: rival.to_device(replay.sample(spec.batch)))
            rival.update(batch, update_actor=(number + 1) % config.policy_delay == 0)
        if device == "cuda":
            torch.cuda.synchronize()

    return updates


def _sb3(spec: Spec) -> Callable[[int], None]:
    import torch

    from benchmarks.rivals.sb3 import SB3Learner

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    obs_spec, config = _spec_sizes(spec)
    device = "cuda" if spec.device == "gpu" else "cpu"
    rival = SB3Learner(obs_spec, ACTION, config, spec.batch, device)

    def updates(count: int) -> None:
        for _ in range(count):
            rival.update()
        if device == "cuda":
            torch.cuda.synchronize()

    return updates


def _timed(updates: Callable[[int], None], at_once: int, seconds: float) -> float:
    """Updates per second, in even numbers of them and whole dispatches, over at least `seconds`."""
    done, chunk, began = 0, 2 * at_once, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        updates(chunk)
        done += chunk
        chunk = min(2 * chunk, 256 * at_once) if spent < seconds / 8 else chunk
    return done / spent


def _serve(spec: Spec) -> None:
    import jax

    from avtd3_jax import runtime

    if spec.variant.startswith("ours"):
        runtime.setup(spec.device)
    else:
        jax.config.update("jax_platforms", "cpu")  # rivals run in a process as it comes; JAX makes their first weights
    began = time.perf_counter()
    make = _sb3 if spec.variant == "SB3" else _ours if spec.variant.startswith("ours") else _torch
    updates = make(spec)
    updates(6 * spec.at_once)  # compiles, and warms up
    print(json.dumps({"build_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"rate": _timed(updates, spec.at_once, float(line))}), flush=True)


if __name__ == "__main__":
    _serve(Spec(**json.loads(sys.argv[1])))
