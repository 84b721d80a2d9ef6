"""The CPU's ensembles of MLPs against float64 in NumPy, which rounds where the bfloat16 kernels round."""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from avtd3_jax.cpu.code import emitter
from avtd3_jax.cpu.code.emitter import Registers
from avtd3_jax.cpu.mlp import mlp, operation, program, supports

WIDTHS = {
    "float32, 16 lanes": ("float32", Registers(16, 14)),
    "float32, 4 lanes": ("float32", Registers(4, 6)),
    "bfloat16, 8 lanes": ("bfloat16", Registers(8, 6)),
    # With the instruction where there is one, and else with what stands for it.
    "bfloat16, 16 lanes": ("bfloat16", Registers(16, 14, emitter.registers().bfloat16)),
    "bfloat16, tiles": ("bfloat16", Registers(16, 14, emitter.registers().bfloat16, tiles="interpreted")),
}
# batch, members, widths: one chunk of rows and several that are not even, odd inputs, one output and more.
CASES = {
    "one": (16, 1, (5, 32, 1)),
    "two": (150, 2, (23, 64, 96, 1)),
    "full tiles": (96, 1, (32, 64, 32, 1)),
    "three": (66, 3, (67, 32, 64, 32, 7)),
}


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys())
def kind(request, monkeypatch):
    """The type; what is compiled is for these registers."""
    dtype, registers = request.param
    monkeypatch.setattr(program, "registers", lambda: registers)
    return dtype


def ensemble(batch, members, widths, dtype):
    rng = np.random.default_rng(0)
    layers = tuple(
        (
            jnp.asarray(rng.standard_normal((members, a, b)) / np.sqrt(a), jnp.float32),
            jnp.asarray(rng.standard_normal((members, b)), jnp.float32),
        )
        for a, b in itertools.pairwise(widths)
    )
    return jnp.asarray(rng.standard_normal((batch, widths[0])), jnp.dtype(dtype)), layers


def by_numpy(x, layers, dy, dtype):
    """Outputs, and gradients of the input and of each kernel and bias, of one member; float64."""

    def rounded(value):
        narrow = np.asarray(value, np.float32).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32)
        return narrow.astype(np.float64)

    inputs = [rounded(x)]
    for kernel, bias in layers[:-1]:
        inputs.append(rounded(np.maximum(inputs[-1] @ rounded(kernel) + bias, 0.0)))
    y = inputs[-1] @ rounded(layers[-1][0]) + layers[-1][1]
    gradient, of_layers = rounded(dy), []
    of_bias = np.float64(dy).sum(axis=0)
    for number in range(len(layers) - 1, -1, -1):
        of_layers[:0] = [inputs[number].T @ gradient, of_bias]
        gradient = gradient @ rounded(layers[number][0]).T
        if number:
            gradient = rounded(gradient * (inputs[number] > 0))
            of_bias = gradient.sum(axis=0)
    return y, gradient, of_layers


def distance(mine, other):
    return np.linalg.norm(np.float64(mine) - other) / np.linalg.norm(other)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_outputs_and_gradients_agree_with_float64(case, kind):
    x, layers = ensemble(*case, kind)
    y, pull = jax.vjp(jax.jit(lambda x, layers: mlp(x, layers, kind)), x, layers)
    dy = np.float32(np.sin(np.arange(y.size))).reshape(y.shape)
    of_x, of_layers = pull(jnp.asarray(dy))
    assert (y.dtype, of_x.dtype) == (jnp.float32, x.dtype)
    # A sum in another order may round to the neighbouring bfloat16, here and there.
    near = 1e-6 if kind == "float32" else 1e-3
    of_input = 0.0
    for member in range(case[1]):
        wanted = by_numpy(x, [[np.float64(leaf[member]) for leaf in layer] for layer in layers], dy[member], kind)
        assert distance(y[member], wanted[0]) < near
        of_input = of_input + wanted[1]
        for mine, other in zip(jax.tree.leaves(of_layers), wanted[2], strict=True):
            assert distance(mine[member], other) < near
    assert distance(of_x, of_input) < (1e-6 if kind == "float32" else 2**-8)  # rounded to bfloat16


def test_results_do_not_depend_on_the_number_of_threads():
    script = (
        "import hashlib, jax, numpy as np; from avtd3_jax.cpu.mlp import mlp;"
        "normal = np.random.default_rng(0).standard_normal;"
        "sizes = (9, 64), (64, 32), (32, 1);"
        "layers = tuple((np.float32(normal((2, a, b))), np.float32(normal((2, b)))) for a, b in sizes);"
        "x = np.float32(normal((300, 9)));"
        "found = jax.jit(jax.value_and_grad(lambda x, layers: mlp(x, layers, 'float32').sum(), (0, 1)))(x, layers);"
        "print(hashlib.sha256(b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found))).hexdigest())"
    )
    digests = set()
    for cores in (1, 2):
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        command = f"import os; os.sched_setaffinity(0, {allowed}); {script}"
        digests.add(subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout)
    assert len(digests) == 1


def test_what_does_not_fit_is_left_to_xla(monkeypatch):
    monkeypatch.setattr(operation, "registers", lambda: Registers(16, 14, bfloat16=True))
    monkeypatch.setattr(program, "registers", lambda: Registers(16, 14, bfloat16=True))
    assert supports(256, (256, 256), 6, jnp.float32)
    assert supports(256, (256, 256), 6, jnp.bfloat16)
    for size in ((1, (256,), 6), (255, (256,), 6), (256, (250,), 6), (256, (), 6), (256, (256,), 300)):
        assert not supports(*size, jnp.float32)
    assert not supports(256, (256,), 6, jnp.float16)
    monkeypatch.setattr(operation, "registers", lambda: Registers(16, 14))
    assert not supports(256, (256, 256), 6, jnp.bfloat16)


def test_other_types_are_refused():
    x, layers = ensemble(16, 1, (8, 32, 1), "float32")
    with pytest.raises(TypeError, match="x is float32 and the layers float32: they must be bfloat16 and float32"):
        mlp(x, layers, "bfloat16")
