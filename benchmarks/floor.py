"""What the hardware allows: the arithmetic and the bytes of one update, and how fast this machine does each."""

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from llvmlite import ir

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.cpu.code import engine
from avtd3_jax.cpu.code.emitter import I64, POINTER, Emitter, registers
from avtd3_jax.replay.batch import Batch

CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # NatureCNN: features, kernel, stride


def update_gflop(obs_spec: ObsSpec, action_spec: ActionSpec, config: TD3Config, batch: int) -> float:
    """Multiplications and additions of one update's matrix products in 1e9, averaged over the policy delay."""
    first, rest = _encoder_flop(obs_spec, config.trunk_width)
    features = (obs_spec.vector or 0) + (0 if obs_spec.image is None else config.trunk_width or 512)
    actor = _mlp_flop((features, *config.hidden, action_spec.size))
    critic = _mlp_flop((features + action_spec.size, *config.hidden, 1))
    into_features = 2 * features * config.hidden[0] if config.encoder_grad == "critic" else 0
    targets = first + rest + actor + config.num_critics * critic
    # Backward costs two forwards, one for the weights and one for the inputs; pictures need no gradient.
    critic_step = 2 * first + 3 * rest + 3 * config.num_critics * critic
    actor_step = 3 * actor - into_features + 2 * critic
    return batch * (targets + critic_step + actor_step / config.policy_delay) / 1e9


def _encoder_flop(obs_spec: ObsSpec, trunk_width: int) -> tuple[int, int]:
    """One forward pass of one image: the first convolution, and all after it."""
    if obs_spec.image is None:
        return 0, 0
    channels, *grid = obs_spec.image
    layers = []
    for features, kernel, stride in CONVOLUTIONS:
        grid = [(side - kernel) // stride + 1 for side in grid]
        layers.append(2 * grid[0] * grid[1] * features * kernel * kernel * channels)
        channels = features
    return layers[0], sum(layers[1:]) + 2 * channels * grid[0] * grid[1] * (trunk_width or 512)


def _mlp_flop(widths: tuple[int, ...]) -> int:
    return sum(2 * a * b for a, b in pairwise(widths))


def batch_bytes(batch: Batch) -> int:
    """Bytes that one update needs from the host."""
    return sum(part.nbytes for part in batch if part is not None)


def matmul_gflops(dtype: str, size: int, seconds: float) -> float:
    """Rate of JAX's product of two square matrices on the default device, in GFLOP/s."""
    import jax

    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(lambda x, y: x @ y)
    product(a, a).block_until_ready()
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        product(a, a).block_until_ready()
        count += 1
    return count * 2 * size**3 / spent / 1e9


def pairs_gflops(seconds: float) -> float:
    """Rate of this processor's products of pairs of bfloat16 on all cores, from registers to registers, in GFLOP/s."""
    sums, steps = 24, 100_000  # more sums than an instruction's cycles, so that none waits for the one before
    module = ir.Module("peak")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64]), "peak")
    memory, count = function.args
    emitter = Emitter(function, registers(), pairs=True)
    builder, lanes = emitter.builder, emitter.registers.lanes
    a, b = (emitter.load(emitter.at(memory, number * lanes), emitter.words) for number in range(2))
    totals = [emitter.variable(emitter.vector) for _ in range(sums)]
    for number, total in enumerate(totals):
        builder.store(emitter.load(emitter.at(memory, number * lanes)), total)
    with emitter.loop(count):
        for total in totals:
            builder.store(emitter.multiply_add(a, b, builder.load(total, typ=emitter.vector)), total)
    for number, total in enumerate(totals):
        emitter.store(builder.load(total, typ=emitter.vector), emitter.at(memory, number * lanes))
    emitter.finish()
    code = engine.loaded(engine.machine_code(module))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.get_function_address("peak"))

    def one_core(end: float) -> int:
        numbers, done = np.zeros(sums * lanes, np.float32), 0
        while time.perf_counter() < end:
            run(numbers.ctypes.data, steps)
            done += 1
        return done

    cores = len(os.sched_getaffinity(0))
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as threads:
        done = sum(threads.map(one_core, [began + seconds] * cores))
    return done * steps * sums * lanes * 4 / (time.perf_counter() - began) / 1e9


def transfer_gb_s(nbytes: int, seconds: float) -> float:
    """Rate of bringing one batch's bytes to the default device, in GB/s; on a CPU that is a plain copy."""
    import jax

    source = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    target = np.empty_like(source)

    def move() -> None:
        if jax.default_backend() == "cpu":
            np.copyto(target, source)  # device_put may copy nothing there
        else:
            jax.device_put(source).block_until_ready()

    move()
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        move()
        count += 1
    return count * nbytes / spent / 1e9
