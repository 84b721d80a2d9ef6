"""LLVM IR as machine code that XLA can call."""

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import jax
from llvmlite import binding as llvm
from llvmlite import ir

ALONE = threading.Lock()  # held where kernels are looked up: of two threads that miss them, one registers them
_engines: list[Any] = []  # own the machine code that XLA holds addresses of


def register(module: ir.Module, handlers: Sequence[str]) -> None:
    """Compiles `module` for this machine and registers its functions `handlers` with XLA under their names.

    A name can be registered once a process.
    """
    engine = compiled(module)
    _engines.append(engine)
    for name in handlers:
        address = ctypes.cast(engine.get_function_address(name), ctypes.c_void_p)
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(address), platform="cpu")


def compiled(module: ir.Module) -> Any:
    """An engine with `module` as machine code for this machine; its code lives as long as it does."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine
