"""The CPU's convolution kernels against XLA's own convolutions, for every width of vector that a machine may have."""

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import Registers
from avtd3_jax.cpu.conv import conv_stack, operation, program, supports
from avtd3_jax.cpu.conv.kernels import split

NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
STACKS = {
    "nature": ((4, 84, 84), NATURE),
    "one layer": ((1, 9, 11), ((32, 3, 1),)),
    "rest of a vector of pixels": ((3, 13, 15), ((32, 3, 2), (64, 2, 1))),
    "unused border": ((2, 23, 30), ((32, 4, 3), (96, 3, 2), (32, 1, 1))),
    "one pixel left": ((4, 36, 36), NATURE),
    "wide row": ((5, 8, 70), ((32, 3, 1), (32, 2, 2))),
}
WIDTHS = {"16 lanes": Registers(16, 14), "8 lanes": Registers(8, 6), "4 lanes": Registers(4, 6)}


def random_stack(stack, batch, seed=0):
    image, layers = stack
    rng = np.random.default_rng(seed)
    weights, channels = [], image[0]
    for features, kernel, _ in layers:
        scale = np.sqrt(2.0 / (kernel * kernel * channels))
        weights.append(
            (
                jnp.asarray(rng.normal(0, scale, (kernel, kernel, channels, features)), jnp.float32),
                jnp.asarray(rng.normal(0, 0.1, features), jnp.float32),
            )
        )
        channels = features
    frames = jnp.asarray(rng.integers(0, 256, (batch, *image)), jnp.uint8)
    return frames, tuple(weights), tuple(stride for _, _, stride in layers)


def reference(frames, weights, strides):
    """The same stack from XLA's convolutions."""
    x = frames.transpose(0, 2, 3, 1).astype(jnp.float32) / 255.0
    for (kernel, bias), stride in zip(weights, strides, strict=True):
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + bias[None, None, None])
    return x


def outputs_and_gradients(function, frames, weights, strides):
    def loss(weights):
        y = function(frames, weights, strides)
        # A gradient of both signs that differs from element to element.
        return (y * jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(weights)
    return jax.tree.map(np.asarray, (function(frames, weights, strides), y, gradients))


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys())
def width(request, monkeypatch):
    """Compiles for another machine's vectors; LLVM makes them of what this one has."""
    monkeypatch.setattr(program, "registers", lambda: request.param)


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_agrees_with_xla(stack, width):
    frames, weights, strides = random_stack(stack, batch=5)
    ours = jax.tree.leaves(outputs_and_gradients(conv_stack, frames, weights, strides))
    theirs = jax.tree.leaves(outputs_and_gradients(reference, frames, weights, strides))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize("batch", [1, 15, 16, 17, 40])
def test_every_image_of_a_batch_counts_once(batch):
    """Batches below, at and beyond the number of chunks, with images left over."""
    frames, weights, strides = random_stack(STACKS["rest of a vector of pixels"], batch)
    ours = jax.tree.leaves(outputs_and_gradients(conv_stack, frames, weights, strides))
    theirs = jax.tree.leaves(outputs_and_gradients(reference, frames, weights, strides))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5 * np.abs(other).max())


def test_results_do_not_depend_on_the_number_of_threads():
    script = (
        f"import hashlib, sys; sys.path.insert(0, {os.path.dirname(__file__)!r});"
        "from avtd3_jax import runtime; runtime.setup('cpu', None);"
        "import jax; from test_conv_kernels import *;"
        "arrays = jax.tree.leaves(outputs_and_gradients(conv_stack, *random_stack(STACKS['nature'], 40)));"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in arrays)).hexdigest())"
    )
    digests = set()
    for cores in (1, 2):
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        done = subprocess.run(
            [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {allowed}); {script}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_many_calls_at_once_do_not_disturb_each_other():
    """Callers of several threads, each with its own batch, share XLA's pool."""
    forward = jax.jit(conv_stack, static_argnums=2)
    problems = [random_stack(STACKS["nature"], 24, seed) for seed in range(4)]
    alone = [np.asarray(forward(*problem)) for problem in problems]
    failures = []

    def call(number):
        for _ in range(20):
            if not np.array_equal(forward(*problems[number]), alone[number]):
                failures.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_wrong_types_and_shapes_are_refused():
    frames, weights, strides = random_stack(STACKS["one layer"], 2)
    with pytest.raises(TypeError, match="frames are float32: the convolutions take uint8"):
        conv_stack(frames.astype(jnp.float32), weights, strides)
    with pytest.raises(AssertionError):
        conv_stack(frames, ((weights[0][0], weights[0][1][:-1]),), strides)


def test_features_that_do_not_fill_the_vectors_are_left_to_xla():
    assert supports((4, 84, 84), NATURE)
    assert not supports((4, 84, 84), ((20, 8, 4),))


def test_an_interface_that_was_not_checked_is_left_alone(monkeypatch, tmp_path):
    """Its structures may lie elsewhere in memory: XLA's own convolutions are slower, and safe."""
    header = tmp_path / "xla/ffi/api/c_api.h"
    header.parent.mkdir(parents=True)
    monkeypatch.setattr(jax.ffi, "include_dir", lambda: str(tmp_path))
    for version, known in (((0, 3), True), ((0, 5), False), ((1, 0), False)):
        header.write_text("#define XLA_FFI_API_MAJOR {}\n\n#define XLA_FFI_API_MINOR {}\n".format(*version))
        handler.interface_known.cache_clear()
        said = (
            contextlib.nullcontext() if known else pytest.warns(UserWarning, match="interface {}.{}".format(*version))
        )
        with said:
            assert supports((4, 84, 84), NATURE) == known
    handler.interface_known.cache_clear()


def test_split_covers_everything_evenly():
    for count in range(1, 60):
        for most in range(1, 15):
            parts = split(count, most)
            covered = [position for start, size in parts for position in range(start, start + size)]
            assert covered == list(range(count))
            sizes = {size for _, size in parts}
            assert max(sizes) <= most
            assert max(sizes) - min(sizes) <= 1


def test_layers_chain_their_shapes():
    layers = operation.layers_of((4, 84, 84), NATURE)
    assert [(layer.out_height, layer.out_width, layer.features) for layer in layers] == [
        (20, 20, 32),
        (9, 9, 64),
        (7, 7, 64),
    ]


def test_two_threads_that_want_the_same_kernels_at_once_share_them():
    """XLA refuses a name's second registration."""
    layers, at_once = operation.layers_of((2, 21, 25), ((32, 5, 2),)), threading.Barrier(2)

    def wanted(_):
        at_once.wait()
        return program.targets(layers, "float32")

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(wanted, range(2))
    assert one == other
