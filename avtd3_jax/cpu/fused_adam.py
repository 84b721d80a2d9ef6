"""Adam and the targets' Polyak average as one pass over the parameters, in place, compiled for this machine's CPU.

XLA:CPU makes a pass over memory of each array that optax names, with three divisions an element. Here an element's
parameter, moments and target are read once, moved and written once, with one division. optax is the definition: its
state is used as it is, and results agree with its own to the rounding of float32.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from llvmlite import ir

from avtd3_jax.cpu.code import engine, handler
from avtd3_jax.cpu.code.emitter import F32, FUSED, I64, POINTER, Emitter, Registers, registers

B1, B2, EPS = 0.9, 0.999, 1e-8  # of optax.adam
CHUNKS, LINE = 16, 16  # parts of all elements, each of which begins at a multiple of so many


def supports(params: Any) -> bool:
    """Whether `step` can move these parameters, should a CPU compute."""
    return handler.interface_known() and all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def step(
    apply: jax.Array,
    count: jax.Array,
    learning_rate: jax.typing.ArrayLike,
    tau: float,
    gradients: Any,
    params: Any,
    mu: Any,
    nu: Any,
    targets: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """Adam's step, and the targets' towards the parameters that it gives; to be lowered for a CPU alone.

    Args:
      apply: bool []; where it is false everything stays as it is.
      count: int32 [], the number of this step, from 1.
      tau: of the targets' way that they go.
      gradients, params, mu, nu, targets: trees of arrays of the same float32 shapes; `targets` may be None.

    Returns:
      params, mu, nu, targets, in the memory of the old ones where XLA can spare those.

    Raises:
      TypeError: an array is not float32: the pass would read other numbers.
    """
    grads = jax.tree.leaves(gradients)
    moved, tree = jax.tree.flatten((params, mu, nu, targets))
    if others := {str(leaf.dtype) for leaf in (*grads, *moved)} - {"float32"}:
        raise TypeError(f"Arrays that Adam moves are {', '.join(sorted(others))}: they must be float32.")
    if not grads:
        return params, mu, nu, targets
    steps = count.astype(jnp.float32)
    scalars = [apply, learning_rate / (1.0 - B1**steps), 1.0 / (1.0 - B2**steps), tau]
    sizes = tuple(leaf.size for leaf in grads)
    first = 1 + len(grads)
    with engine.ALONE:
        target = _target(sizes, len(moved) // len(grads), registers())
    call = jax.ffi.ffi_call(
        target,
        [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in moved],
        input_output_aliases={first + number: number for number in range(len(moved))},
    )
    return jax.tree.unflatten(tree, call(jnp.stack([jnp.float32(x) for x in scalars]), *grads, *moved))


@cache
def _target(sizes: tuple[int, ...], arrays: int, registers: Registers) -> str:
    """Name of the registered call for leaves of `sizes`, `arrays` of which move with each: 3, or 4 with a target."""
    name = f"avtd3_adam_{registers.lanes}_lanes_{arrays}_arrays_{'_'.join(map(str, sizes))}"

    def build(module: ir.Module) -> None:
        handler.define(module, name, _chunk(module, name + "_chunk", sizes, arrays, registers), CHUNKS)

    engine.register([name], build)
    return name


def _chunk(module: ir.Module, name: str, sizes: Sequence[int], arrays: int, registers: Registers) -> ir.Function:
    """Operands: the scalars, every leaf's gradient, then parameters, moments and targets, where the results lie too."""
    move = _move(module, name + "_move", arrays, registers)
    function = ir.Function(module, handler.CHUNK, name)
    args, _, chunk, chunks, _ = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    scalars = handler.data(builder, args, 0)
    with builder.if_then(builder.fcmp_ordered("!=", builder.load(scalars, typ=F32), F32(0.0))):
        # The leaves as if they lay one after the other, and of each the part that is in this chunk.
        lines = I64(-(-sum(sizes) // LINE))
        edges = [
            builder.mul(builder.sdiv(builder.mul(number, lines), chunks), I64(LINE))
            for number in (chunk, builder.add(chunk, I64(1)))
        ]
        for leaf, size in enumerate(sizes):
            first, end = (_within(builder, builder.sub(edge, I64(sum(sizes[:leaf]))), size) for edge in edges)
            with builder.if_then(builder.icmp_signed("<", first, end)):
                places = [1 + leaf + len(sizes) * number for number in range(1 + arrays)]
                builder.call(move, [scalars, first, end, *(handler.data(builder, args, place) for place in places)])
    builder.ret_void()
    return function


def _within(builder: ir.IRBuilder, value: ir.Value, most: int) -> ir.Value:
    value = builder.select(builder.icmp_signed(">", value, I64(0)), value, I64(0))
    return builder.select(builder.icmp_signed("<", value, I64(most)), value, I64(most))


def _move(module: ir.Module, name: str, arrays: int, registers: Registers) -> ir.Function:
    """name(scalars, first, end, gradient, parameter, mu, nu[, target]) moves elements first..end of a leaf."""
    signature = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64] + [POINTER] * (1 + arrays))
    function = ir.Function(module, signature, name)
    scalars, first, end, gradient, *moved = function.args
    emitter = Emitter(function, registers)
    builder, lanes = emitter.builder, registers.lanes
    step_size, nu_scale, tau = (emitter.load(emitter.at(scalars, number), F32) for number in (1, 2, 3))

    def elements(index: ir.Value, kind: ir.Type) -> None:
        def constant(value: float) -> ir.Value:
            return ir.Constant(kind, value if kind is F32 else [value] * lanes)

        def every(value: ir.Value) -> ir.Value:
            return value if kind is F32 else emitter.splat(value)

        def mean(weight: ir.Value, new: ir.Value, rest: ir.Value, old: ir.Value) -> ir.Value:
            return builder.fadd(builder.fmul(weight, new, FUSED), builder.fmul(rest, old, FUSED), FUSED)

        g = emitter.load(emitter.at(gradient, (index, 1)), kind)
        places = [emitter.at(array, (index, 1)) for array in moved]
        parameter, mu, nu, *targets = (emitter.load(place, kind) for place in places)
        mu = mean(constant(1.0 - B1), g, constant(B1), mu)
        nu = mean(constant(1.0 - B2), builder.fmul(g, g), constant(B2), nu)
        root = builder.call(_sqrt(module, kind), [builder.fmul(nu, every(nu_scale))])
        change = builder.fdiv(builder.fmul(mu, every(step_size)), builder.fadd(root, constant(EPS)))
        parameter = builder.fsub(parameter, change)
        rest = builder.fsub(constant(1.0), every(tau))
        targets = [mean(every(tau), parameter, rest, target) for target in targets]
        for place, value in zip(places, (parameter, mu, nu, *targets), strict=True):
            emitter.store(value, place)

    tail = builder.sub(end, builder.srem(builder.sub(end, first), I64(lanes)))
    with builder.if_then(builder.icmp_signed("<", first, tail)), emitter.loop(tail, lanes, first=first) as index:
        elements(index, emitter.vector)
    with builder.if_then(builder.icmp_signed("<", tail, end)), emitter.loop(end, first=tail) as index:
        elements(index, F32)
    emitter.finish()
    return function


def _sqrt(module: ir.Module, kind: ir.Type) -> ir.Function:
    return handler.external(module, "llvm.sqrt.f32" if kind is F32 else f"llvm.sqrt.v{kind.count}f32", kind, kind)
