"""The ensemble as a differentiable JAX function."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.cpu.mlp import program
from avtd3_jax.cpu.mlp.kernels import Shape
from avtd3_jax.cpu.mlp.program import Dtype

FEWEST = 16  # rows: with fewer, arranging the kernels takes longer than multiplying by them
MOST_OUTPUTS = 32  # they are summed one by one

Layers = tuple[tuple[jax.Array, jax.Array], ...]
Kept = tuple[jax.Array, Layers, tuple[jax.Array, ...]]


def supports(batch: int, hidden: tuple[int, ...], outputs: int, dtype: Any) -> bool:
    """Whether there are kernels for MLPs with these layers, should a CPU compute.

    There are none for a batch over several devices: the compiler could not split it.
    """
    if not jax.sharding.get_abstract_mesh().empty:
        return False
    fits = batch >= FEWEST and batch % 2 == 0 and outputs <= MOST_OUTPUTS
    fits = fits and len(hidden) > 0 and all(width % program.block() == 0 for width in hidden)
    has_instructions = dtype == jnp.float32 or (dtype == jnp.bfloat16 and registers().bfloat16)
    return fits and has_instructions and handler.interface_known()


def mlp(x: jax.Array, layers: Layers, dtype: Dtype) -> jax.Array:
    """Hidden layers with ReLU and a linear output, of an ensemble: by these kernels on a CPU, by XLA anywhere else.

    Args:
      x: [B, K], in `dtype`; every member's input.
      layers: (kernel [C, K, N], bias [C, N]) of each layer, float32.
      dtype: of what is multiplied, and of what lies between the layers. Sums are float32.

    Returns:
      float32 [C, B, outputs]; differentiable in `x` and `layers`.

    Raises:
      TypeError: an operand is of another type: the kernels would read other numbers.
    """
    types = {str(leaf.dtype) for leaf in jax.tree.leaves(layers)}
    if x.dtype != jnp.dtype(dtype) or types != {"float32"}:
        raise TypeError(f"x is {x.dtype} and the layers {', '.join(sorted(types))}: they must be {dtype} and float32.")
    return _mlp(x, layers, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _mlp(x: jax.Array, layers: Layers, dtype: Dtype) -> jax.Array:
    return _forward(x, layers, dtype)[0]


def _forward(x: jax.Array, layers: Layers, dtype: Dtype) -> tuple[jax.Array, Kept]:
    shape = _shape(x, layers)

    def own(x: jax.Array, layers: Layers) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        values = _values(shape, dtype)
        panels = jax.ShapeDtypeStruct((shape.members, program.scratch_words(shape, dtype)[0]), jnp.float32)
        output = jax.ShapeDtypeStruct((shape.members, shape.batch, shape.widths[-1]), jnp.float32)
        *hidden, (kernel, bias) = layers
        kernel = kernel.transpose(0, 2, 1).astype(x.dtype)
        call = jax.ffi.ffi_call(program.targets(shape, dtype).forward, (output, *values, panels))
        y, *rest = call(_even(x), *jax.tree.leaves(hidden), kernel, bias)
        return y, tuple(rest[: len(shape.hidden)])

    def by_xla(x: jax.Array, layers: Layers) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        # Hidden values are computed again for the gradient; XLA sees that they are the same.
        kept = _values(shape, dtype)[: len(shape.hidden)]
        return _by_xla(x, layers, dtype), tuple(jnp.zeros(value.shape, value.dtype) for value in kept)

    y, kept = jax.lax.platform_dependent(x, layers, cpu=own, default=by_xla)
    return y, (x, layers, kept)


def _backward(dtype: Dtype, kept: Kept, gradient: jax.Array) -> tuple[jax.Array, Layers]:
    shape = _shape(*kept[:2])

    def own(x: jax.Array, layers: Layers, kept: tuple[jax.Array, ...], dy: jax.Array) -> tuple[jax.Array, Layers]:
        targets, depth = program.targets(shape, dtype), len(shape.hidden)
        _, backward_words, input_words = program.scratch_words(shape, dtype)
        values = _values(shape, dtype)
        panels = jax.ShapeDtypeStruct((shape.members, max(backward_words, 1)), jnp.float32)
        kernels = [kernel for kernel, _ in layers]
        of_rows, of_batch, panel = _of_output(dy, kernels[-1], dtype)
        before = jax.ffi.ffi_call(targets.backward, (*values, panels))(of_rows, panel, *kept, *kernels[1:-1])
        sizes = [leaf.shape for leaf in jax.tree.leaves(layers[:-1])]
        inputs, outputs = shape.widths[-2:]
        sizes.append((shape.members, outputs, inputs))
        if dtype == "bfloat16":
            sizes.append((shape.batch // 2, _even(x).shape[1]))
        results = [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]
        found = jax.ffi.ffi_call(targets.kernel_gradients, results)(_even(x), *kept, *before[:depth], of_batch)
        gradients = [(found[2 * number], found[2 * number + 1]) for number in range(depth)]
        gradients.append((found[2 * depth].transpose(0, 2, 1), dy.sum(axis=1)))
        columns = -(-shape.widths[0] // program.block()) * program.block()
        results = [
            jax.ShapeDtypeStruct((shape.batch, columns), jnp.float32),
            jax.ShapeDtypeStruct((shape.members, input_words), jnp.float32),
        ]
        as_rows = before[0] if dtype == "float32" else before[depth]
        of_input = jax.ffi.ffi_call(targets.input_gradient, results)(as_rows, kernels[0])[0]
        return of_input[:, : shape.widths[0]].astype(x.dtype), tuple(gradients)

    def by_xla(x: jax.Array, layers: Layers, kept: tuple[jax.Array, ...], dy: jax.Array) -> tuple[jax.Array, Layers]:
        of_x, of_layers = jax.vjp(partial(_by_xla, dtype=dtype), x, layers)[1](dy)
        return of_x, of_layers

    return jax.lax.platform_dependent(*kept, gradient, cpu=own, default=by_xla)


_mlp.defvjp(_forward, _backward)


def _by_xla(x: jax.Array, layers: Layers, dtype: Dtype) -> jax.Array:
    def member(layers: Layers) -> jax.Array:
        value = x
        for number, (kernel, bias) in enumerate(layers):
            value = value @ kernel.astype(dtype) + bias.astype(dtype)[None]
            if number + 1 < len(layers):
                value = jax.nn.relu(value)
        return value.astype(jnp.float32)

    return jax.vmap(member)(layers)


def _shape(x: jax.Array, layers: Layers) -> Shape:
    kernels = [kernel.shape for kernel, _ in layers]
    return Shape(x.shape[0], kernels[0][0], (x.shape[1], *(kernel[2] for kernel in kernels)))


def _values(shape: Shape, dtype: Dtype) -> list[jax.ShapeDtypeStruct]:
    """Results for the values of all hidden layers: zipped, and in bfloat16 as rows too."""
    block = program.block()
    pairs = dtype == "bfloat16"

    def result(width: int, *sizes: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((shape.members, width // block, *sizes), jnp.uint32 if pairs else jnp.float32)

    zipped = [result(width, shape.batch // (1 + pairs), block) for width in shape.hidden]
    return zipped + [result(width, shape.batch, block // 2) for width in shape.hidden if pairs]


def _even(x: jax.Array) -> jax.Array:
    """x with a column of zeros if bfloat16 could not be paired."""
    return jnp.pad(x, ((0, 0), (0, x.shape[1] % 2))) if x.dtype == jnp.bfloat16 else x


def _of_output(dy: jax.Array, kernel: jax.Array, dtype: Dtype) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dy [C, B, N] with words along N and along B, and the last kernel [C, K, N] as panels of its transpose."""
    members, inputs, outputs = kernel.shape
    block = program.block()
    blocks = kernel.reshape(members, inputs // block, block, outputs)
    if dtype == "float32":
        return dy, dy, blocks.transpose(0, 1, 3, 2)
    dy, blocks = dy.astype(jnp.bfloat16), blocks.astype(jnp.bfloat16)
    rest = outputs % 2
    of_rows = jnp.pad(dy, ((0, 0), (0, 0), (0, rest)))
    blocks = jnp.pad(blocks, ((0, 0), (0, 0), (0, 0), (0, rest))).reshape(members, inputs // block, block, -1, 2)
    of_batch = dy.reshape(members, dy.shape[1] // 2, 2, outputs).transpose(0, 1, 3, 2)
    return of_rows, of_batch, blocks.transpose(0, 1, 3, 2, 4)
