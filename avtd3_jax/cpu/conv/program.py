"""A stack of convolutions, forward and backward, compiled for this machine: the handlers that XLA calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llvmlite import ir

from avtd3_jax.cpu.code import engine, handler
from avtd3_jax.cpu.code.emitter import Registers, registers
from avtd3_jax.cpu.code.handler import ResultAxis
from avtd3_jax.cpu.conv import kernels
from avtd3_jax.cpu.conv.bfloat16_stack import Bfloat16Stack
from avtd3_jax.cpu.conv.kernels import Layer
from avtd3_jax.cpu.conv.stack import Stack

Dtype = Literal["float32", "bfloat16"]
STACKS: dict[Dtype, type[Stack]] = {"float32": Stack, "bfloat16": Bfloat16Stack}
DTYPES = tuple(STACKS)


def fits(layers: Sequence[Layer]) -> bool:
    """Whether the kernels can compute these layers: no output is empty, and features fill whole vectors."""
    block = kernels.VECTORS * registers().lanes
    plane = layers[0].height * layers[0].width
    sizes = [size for layer in layers for size in (layer.out_height, layer.out_width)]
    return plane >= registers().lanes and min(sizes) > 0 and all(layer.features % block == 0 for layer in layers)


@dataclass(frozen=True)
class Targets:
    """Names of the registered custom calls."""

    forward: str  # keeps every layer's output
    features: str  # keeps the last layer's alone
    backward: str


def targets(layers: tuple[Layer, ...], dtype: Dtype) -> Targets:
    """Compiles the layers for this machine and registers them with XLA, once a process."""
    with engine.ALONE:
        return _targets(layers, dtype, registers())


@cache
def _targets(layers: tuple[Layer, ...], dtype: Dtype, registers: Registers) -> Targets:
    shape = "_".join(f"{x.height}x{x.width}x{x.channels}k{x.kernel}s{x.stride}f{x.features}" for x in layers)
    kind = f"{dtype}_{registers.kind}"
    names = Targets(*(f"avtd3_conv_{part}_{kind}_{shape}" for part in ("forward", "features", "backward")))

    def build(module: ir.Module) -> None:
        stack = STACKS[dtype](module, layers, registers)
        forward, features = (
            stack.forward(f"{name}_chunk", keep=keep) for name, keep in ((names.forward, True), (names.features, False))
        )
        handler.define(module, names.forward, forward, ResultAxis(len(layers)))
        handler.define(module, names.features, features, ResultAxis(1))
        handler.define(module, names.backward, stack.backward(names.backward + "_chunk"), ResultAxis(2 * len(layers)))

    engine.register((names.forward, names.features, names.backward), build)
    return names


def scratch_words(layers: Sequence[Layer], dtype: Dtype, *, backward: bool, keep: bool = False) -> int:
    """32-bit words of one chunk's scratch; `keep` as in `Stack.forward`."""
    stack = STACKS[dtype]
    return stack.backward_words(layers) if backward else stack.forward_words(layers, keep=keep)
