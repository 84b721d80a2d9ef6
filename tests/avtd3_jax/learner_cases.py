"""Small learners and random batches for the tests of this folder."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from avtd3_jax.agent.interface import Params, TrainState
from avtd3_jax.agent.spaces import ActionSpec, Observation, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.replay.batch import Batch
from avtd3_jax.replay.replay import FrameReplay

BOTH = ObsSpec(image=(4, 36, 36), vector=5)  # the smallest image that NatureCNN takes
VECTOR = ObsSpec(image=None, vector=5)
# The hyperparameters that the numbers in this folder's tests belong to: those of configs/town01_of_record.py.
OF_RECORD: dict[str, Any] = {
    "trunk_width": 0,
    "encoder_grad": "both",
    "encoder_lr": 1e-4,
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "gamma": 0.99,
}


def make_learner(obs_spec: ObsSpec = BOTH, **config: object) -> TD3:
    """In float32 on every machine, so that the tests' numbers and bounds are of one arithmetic."""
    small = {"hidden": (32, 32), "compute_dtype": "float32"}
    return TD3(obs_spec, ActionSpec(2), TD3Config(**{**small, **OF_RECORD, **config}))


def random_batch(obs_spec: ObsSpec = BOTH, size: int = 8, seed: int = 0, actions: int = 2, n_step: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    frames = vector = next_vector = None
    if obs_spec.image is not None:
        stack, height, width = obs_spec.image
        frames = rng.integers(0, 256, (size, stack + min(n_step, stack), height, width), np.uint8)
    if obs_spec.vector is not None:
        vector, next_vector = rng.standard_normal((2, size, obs_spec.vector)).astype(np.float32)
    steps = rng.integers(1, n_step + 1, size, np.int32)
    batch = Batch(
        frames=frames,
        vector=vector,
        next_vector=next_vector,
        action=rng.uniform(-1.0, 1.0, (size, actions)).astype(np.float32),
        reward=np.where(np.arange(n_step) < steps[:, None], rng.standard_normal((size, n_step)), 0.0).astype(
            np.float32
        ),
        steps=steps,
        terminated=rng.random(size) < 0.3,
    )
    if obs_spec.privileged is not None:
        privileged, next_privileged = rng.standard_normal((2, size, obs_spec.privileged)).astype(np.float32)
        batch = batch._replace(privileged=privileged, next_privileged=next_privileged)
    if obs_spec.expert is not None:
        batch = batch._replace(expert=rng.uniform(-1.0, 1.0, (size, obs_spec.expert)).astype(np.float32))
    return batch


def filled_replay(capacity: int = 200, steps: int = 150) -> FrameReplay:
    """One long episode of random frames, still under way."""
    replay = FrameReplay(BOTH, ActionSpec(2), capacity)
    rng = np.random.default_rng(0)

    def observation(repeat: bool) -> Observation:
        frames = rng.integers(0, 256, (1 if repeat else 4, 36, 36), np.uint8)
        return {"image": np.repeat(frames, 4, axis=0) if repeat else frames, "vector": rng.random(5, np.float32)}

    replay.begin_episode(first := observation(repeat=True))
    stack = first["image"]
    for step in range(steps):
        stack = np.concatenate([stack[1:], observation(repeat=False)["image"][:1]])
        replay.add(rng.uniform(-1, 1, 2), step, {"image": stack, "vector": rng.random(5, np.float32)}, False, False)
    return replay


def copy_replay(source: Any, target: Any) -> None:
    """What a checkpoint does, without a disk."""
    for mine, other in zip(source.rings, target.rings, strict=False):
        mine_begin, mine_end = mine.span
        other.write_slots(mine_begin, mine.read_slots(mine_begin, mine_end))
    target.set_state(source.get_state())


def run_updates(learner: TD3, state: TrainState, count: int, first: int = 0) -> TrainState:
    for update in range(first, first + count):
        state, _ = learner.step(state, random_batch(learner.obs_spec, seed=update), update)
    return state


def once(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, compiled for a single use: XLA's optimisations would take longer than they save."""
    lowered = jax.jit(function).lower(*arguments)
    return lowered.compile(compiler_options={"xla_backend_optimization_level": 0})(*arguments)


def on_host(tree: object) -> list[np.ndarray]:
    """Leaves as numpy copies, keys as their data."""
    leaves = jax.tree.leaves(tree)
    return [
        np.array(jax.random.key_data(leaf))
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else np.array(leaf)
        for leaf in leaves
    ]


def same_bits(a: object, b: object) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(on_host(a), on_host(b), strict=True))


def host_params(params: Params) -> Params:
    return jax.tree.map(np.array, params)
