"""The learners of a race, each in a process of its own, so that no one's idle threads disturb another's.

A contender is built once and then asked in turns: noise of the machine hits all of them alike.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avtd3_jax.learner import Learner, TD3Config
from avtd3_jax.replay import Batch, FrameReplay
from avtd3_jax.spaces import ActionSpec, ObsSpec

OBS, ACTION = ObsSpec(image=(4, 84, 84), vector=23), ActionSpec(2)
VARIANTS = ("ours", "torch eager", "torch eager NHWC", "torch compiled", "torch compiled NHWC", "SB3")


@dataclass(frozen=True)
class Spec:
    """What a contender computes.

    variant: one of VARIANTS.
    feed: "fixed" is one batch that lies on the device, "replay" samples every batch and brings it there, one thread
      ahead; SB3 has "fixed" alone.
    """

    variant: str
    batch: int = 256
    encoder_grad: Literal["critic", "both"] = "both"
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    feed: Literal["fixed", "replay"] = "fixed"
    device: Literal["cpu", "gpu"] = "cpu"
    small: bool = False


class Contender:
    """A process that updates for as long as it is told, and waits in between."""

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
        self.ready = self._read()

    def rate(self, seconds: float) -> float:
        """Updates per second over at least `seconds`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._read()["rate"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # a library may print lines of its own
                return json.loads(line)
        raise RuntimeError(f"The contender {self.spec} ended with exit status {self._process.wait()}.")


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


def random_replay(capacity: int, obs_spec: ObsSpec = OBS, filled: int | None = None) -> FrameReplay:
    """A replay with episodes of 200 random steps."""
    assert obs_spec.image is not None
    assert obs_spec.vector is not None
    replay, rng = FrameReplay(obs_spec, ACTION, capacity), np.random.default_rng(0)
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
    return obs_spec, TD3Config(encoder_grad=spec.encoder_grad, compute_dtype=spec.compute_dtype, hidden=hidden)


def _ours(spec: Spec) -> Callable[[int], None]:
    import jax

    from avtd3_jax.prefetch import Prefetcher

    obs_spec, config = _spec_sizes(spec)
    learner = Learner(obs_spec, ACTION, config)
    state = learner.init(0)
    if spec.feed == "replay":
        get = Prefetcher(partial(random_replay(10_000, obs_spec).sample, spec.batch), depth=2).get
    else:
        batch = jax.device_put(random_batch(spec.batch, obs_spec))
        get = partial(_same, batch)

    def updates(count: int) -> None:
        nonlocal state
        for number in range(count):
            state, packed = learner.step(state, get(), number)
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
    params = jax.tree.map(np.array, Learner(obs_spec, ACTION, config).init(0).params)
    variant = Variant(
        compiled="compiled" in spec.variant,
        channels_last="NHWC" in spec.variant,
        bfloat16=spec.compute_dtype == "bfloat16",
    )
    device = "cuda" if spec.device == "gpu" else "cpu"
    rival = TorchTD3(obs_spec, ACTION, config, params, variant, device)
    if spec.feed == "replay":
        replay, ahead = random_replay(10_000, obs_spec), ThreadPoolExecutor(1)
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


def _timed(updates: Callable[[int], None], seconds: float) -> float:
    """Updates per second, in even numbers of them, over at least `seconds`."""
    done, chunk, began = 0, 2, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        updates(chunk)
        done += chunk
        chunk = min(2 * chunk, 256) if spent < seconds / 8 else chunk
    return done / spent


def _serve(spec: Spec) -> None:
    from avtd3_jax import runtime

    info = runtime.setup(spec.device if spec.variant == "ours" else "cpu")
    began = time.perf_counter()
    make = {"ours": _ours, "SB3": _sb3}.get(spec.variant, _torch)
    updates = make(spec)
    updates(6)  # compiles, and warms up
    print(json.dumps({"build_s": time.perf_counter() - began, "xla_flags": info.xla_flags}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"rate": _timed(updates, float(line))}), flush=True)


if __name__ == "__main__":
    _serve(Spec(**json.loads(sys.argv[1])))
