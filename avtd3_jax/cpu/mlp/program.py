"""An ensemble of MLPs, forward and backward, compiled for this machine: the handlers that XLA calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llvmlite import ir

from avtd3_jax.cpu.code import engine, handler
from avtd3_jax.cpu.code.emitter import Registers, registers
from avtd3_jax.cpu.conv.kernels import VECTORS
from avtd3_jax.cpu.mlp.arranging import Arranging
from avtd3_jax.cpu.mlp.gradients import Gradients
from avtd3_jax.cpu.mlp.kernels import Job, Kernels, Shape
from avtd3_jax.cpu.mlp.rows import Rows

Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Targets:
    """Names of the registered custom calls."""

    forward: str
    backward: str  # gradients before every ReLU
    kernel_gradients: str
    input_gradient: str


def block() -> int:
    """Hidden layers' widths are to be multiples of it."""
    return VECTORS * registers().lanes


def targets(shape: Shape, dtype: Dtype) -> Targets:
    """Compiles the ensemble for this machine and registers it with XLA, once a process."""
    with engine.ALONE:
        return _targets(shape, dtype, registers())


@cache
def _targets(shape: Shape, dtype: Dtype, registers: Registers) -> Targets:
    size = "_".join(map(str, (shape.batch, shape.members, *shape.widths)))
    kind = f"{dtype}_{registers.kind}_{size}"
    parts = ("forward", "backward", "kernel_gradients", "input_gradient")
    names = Targets(*(f"avtd3_mlp_{part}_{kind}" for part in parts))
    depth = len(shape.hidden)

    def build(module: ir.Module) -> None:
        pairs = dtype == "bfloat16"
        arranging = Arranging(module, shape, registers, pairs=pairs)
        rows = Rows(module, shape, registers, pairs=pairs)
        gradients = Gradients(module, shape, registers, pairs=pairs)

        def define(name: str, phases: Sequence[Sequence[Job]]) -> None:
            chunk, count, barriers = rows.dispatch(name + "_chunk", phases)
            handler.define(module, name, chunk, count, barriers)

        places = [rows.forward_place(layer) for layer in range(depth)]
        packs = [arranging.pack(f"{names.forward}_pack{layer}", layer, place) for layer, place in enumerate(places)]
        define(names.forward, [packs, [rows.forward(names.forward + "_rows")]])
        size, result = rows.backward_place(depth), rows.per * depth
        transposes = [
            arranging.transpose(
                f"{names.backward}_transpose{layer}",
                layer,
                1 + depth + layer,
                result,
                rows.backward_place(layer),
                size,
            )
            for layer in range(1, depth)
        ]
        define(names.backward, [transposes, [rows.backward(names.backward + "_rows")]])
        zips = [arranging.zip_input(names.kernel_gradients + "_zip")] if pairs else []
        define(names.kernel_gradients, [zips, gradients.kernel_gradients(names.kernel_gradients + "_of")])
        transpose = arranging.transpose(names.input_gradient + "_transpose", 0, 1, 1, 0, rows.input_panel_words())
        define(names.input_gradient, [[transpose], [rows.input_gradient(names.input_gradient + "_rows")]])

    engine.register((names.forward, names.backward, names.kernel_gradients, names.input_gradient), build)
    return names


def scratch_words(shape: Shape, dtype: Dtype) -> tuple[int, int, int]:
    """32-bit words of a member's panels: of the forward pass, the backward pass, and the input's gradient."""
    kernels = Kernels(ir.Module(), shape, registers(), pairs=dtype == "bfloat16")
    depth = len(shape.hidden)
    return kernels.forward_place(depth), kernels.backward_place(depth), kernels.input_panel_words()
