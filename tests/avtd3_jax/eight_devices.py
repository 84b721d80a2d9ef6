"""python eight_devices.py FOLDER PRECISION: small learners on one device and on eight; prints how far they part."""

# ruff: noqa: E402  # the precision comes before what reads it

import json
import re
import sys
from pathlib import Path

import jax

FOLDER, PRECISION = Path(sys.argv[1]), sys.argv[2]
if PRECISION == "float64":
    # Ours and Flax's modules name their precision by this; so none of their numbers is rounded to 32 bits any more.
    jax.config.update("jax_enable_x64", True)
    jax.numpy.float32 = jax.numpy.float64

import numpy as np
from learner_cases import BOTH, OF_RECORD, filled_replay, random_batch

from avtd3_jax import runtime
from avtd3_jax.agent.placement import Placement, on_one_device, place
from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.cpu.code import handler
from avtd3_jax.errors import ConfigError
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.phases import PhaseTimer

SEED = 0
SIZE, UPDATES = 16 if PRECISION == "float32" else 8, 100  # XLA's convolutions in 64 bits are slow
ACTION = ActionSpec(2)
CASES = {"critic": (False, 1), "both": (True, 2)}  # encoder_grad: frames on the devices?, updates a dispatch


def agent(placement: Placement | None, encoder_grad: str) -> TD3:
    config = TD3Config(**{"hidden": (32, 32), **OF_RECORD, "encoder_grad": encoder_grad})
    object.__setattr__(config, "compute_dtype", PRECISION)
    return TD3(BOTH, ACTION, config, placement)


def learner(made: TD3, resident: bool, at_once: int) -> Learner:
    replay = filled_replay()
    source = DeviceReplay(replay, made.placement) if resident else replay
    put = jax.device_put if made.placement is None else made.placement.shard
    learner = Learner(made, made.init(SEED), Prefetcher(lambda: source.sample(SIZE), 0, put), PhaseTimer(), at_once)
    learner.prepare(SIZE)
    learner._compiled.result()  # one at a time: they share kernels
    return learner


def apart(one: object, other: object) -> float:
    """The largest difference between two trees' leaves."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max()) for a, b in pairs)


def numbers(state):
    return state.params, state.target_params, state.opt_state


def metrics_apart(one: Learner, eight: Learner) -> float:
    means = [each.collect() for each in (one, eight)]
    return max(abs(means[1][name] - mean) / max(abs(mean), 1.0) for name, mean in means[0].items())


def compare(one: Learner, eight: Learner, *, together: bool) -> tuple[float, float]:
    """The largest distance of parameters and targets in all updates of the same batches, and that of mean metrics.

    With `together` both begin every dispatch with the state of the first: what is seen is each dispatch's own error.
    """
    worst = 0.0
    for number in range(0, UPDATES, one.updates_per_dispatch):
        if together:
            eight.state = jax.device_put(on_host(one.state), eight.agent.placement.whole)
        for each in (one, eight):
            each.update(number)
        if together:
            worst = max(worst, apart(numbers(one.state)[:2], numbers(eight.state)[:2]))
    for each in (one, eight):
        each.settle()
        assert int(each.state.step) == UPDATES
    return max(worst, apart(numbers(one.state)[:2], numbers(eight.state)[:2])), metrics_apart(one, eight)


def on_host(state):
    """Copies, which no update's donation takes."""
    return jax.tree.map(
        lambda leaf: leaf.copy() if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.array(leaf), state
    )


def resumed(folder: Path, saved: TD3, state, other: TD3) -> dict[str, float]:
    """A checkpoint of one learner in another one, and how far they are apart, at once and an update later."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, state)
        restored = checkpoints.restore(other.init(1)).state
    difference = apart(numbers(state), numbers(restored))
    batch = random_batch(size=SIZE, seed=9)
    after = [
        made.step(of, batch if made.placement is None else made.placement.shard(batch), 1)[0]
        for made, of in ((saved, state), (other, restored))
    ]
    return {"restored": difference, "after an update": apart(after[0].params, after[1].params)}


def look_inside(one: Learner, eight: Learner) -> dict[str, object]:
    """What the compiler made of several updates, where arrays lie, and what checkpoints carry over."""
    text = eight._several._executable.as_text()
    operands = [re.findall(r"u8\[(\d+),4,36,36\]", line) for line in text.splitlines() if "avtd3_conv" in line]
    acting = jax.tree.leaves(on_one_device(eight.state.params))
    assert eight.last_batch.frames.sharding.is_equivalent_to(eight.agent.placement.split, 4)
    return {
        "images a kernel": sorted({int(size) for sizes in operands for size in sizes}),
        "gathers": text.count(" all-gather("),
        "reductions": text.count(" all-reduce("),
        "acting devices": len({device for leaf in acting for device in leaf.devices()}),
        "checkpoint": {
            "8 to 1": resumed(FOLDER / "8", eight.agent, eight.state, one.agent),
            "1 to 8": resumed(FOLDER / "1", one.agent, one.state, eight.agent),
        },
    }


def refused() -> str:
    try:
        place("8", 12, "cpu")
    except ConfigError as error:
        return str(error)
    return ""


def main() -> None:
    runtime.setup("cpu", several_devices=True)
    if PRECISION == "float64":
        handler.interface_known = lambda: False  # the own kernels know 32 bits alone
    placement = place("all", SIZE, "cpu")
    assert placement is not None
    assert placement.size == 8
    found: dict[str, object] = {"refused": refused()}
    for grad, case in CASES.items():
        one, eight = (learner(agent(on, grad), *case) for on in (None, placement))
        found[grad] = compare(one, eight, together=PRECISION == "float32")
        for each in (one, eight):
            each.close()
    if PRECISION == "float32":
        found.update(look_inside(one, eight))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
