"""Do eight devices learn what one learns? Both make the same updates, seed after seed, in 64 and in 32 bits.

python -m benchmarks.devices [--seeds 10] [--updates 100] [--encoder-grads critic both] [--json FILE]

Small learners on batches of random data: "critic" one update a dispatch, "both" two, with all frames on the devices. A
seed is within the bound where no parameter and no mean of the losses is further apart than 1e-5 in the end. "A dispatch
alone" is the furthest that one goes apart from the same state. This is about rounding, not speed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from reporting.machine import ROOT, machine
from reporting.publish import Spread, parser, publish

DEVICES, BOUND = 8, 1e-5
SIZES = {"float64": 8, "float32": 16}  # of a batch; XLA's convolutions in 64 bits are slow
CASES = {"critic": (False, 1), "both": (True, 2)}  # encoder_grad: frames on the devices?, updates a dispatch
_RATES: dict[str, Any] = {"encoder_lr": 1e-4, "actor_lr": 3e-4, "critic_lr": 3e-4}  # of configs/town01_of_record.py
_HEIGHT, _NUMBERS, _STEPS = 36, 5, 150  # the smallest image that NatureCNN takes


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--updates", type=int, default=100)
    options.add_argument("--encoder-grads", nargs="+", default=list(CASES), choices=list(CASES))
    options.add_argument("--precision", choices=list(SIZES), help=argparse.SUPPRESS)  # in a process of its own
    args = options.parse_args()
    if args.precision:
        print(json.dumps(measured(args)))
        return
    where, rows = machine(), []
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    for precision in SIZES:
        command = [sys.executable, "-m", "benchmarks.devices", *sys.argv[1:], "--precision", precision]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "XLA_FLAGS": flags}
        )
        if done.returncode:
            raise SystemExit(f"devices: {precision} failed, see above")
        rows += [row_of(precision, **found) for found in json.loads(done.stdout.splitlines()[-1])]
    publish(rows, where, args.json)


def row_of(precision: str, encoder_grad: str, seeds: list[dict[str, float]], alone: float) -> dict[str, Any]:
    """A line of the table, from what each seed gave."""
    beyond = [seed for seed in seeds if max(seed["parameters"], seed["losses"]) > BOUND]
    return {
        "precision": precision,
        "encoder_grad": encoder_grad,
        "within 1e-5": f"{len(seeds) - len(beyond)} of {len(seeds)}",
        "parameters apart": Spread.of([seed["parameters"] for seed in seeds]),
        "losses apart": Spread.of([seed["losses"] for seed in seeds]),
        "a dispatch alone": alone,
    }


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """`row_of`'s arguments, in a process that has so many devices."""
    use(args.precision)
    placement, rows = all_devices(args.precision), []
    for grad in args.encoder_grads:
        one, eight = (learner(args.precision, grad, on) for on in (None, placement))
        seeds = []
        for seed in range(args.seeds):
            began = time.perf_counter()
            for each in (one, eight):
                each.state = each.agent.init(seed)
            found = free_running(one, eight, args.updates)
            seeds.append(found)
            told = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
            print(f"{args.precision} {grad} {seed}: {told}; {time.perf_counter() - began:.0f} s", file=sys.stderr)
        alone = each_alone(one, eight, args.updates)
        for each in (one, eight):
            each.close()
        rows.append({"encoder_grad": grad, "seeds": seeds, "alone": alone})
    return rows


def use(precision: str) -> None:
    """Call it before anything of the learner is imported."""
    import jax

    if precision == "float64":
        # Ours and Flax's modules name their precision by this; so none of their numbers is rounded to 32 bits any more.
        jax.config.update("jax_enable_x64", True)
        jax.numpy.float32 = jax.numpy.float64


def all_devices(precision: str) -> Any:
    """The placement of a batch on them, once JAX is set up."""
    from avtd3_jax import runtime
    from avtd3_jax.agent.placement import place
    from avtd3_jax.cpu.code import handler

    runtime.setup("cpu", several_devices=True)
    if precision == "float64":
        vars(handler)["interface_known"] = lambda: False  # the own kernels know 32 bits alone
    return place("all", SIZES[precision], "cpu")


def learner(precision: str, encoder_grad: Any, placement: Any) -> Any:
    """A compiled learner of random data, on one device or on those of `placement`."""
    import jax

    from avtd3_jax.agent.config import TD3Config
    from avtd3_jax.agent.registry import make_agent
    from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
    from avtd3_jax.replay.device_replay import DeviceReplay
    from avtd3_jax.replay.prefetch import Prefetcher
    from avtd3_jax.training.learner import Learner
    from avtd3_jax.training.phases import PhaseTimer

    (resident, at_once), size = CASES[encoder_grad], SIZES[precision]
    config = TD3Config(hidden=(32, 32), trunk_width=0, encoder_grad=encoder_grad, **_RATES)
    object.__setattr__(config, "compute_dtype", precision)
    specs = ObsSpec(image=(4, _HEIGHT, _HEIGHT), vector=_NUMBERS), ActionSpec(2)
    agent = make_agent("td3", *specs, config, placement)
    replay = filled(*specs)
    source = DeviceReplay(replay, placement) if resident else replay
    put: Callable[[Any], Any] = jax.device_put if placement is None else placement.shard
    made = Learner(agent, agent.init(0), Prefetcher(lambda: source.sample(size), 0, put), PhaseTimer(), at_once)
    made.prepare(size)
    assert made._compiled is not None
    made._compiled.result()  # one at a time: they share kernels
    return made


def filled(observations: Any, actions: Any) -> Any:
    """A replay of one long episode of random frames."""
    from avtd3_jax.replay.replay import FrameReplay

    replay, rng = FrameReplay(observations, actions, _STEPS + 50), np.random.default_rng(0)
    stack = np.repeat(rng.integers(0, 256, (1, _HEIGHT, _HEIGHT), np.uint8), 4, axis=0)
    replay.begin_episode({"image": stack, "vector": rng.random(_NUMBERS, np.float32)})
    for _ in range(_STEPS):
        stack = np.concatenate([stack[1:], rng.integers(0, 256, (1, _HEIGHT, _HEIGHT), np.uint8)])
        seen = {"image": stack, "vector": rng.random(_NUMBERS, np.float32)}
        replay.add(rng.uniform(-1, 1, 2), float(rng.normal()), seen, False, False)
    return replay


def free_running(one: Any, eight: Any, updates: int) -> dict[str, float]:
    """How far parameters, targets and mean losses are apart after so many updates of the same batches."""
    for each in (one, eight):
        for number in range(0, updates, each.updates_per_dispatch):
            each.update(number)
    return {"losses": losses_apart(one, eight), "parameters": furthest(one, eight)}


def each_alone(one: Any, eight: Any, updates: int) -> float:
    """The greatest distance that one dispatch makes, both learners beginning each with the first one's state."""
    import jax

    worst = 0.0
    for number in range(0, updates, one.updates_per_dispatch):
        eight.state = jax.device_put(on_host(one.state), eight.agent.placement.whole)
        for each in (one, eight):
            each.update(number)
        worst = max(worst, furthest(one, eight))
    return worst


def losses_apart(one: Any, eight: Any) -> float:
    """Of the mean metrics since the last call, once all updates are made; relative where they are greater than 1."""
    for each in (one, eight):
        each.settle()
    means = [each.collect() for each in (one, eight)]
    return max(float(abs(means[1][name] - mean)) / max(abs(mean), 1.0) for name, mean in means[0].items())


def furthest(one: Any, eight: Any) -> float:
    """The greatest distance of two parameters or targets."""
    return apart(*((each.state.params, each.state.target_params) for each in (one, eight)))


def apart(ours: Any, theirs: Any) -> float:
    """The greatest difference between two trees' leaves."""
    import jax

    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max()) for a, b in pairs)


def on_host(state: Any) -> Any:
    """Copies, which no update's donation takes."""
    import jax

    def copy(leaf: Any) -> Any:
        return leaf.copy() if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.array(leaf)

    return jax.tree.map(copy, state)


if __name__ == "__main__":
    main()
