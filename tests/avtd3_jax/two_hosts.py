"""python two_hosts.py NUMBER PORT: one of two hosts that learn together, against a lone learner of the same batches."""

import sys
from functools import partial

import jax
import numpy as np
from learner_cases import VECTOR, random_batch

from avtd3_jax import runtime
from avtd3_jax.agent.placement import on_one_device, place
from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.settings.schema import HostsConfig
from avtd3_jax.training.hosts import join

SIZE, UPDATES = 16, 6


def main() -> None:
    number, port = int(sys.argv[1]), sys.argv[2]
    runtime.setup("cpu", several_devices=True, join=partial(join, HostsConfig(2, number, f"127.0.0.1:{port}")))
    config = TD3Config(hidden=(16, 16))
    joint, alone = (TD3(VECTOR, ActionSpec(2), config, made) for made in (place("all", SIZE, "cpu"), None))
    states = [joint.init(0), alone.init(0)]
    mine = slice(number * SIZE // 2, (number + 1) * SIZE // 2)
    for update in range(UPDATES):
        batch = random_batch(VECTOR, SIZE, seed=update)
        part = jax.tree.map(lambda array: array[mine], batch)
        states[0], _ = joint.step(states[0], joint.placement.shard(part), update)
        states[1], _ = alone.step(states[1], batch, update)
    ours, lone = (on_one_device(state.params) for state in states)
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(lone), strict=True)
    print(max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs))


main()
