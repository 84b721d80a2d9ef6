"""The stack as a differentiable JAX function."""

import operator
from collections.abc import Sequence
from functools import partial, reduce

import chex
import jax
import jax.numpy as jnp

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.conv import program
from avtd3_jax.cpu.conv.kernels import Layer

# A batch is computed in parts, as many for every machine, so that sums do not depend on it: enough of them to keep
# threads busy, and not so few images in each that clearing and adding up its gradients costs more than they do.
MOST_CHUNKS, CHUNK_IMAGES = 16, 8

Weights = tuple[tuple[jax.Array, jax.Array], ...]


def layers_of(image: tuple[int, int, int], shapes: Sequence[tuple[int, int, int]]) -> tuple[Layer, ...]:
    """Layers of (features, kernel, stride) on an image [C, H, W]."""
    channels, height, width = image
    layers = []
    for features, kernel, stride in shapes:
        layers.append(Layer(height, width, channels, features, kernel, stride))
        height, width, channels = layers[-1].out_height, layers[-1].out_width, features
    return tuple(layers)


def supports(image: tuple[int, int, int], shapes: Sequence[tuple[int, int, int]]) -> bool:
    """Whether `conv_stack` can compute layers of (features, kernel, stride) on images [C, H, W] here."""
    on_cpu = jax.default_backend() == "cpu" and handler.interface_known()
    return on_cpu and program.fits(layers_of(image, shapes))


def conv_stack(frames: jax.Array, weights: Weights, strides: tuple[int, ...]) -> jax.Array:
    """ReLU of VALID convolutions, one after the other.

    Args:
      frames: uint8 [B, C, H, W]; the first layer sees frames / 255.
      weights: (kernel [k, k, C, F], bias [F]) of every layer, float32.
      strides: one a layer.

    Returns:
      float32 [B, h, w, F] of the last layer; differentiable in the weights.
    """
    chex.assert_rank(frames, 4)
    chex.assert_type(frames, jnp.uint8)
    return _conv_stack(frames, weights, strides)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv_stack(frames: jax.Array, weights: Weights, strides: tuple[int, ...]) -> jax.Array:
    layers, chunks = _layers(frames, weights, strides), _chunks(frames)
    results = (_output(frames, layers[-1]), _scratch(chunks, layers, keep=False))
    call = jax.ffi.ffi_call(program.targets(layers).features, results)
    return call(frames, *jax.tree.leaves(weights))[0]


def _forward(
    frames: jax.Array, weights: Weights, strides: tuple[int, ...]
) -> tuple[jax.Array, tuple[jax.Array, Weights, tuple[jax.Array, ...]]]:
    layers, chunks = _layers(frames, weights, strides), _chunks(frames)
    results = (*(_output(frames, layer) for layer in layers), _scratch(chunks, layers, keep=True))
    call = jax.ffi.ffi_call(program.targets(layers).forward, results)
    *outputs, _ = call(frames, *jax.tree.leaves(weights))
    return outputs[-1], (frames, weights, tuple(outputs))


def _backward(
    strides: tuple[int, ...], kept: tuple[jax.Array, Weights, tuple[jax.Array, ...]], gradient: jax.Array
) -> tuple[None, Weights]:
    frames, weights, outputs = kept
    layers, chunks = _layers(frames, weights, strides), _chunks(frames)
    sums = [jax.ShapeDtypeStruct((chunks, *leaf.shape), jnp.float32) for leaf in jax.tree.leaves(weights)]
    call = jax.ffi.ffi_call(program.targets(layers).backward, (*sums, _scratch(chunks, layers, keep=False)))
    transposed = [kernel.transpose(0, 1, 3, 2) for kernel, _ in weights[1:]]
    *partial_sums, _ = call(frames, *outputs, gradient, *transposed)
    return None, jax.tree.unflatten(jax.tree.structure(weights), [_sum(parts) for parts in partial_sums])


def _sum(parts: jax.Array) -> jax.Array:
    """Sum over the first axis; written out, which XLA vectorises and spreads over threads, unlike its reduction."""
    return reduce(operator.add, (parts[number] for number in range(parts.shape[0])))


_conv_stack.defvjp(_forward, _backward)


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


def _output(frames: jax.Array, layer: Layer) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((frames.shape[0], layer.out_height, layer.out_width, layer.features), jnp.float32)


def _scratch(chunks: int, layers: tuple[Layer, ...], *, keep: bool) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((chunks, program.scratch_size(layers, keep=keep)), jnp.float32)
