"""python eight_devices.py FOLDER PRECISION: small learners on one device and on eight; prints how far they part."""

# ruff: noqa: E402  # the precision comes before what reads it

import json
import re
import sys
from pathlib import Path

from benchmarks import devices

FOLDER, PRECISION = Path(sys.argv[1]), sys.argv[2]
devices.use(PRECISION)

import jax
from learner_cases import random_batch

from avtd3_jax.agent.placement import on_one_device, place
from avtd3_jax.agent.td3 import TD3
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError
from avtd3_jax.training.learner import Learner

SIZE, UPDATES = devices.SIZES[PRECISION], 100


def compare(one: Learner, eight: Learner) -> tuple[float, float]:
    """How far parameters and mean metrics are apart: in 64 bits in the end, in 32 bits what a dispatch alone makes."""
    if PRECISION == "float64":
        found = devices.free_running(one, eight, UPDATES)
        parameters, losses = found["parameters"], found["losses"]
    else:
        parameters, losses = devices.each_alone(one, eight, UPDATES), devices.losses_apart(one, eight)
    for each in (one, eight):
        assert int(each.state.step) == UPDATES
    return parameters, losses


def numbers(state):
    return state.params, state.target_params, state.opt_state


def resumed(folder: Path, saved: TD3, state, other: TD3) -> dict[str, float]:
    """A checkpoint of one learner in another one, and how far they are apart, at once and an update later."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, state)
        restored = checkpoints.restore(other.init(1)).state
    difference = devices.apart(numbers(state), numbers(restored))
    batch = random_batch(size=SIZE, seed=9)
    after = [
        made.step(of, batch if made.placement is None else made.placement.shard(batch), 1)[0]
        for made, of in ((saved, state), (other, restored))
    ]
    return {"restored": difference, "after an update": devices.apart(after[0].params, after[1].params)}


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
    placement = devices.all_devices(PRECISION)
    assert placement.size == devices.DEVICES
    found: dict[str, object] = {"refused": refused()}
    for grad in devices.CASES:
        one, eight = (devices.learner(PRECISION, grad, on) for on in (None, placement))
        found[grad] = compare(one, eight)
        for each in (one, eight):
            each.close()
    if PRECISION == "float32":
        found.update(look_inside(one, eight))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
