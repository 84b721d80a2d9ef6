"""python two_hosts.py NUMBER PORT FOLDER: one of two hosts that learn together, until the second one dies.

They begin with a checkpoint each, of other parameters and another number of updates. They tell how far they come from
a lone learner that goes on from the first one's with the same batches.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
from learner_cases import VECTOR, random_batch

from avtd3_jax import runtime
from avtd3_jax.agent.placement import on_one_device, place
from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import run_command
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.settings.schema import HostsConfig
from avtd3_jax.training.hosts import JointLearner, as_the_first_host, greet, join
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.stop_signal import StopSignal

SIZE, UPDATES = 16, 6


def main() -> int:
    number, port = int(sys.argv[1]), sys.argv[2]
    hosts = HostsConfig(2, number, f"127.0.0.1:{port}")
    runtime.setup("cpu", several_devices=True, join=partial(join, hosts))
    greet(hosts)
    config = TD3Config(hidden=(16, 16))
    joint, alone = (TD3(VECTOR, ActionSpec(2), config, made) for made in (place("all", SIZE, "cpu"), None))
    batches = [random_batch(VECTOR, SIZE, seed=update) for update in range(UPDATES)]
    mine = slice(number * SIZE // 2, (number + 1) * SIZE // 2)
    parts = iter([joint.placement.shard(jax.tree.map(lambda array: array[mine], batch)) for batch in [*batches] * 2])
    with Checkpoints(Path(sys.argv[3]) / str(number)) as checkpoints:
        checkpoints.save(100 + number, alone.init(number))
        own = checkpoints.restore(joint.init(2)).state
    shared, first = as_the_first_host(own, 2 * number, joint.placement)
    learner = JointLearner(StopSignal(), joint, shared, Prefetcher(lambda: next(parts)), PhaseTimer())
    state = alone.init(0)
    for update, batch in enumerate(batches, first):
        learner.update(update)
        state, _ = alone.step(state, batch, update)
    learner.settle()
    ours, lone = (on_one_device(made.params) for made in (learner.state, state))
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(lone), strict=True)
    print(max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs), flush=True)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    for update in range(UPDATES, 2 * UPDATES):
        learner.update(update)
    return 0


sys.exit(run_command("two_hosts", main, ""))
