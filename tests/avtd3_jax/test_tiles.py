"""AMX: the real instructions are assembled, what stands for them does what the manual says, and who may use them."""

import ctypes
import re

import ml_dtypes
import numpy as np
import pytest
from llvmlite import binding as llvm
from llvmlite import ir

from avtd3_jax.cpu.code import emitter, engine, tiles
from avtd3_jax.cpu.code.emitter import POINTER, Emitter, Registers
from avtd3_jax.cpu.conv import program as conv
from avtd3_jax.cpu.conv.operation import layers_of
from avtd3_jax.cpu.dense import program as dense
from avtd3_jax.cpu.mlp import program as mlp
from avtd3_jax.cpu.mlp.kernels import Shape
from avtd3_jax.encoders.conv_stack import NATURE

WITH_TILES = Registers(16, 14, bfloat16=True, tiles="instructions")


def assembly(module):
    """For Intel's first processor with AMX, whatever this one is."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="sapphirerapids", opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    assert machine.emit_object(parsed)
    return machine.emit_assembly(parsed)


@pytest.mark.parametrize(
    ("make", "products"),
    [
        (
            lambda: dense._targets.__wrapped__((64, 64, 32), WITH_TILES),
            {"forward", "input_gradient", "kernel_gradient"},
        ),
        (
            lambda: mlp._targets.__wrapped__(Shape(64, 2, (23, 64, 32, 1)), "bfloat16", WITH_TILES),
            {"forward", "backward", "input_gradient", "kernel_gradients"},
        ),
        (
            lambda: conv._targets.__wrapped__(layers_of((4, 84, 84), NATURE), "bfloat16", WITH_TILES),
            {"forward0", "forward1", "forward2", "input_gradient0", "input_gradient1"},
        ),
    ],
    ids=["dense", "mlp", "conv"],
)
def test_the_instructions_are_assembled(make, products, monkeypatch):
    module = ir.Module()
    monkeypatch.setattr(engine, "register", lambda names, build: build(module))
    make()
    multiplying = [function.name for function in module.functions if 'call void @"llvm.x86.tdpbf16ps' in str(function)]
    assert products == {part for part in products if any(re.search(rf"(^|_){part}($|_\D*16)", x) for x in multiplying)}
    text = assembly(module)
    for name in ("ldtilecfg", "tilezero", "tileloadd", "tdpbf16ps", "tilestored"):
        assert re.search(rf"\s{name}\s", text)
    assert "interpreted" not in text
    assert "llvm.x86" not in text
    # Whoever leaves tiles in use has them saved at every switch of threads.
    emitted = str(module)
    assert emitted.count('call void @"llvm.x86.ldtilecfg"') == emitted.count('call void @"llvm.x86.tilerelease"')


def test_what_stands_for_the_instructions_does_what_the_manual_says():
    """Of tiles that are not full: 5 rows by 3 words, times 3 steps by 7 columns; beyond them nothing is written."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 3), "product")
    writer = Emitter(function, Registers(16, 14, tiles="interpreted"))
    used, (a, b, out) = tiles.Tiles(writer), function.args
    used.configure([(5, 7), (5, 3), (3, 7)])
    used.load(0, out, 40)
    used.load(1, a, 12)
    used.load(2, b, 28)
    used.multiply(0, 1, 2)
    used.store(0, out, 40)
    used.release()
    writer.finish()
    loaded = engine.loaded(engine.machine_code(module))
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((5, 3, 2), (3, 7, 2)))
    before = rng.standard_normal((5, 10)).astype(np.float32)
    after = before.copy()
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(loaded.get_function_address("product"))
    call(left.ctypes.data, right.ctypes.data, after.ctypes.data)
    wanted = np.einsum("mkp,knp->mn", left.astype(np.float64), right.astype(np.float64))
    np.testing.assert_allclose(after[:, :7], before[:, :7] + wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(after[:, 7:], before[:, 7:])


def test_tiles_are_used_where_the_processor_has_them_and_the_kernel_permits_them(monkeypatch):
    features = {"avx512f": True, "avx512bf16": True, "amx-tile": True, "amx-bf16": True}
    monkeypatch.setattr(emitter.llvm, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(emitter, "tiles_permitted", lambda: True)
    assert emitter.registers.__wrapped__() == WITH_TILES
    monkeypatch.setattr(emitter, "tiles_permitted", lambda: False)
    with pytest.warns(UserWarning, match="AMX.*does not let this process use"):
        assert emitter.registers.__wrapped__() == Registers(16, 14, bfloat16=True)
    features["amx-bf16"] = False
    assert emitter.registers.__wrapped__() == Registers(16, 14, bfloat16=True)
