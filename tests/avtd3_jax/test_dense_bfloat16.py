"""The CPU's bfloat16 dense layer against float64 in NumPy on the same rounded operands."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from avtd3_jax.cpu.code import emitter
from avtd3_jax.cpu.code.emitter import Registers
from avtd3_jax.cpu.dense import dense, operation, program, supports

WIDTHS = {"16 lanes": Registers(16, 14), "8 lanes": Registers(8, 6)}
if emitter.registers().bfloat16:
    WIDTHS["the instruction"] = emitter.registers()
WIDTHS["tiles, interpreted"] = Registers(16, 14, emitter.registers().bfloat16, tiles="interpreted")


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS.keys(), autouse=True)
def width(request, monkeypatch):
    """Compiles for this machine's instruction, and for what stands for it where there is none."""
    monkeypatch.setattr(program, "registers", lambda: request.param)


def operands(batch, inputs, outputs):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((batch, inputs)), jnp.bfloat16)
    return x, jnp.asarray(rng.standard_normal((inputs, outputs)), jnp.float32)


def distance(mine, other):
    return np.linalg.norm(np.float64(mine) - other) / np.linalg.norm(other)


@pytest.mark.parametrize("size", [(16, 64, 32), (18, 96, 64), (58, 32, 96), (64, 64, 32)])
def test_agrees_with_float64(size):
    x, kernel = operands(*size)
    weights = jnp.sin(jnp.arange(size[0] * size[2], dtype=jnp.float32)).reshape(size[0], size[2])
    y, pull = jax.vjp(jax.jit(lambda x, kernel: dense(x, kernel)), x, kernel)  # a function that is traced anew
    of_x, of_kernel = pull(weights)
    assert (y.dtype, of_x.dtype, of_kernel.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)
    x, kernel, dy = (np.asarray(part).astype(ml_dtypes.bfloat16).astype(np.float64) for part in (x, kernel, weights))
    assert distance(y, x @ kernel) < 1e-6
    assert distance(of_kernel, x.T @ dy) < 1e-6
    assert distance(of_x, dy @ kernel.T) < 2**-8  # rounded to bfloat16


def test_what_does_not_fit_is_left_to_xla(monkeypatch):
    monkeypatch.setattr(operation, "registers", lambda: Registers(16, 14, bfloat16=True))
    assert supports(64, 3136, 512)
    for size in ((1, 3136, 512), (65, 3136, 512), (64, 3136, 50), (64, 535, 512)):
        assert not supports(*size)
    monkeypatch.setattr(operation, "registers", lambda: Registers(16, 14))
    assert not supports(64, 3136, 512)


def test_other_types_are_refused():
    x, kernel = operands(16, 64, 32)
    with pytest.raises(TypeError, match="x is float32 and the kernel float32"):
        dense(x.astype(jnp.float32), kernel)
