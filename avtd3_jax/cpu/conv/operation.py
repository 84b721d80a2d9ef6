"""The stack as a differentiable JAX function."""

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.cpu.conv import program
from avtd3_jax.cpu.conv.kernels import Layer
from avtd3_jax.cpu.conv.program import Dtype
from avtd3_jax.pixels import scaled

# A batch is computed in parts, as many for every machine, so that sums do not depend on it: enough of them to keep
# threads busy, and not so few images in each that clearing and adding up its gradients costs more than they do.
MOST_CHUNKS, CHUNK_IMAGES = 16, 8

Weights = tuple[tuple[jax.Array, jax.Array], ...]
Outputs = tuple[jax.Array, ...]


def layers_of(image: tuple[int, int, int], shapes: Sequence[tuple[int, int, int]]) -> tuple[Layer, ...]:
    """Layers of (features, kernel, stride) on an image [C, H, W]."""
    channels, height, width = image
    layers = []
    for features, kernel, stride in shapes:
        layers.append(Layer(height, width, channels, features, kernel, stride))
        height, width, channels = layers[-1].out_height, layers[-1].out_width, features
    return tuple(layers)


def supports(image: tuple[int, int, int], shapes: Sequence[tuple[int, int, int]], dtype: Dtype = "float32") -> bool:
    """Whether there are kernels for layers of (features, kernel, stride) on images [C, H, W], should a CPU compute."""
    has_instructions = dtype == "float32" or registers().bfloat16
    return handler.interface_known() and has_instructions and program.fits(layers_of(image, shapes))


def convolution(x: jax.Array, kernel: jax.Array, bias: jax.Array, stride: int) -> jax.Array:
    """VALID convolution by XLA: [B, H, W, C], [k, k, C, F] and [F] -> [B, h, w, F]."""
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + bias[None, None, None]


def conv_stack(frames: jax.Array, weights: Weights, strides: tuple[int, ...], dtype: Dtype = "float32") -> jax.Array:
    """ReLU of VALID convolutions, one after the other: by these kernels on a CPU, by XLA's anywhere else.

    Which of them is decided by the platform that the program is lowered for; it holds no trace of the other.

    Args:
      frames: uint8 [B, C, H, W]; the first layer sees frames / 255.
      weights: (kernel [k, k, C, F], bias [F]) of every layer, float32.
      strides: one a layer.
      dtype: of what is multiplied, and of what lies between the layers. Sums are float32.

    Returns:
      [B, h, w, F] of the last layer, in `dtype`; differentiable in the weights.

    Raises:
      TypeError: the frames are not uint8 or a weight is not float32: the kernels would read other numbers.
    """
    if frames.dtype != jnp.uint8:
        raise TypeError(f"The frames are {frames.dtype}: the convolutions take uint8.")
    if others := {str(leaf.dtype) for leaf in jax.tree.leaves(weights)} - {"float32"}:
        raise TypeError(f"Weights of the convolutions are {', '.join(sorted(others))}: they must be float32.")
    chex.assert_rank(frames, 4)
    return _conv_stack(frames, weights, strides, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv_stack(frames: jax.Array, weights: Weights, strides: tuple[int, ...], dtype: Dtype) -> jax.Array:
    layers = _layers(frames, weights, strides)

    def own(frames: jax.Array, weights: Weights) -> jax.Array:
        scratch = _scratch(_chunks(frames), program.scratch_words(layers, dtype, backward=False))
        call = jax.ffi.ffi_call(program.targets(layers, dtype).features, (_output(frames, layers[-1], dtype), scratch))
        return call(frames, *_operands(weights, dtype))[0]

    def by_xla(frames: jax.Array, weights: Weights) -> jax.Array:
        return _outputs_by_xla(frames, weights, strides, dtype)[-1]

    return jax.lax.platform_dependent(frames, weights, cpu=_on_each_device(own), default=by_xla)


def _forward(
    frames: jax.Array, weights: Weights, strides: tuple[int, ...], dtype: Dtype
) -> tuple[jax.Array, tuple[jax.Array, Weights, Outputs]]:
    layers = _layers(frames, weights, strides)

    def own(frames: jax.Array, weights: Weights) -> Outputs:
        scratch = _scratch(_chunks(frames), program.scratch_words(layers, dtype, backward=False, keep=True))
        results = (*(_output(frames, layer, dtype) for layer in layers), scratch)
        call = jax.ffi.ffi_call(program.targets(layers, dtype).forward, results)
        *outputs, _ = call(frames, *_operands(weights, dtype))
        return tuple(outputs)

    by_xla = partial(_outputs_by_xla, strides=strides, dtype=dtype)
    outputs = jax.lax.platform_dependent(frames, weights, cpu=_on_each_device(own), default=by_xla)
    return outputs[-1], (frames, weights, outputs)


def _backward(
    strides: tuple[int, ...], dtype: Dtype, kept: tuple[jax.Array, Weights, Outputs], gradient: jax.Array
) -> tuple[None, Weights]:
    frames, weights, _ = kept
    layers = _layers(frames, weights, strides)

    def of_chunks(frames: jax.Array, weights: Weights, outputs: Outputs, gradient: jax.Array) -> Sequence[jax.Array]:
        chunks = _chunks(frames)
        sums = [jax.ShapeDtypeStruct((chunks, *leaf.shape), jnp.float32) for leaf in jax.tree.leaves(weights)]
        scratch = _scratch(chunks, program.scratch_words(layers, dtype, backward=True))
        call = jax.ffi.ffi_call(program.targets(layers, dtype).backward, (*sums, scratch))
        transposed = [_transposed(kernel, dtype) for kernel, _ in weights[1:]]
        return call(frames, *outputs, gradient, *transposed)[:-1]

    over_devices = _on_each_device(of_chunks)

    def own(frames: jax.Array, weights: Weights, outputs: Outputs, gradient: jax.Array) -> Weights:
        gradients = [_sum(parts) for parts in over_devices(frames, weights, outputs, gradient)]
        if dtype == "bfloat16":
            gradients[0] = gradients[0] / 255.0  # of the frames, which the kernels take as whole numbers
        return jax.tree.unflatten(jax.tree.structure(weights), gradients)

    by_xla = partial(_gradients_by_xla, strides=strides, dtype=dtype)
    return None, jax.lax.platform_dependent(*kept, gradient, cpu=own, default=by_xla)


def _operands(weights: Weights, dtype: Dtype) -> list[jax.Array]:
    """Kernel and bias of every layer as the forward kernels read them."""
    if dtype == "float32":
        return jax.tree.leaves(weights)
    operands = []
    for number, (kernel, bias) in enumerate(weights):
        size, _, channels, features = kernel.shape
        if number == 0:
            kernel = jnp.pad(kernel / 255.0, ((0, 0), (0, 0), (0, channels % 2), (0, 0)))
        pairs = kernel.astype(jnp.bfloat16).reshape(size, -1, 2, features)
        operands += [pairs.transpose(0, 1, 3, 2), bias]
    return operands


def _transposed(kernel: jax.Array, dtype: Dtype) -> jax.Array:
    """A kernel as the input's gradient reads it: [k, k, F, C], or [k, k, F / 2, C, 2] in bfloat16."""
    if dtype == "float32":
        return kernel.transpose(0, 1, 3, 2)
    pairs = kernel.astype(jnp.bfloat16).reshape(*kernel.shape[:3], -1, 2)
    return pairs.transpose(0, 1, 3, 2, 4)


def _outputs_by_xla(frames: jax.Array, weights: Weights, strides: tuple[int, ...], dtype: Dtype) -> Outputs:
    """Every layer's output."""
    outputs = []
    x = scaled(frames, jnp.dtype(dtype))
    for (kernel, bias), stride in zip(_cast(weights, dtype), strides, strict=True):
        x = jax.nn.relu(convolution(x, kernel, bias, stride))
        outputs.append(x)
    return tuple(outputs)


def _gradients_by_xla(
    frames: jax.Array,
    weights: Weights,
    outputs: Outputs,
    gradient: jax.Array,
    strides: tuple[int, ...],
    dtype: Dtype,
) -> Weights:
    """Gradients of the weights, given the last output's; from one layer to the one before."""
    inputs = (scaled(frames, jnp.dtype(dtype)), *outputs[:-1])
    gradients = []
    every = zip(inputs, outputs, _cast(weights, dtype), strides, strict=True)
    for x, y, (kernel, bias), stride in reversed(list(every)):
        of_sum = jnp.where(y > 0, gradient, jnp.zeros_like(gradient))
        # Linear in each argument: what vjp computes forward is not used, and XLA leaves it out.
        gradient, *of_weights = jax.vjp(partial(convolution, stride=stride), x, kernel, bias)[1](of_sum)
        gradients.append(tuple(of_weights))
    return _cast(tuple(reversed(gradients)), "float32")


def _cast(weights: Weights, dtype: Dtype) -> Weights:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), weights)


def _sum(parts: jax.Array) -> jax.Array:
    """Sum over the first axis; written out, which XLA vectorises and spreads over threads, unlike its reduction."""
    return reduce(operator.add, (parts[number] for number in range(parts.shape[0])))


_conv_stack.defvjp(_forward, _backward)


def _on_each_device(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel(batch, weights, *batches)`, on each device's part of the batch where the program is traced for a mesh.

    The compiler cannot look into a kernel: left to it, each device would compute the whole batch.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return kernel
    split, whole = PartitionSpec(mesh.axis_names), PartitionSpec()

    def over_mesh(batch: jax.Array, weights: Weights, *batches: Any) -> Any:
        specs = (split, whole, *(split for _ in batches))
        # Not checked: what a kernel's results vary over cannot be seen.
        return jax.shard_map(kernel, in_specs=specs, out_specs=split, check_vma=False)(batch, weights, *batches)

    return over_mesh


def _layers(frames: jax.Array, weights: Weights, strides: tuple[int, ...]) -> tuple[Layer, ...]:
    shapes = [(kernel.shape[3], kernel.shape[0], stride) for (kernel, _), stride in zip(weights, strides, strict=True)]
    _, channels, height, width = frames.shape
    layers = layers_of((channels, height, width), shapes)
    for layer, (kernel, bias) in zip(layers, weights, strict=True):
        chex.assert_shape(kernel, (layer.kernel, layer.kernel, layer.channels, layer.features))
        chex.assert_shape(bias, (layer.features,))
    return layers


def _chunks(frames: jax.Array) -> int:
    return min(MOST_CHUNKS, -(-frames.shape[0] // CHUNK_IMAGES))


def _output(frames: jax.Array, layer: Layer, dtype: Dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((frames.shape[0], layer.out_height, layer.out_width, layer.features), jnp.dtype(dtype))


def _scratch(chunks: int, words: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((chunks, words), jnp.float32)
