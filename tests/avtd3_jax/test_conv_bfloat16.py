"""The CPU's bfloat16 convolutions against float64 in NumPy, which rounds where they round."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from test_conv_kernels import NATURE, STACKS, random_stack, reference

from avtd3_jax.cpu.code import emitter
from avtd3_jax.cpu.code.emitter import Registers
from avtd3_jax.cpu.conv import conv_stack, operation, program, supports

WIDTHS = {"16 lanes": Registers(16, 14), "8 lanes": Registers(8, 6)}
if emitter.registers().bfloat16:
    WIDTHS["the instruction"] = emitter.registers()


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys())
def width(request, monkeypatch):
    """Compiles for this machine's instruction, and for what stands for it where there is none."""
    monkeypatch.setattr(program, "registers", lambda: request.param)


def rounded(x):
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def patches(x, kernel, stride):
    """[B, h, w, C, k, k] of [B, H, W, C]."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(1, 2))
    return windows[:, ::stride, ::stride]


def kernels_and_inputs(frames, weights):
    """What the products' operands are before anything is computed; the first kernel takes the division by 255."""
    (first, _), *others = weights
    kernels = [rounded(np.float32(first) / np.float32(255.0)), *(rounded(kernel) for kernel, _ in others)]
    return kernels, np.asarray(frames, np.float64).transpose(0, 2, 3, 1)


def forward_in_float64(frames, weights, strides):
    """Every layer's output."""
    outputs = []
    kernels, x = kernels_and_inputs(frames, weights)
    for kernel, (_, bias), stride in zip(kernels, weights, strides, strict=True):
        sums = np.einsum("bhwcij,ijcf->bhwf", patches(x, len(kernel), stride), kernel, optimize=True)
        outputs.append(x := rounded(np.maximum(sums + np.float64(bias), 0.0)))
    return outputs


def gradients_in_float64(frames, weights, strides, outputs, gradient):
    """Of the weights, given the last output's, and every layer's output."""
    kernels, first = kernels_and_inputs(frames, weights)
    inputs, gradients = (first, *outputs[:-1]), []
    for number in range(len(weights) - 1, -1, -1):
        x, stride, size = inputs[number], strides[number], len(kernels[number])
        dy = rounded(np.where(outputs[number] > 0, gradient, 0.0))
        of_kernel = np.einsum("bhwcij,bhwf->ijcf", patches(x, size, stride), dy, optimize=True)
        gradients.append((of_kernel / (255.0 if number == 0 else 1.0), dy.sum((0, 1, 2))))
        gradient = np.zeros_like(x)
        height, width = dy.shape[1:3]
        for i in range(size):
            for j in range(size):
                rows, columns = (slice(k, k + stride * (n - 1) + 1, stride) for k, n in ((i, height), (j, width)))
                gradient[:, rows, columns] += np.einsum("bhwf,cf->bhwc", dy, kernels[number][i, j])
    return tuple(reversed(gradients))


def gradient_for(y):
    """Of both signs, different from element to element."""
    return jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype)


def distance(mine, other):
    mine, other = np.asarray(mine, np.float64), np.asarray(other, np.float64)
    return np.linalg.norm(mine - other) / np.linalg.norm(other)


def check(frames, weights, strides):
    """Outputs and gradients agree to the rounding of float32 sums, layer by layer."""
    outputs = jax.jit(lambda: operation._forward(frames, weights, strides, "bfloat16")[1][2])()
    kept = (frames, weights, outputs)
    for mine, other in zip(outputs, forward_in_float64(frames, weights, strides), strict=True):
        assert mine.dtype == jnp.bfloat16
        # A sum beside the middle of two bfloat16 may go the other way, and what follows moves by as much.
        np.testing.assert_allclose(np.float64(mine), other, rtol=2**-7, atol=2**-7 * other.std())
        assert distance(mine, other) < 1e-3
    gradient = gradient_for(outputs[-1])
    mine = jax.jit(lambda: operation._backward(strides, "bfloat16", kept, gradient)[1])()
    in_float64 = [np.asarray(y, np.float64) for y in outputs]
    other = gradients_in_float64(frames, weights, strides, in_float64, np.asarray(gradient, np.float64))
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        assert a.dtype == jnp.float32
        assert distance(a, b) < 1e-3


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_agrees_with_float64(stack, width):
    check(*random_stack(stack, batch=5))


def test_tiles_agree_with_float64(monkeypatch):
    """AMX's, interpreted: lines of 20 pixels, which fill one tile and a part of another, and shorter ones."""
    registers = Registers(16, 14, emitter.registers().bfloat16, tiles="interpreted")
    monkeypatch.setattr(program, "registers", lambda: registers)
    check(*random_stack(STACKS["nature"], batch=2))


@pytest.mark.parametrize("batch", [1, 2, 15, 17, 40])
def test_every_image_of_a_batch_counts_once(batch, width):
    """Pairs of images: chunks of odd numbers leave one alone."""
    check(*random_stack(STACKS["rest of a vector of pixels"], batch))


def test_the_gradient_is_that_of_the_function():
    """Through `jax.grad`, against float32: the direction is close; masks of ReLU differ where a sum is near 0."""
    frames, weights, strides = random_stack(STACKS["nature"], 8)

    def loss(function, weights):
        y = function(weights).astype(jnp.float32)
        return (y * gradient_for(y)).sum()

    mine = jax.grad(lambda w: loss(lambda w: conv_stack(frames, w, strides, "bfloat16"), w))(weights)
    other = jax.grad(lambda w: loss(lambda w: reference(frames, w, strides), w))(weights)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        assert a.dtype == jnp.float32
        assert np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.97


def test_the_same_numbers_every_time():
    frames, weights, strides = random_stack(STACKS["nature"], 24)
    both = jax.jit(lambda w: jax.value_and_grad(lambda w: conv_stack(frames, w, strides, "bfloat16").sum())(w))
    first = jax.tree.leaves(both(weights))
    for _ in range(5):
        for a, b in zip(first, jax.tree.leaves(both(weights)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_without_the_instruction_there_are_no_kernels_to_use(monkeypatch):
    """They would be slower than float32's."""
    for bfloat16 in (False, True):
        found = dataclasses.replace(emitter.registers(), bfloat16=bfloat16)
        monkeypatch.setattr(operation, "registers", lambda found=found: found)
        assert supports((4, 84, 84), NATURE, "bfloat16") == bfloat16
        assert supports((4, 84, 84), NATURE, "float32")
