"""LLVM IR as machine code that XLA can call, kept on disk beside XLA's own compiled programs."""

import contextlib
import ctypes
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jaxlib
import llvmlite
from llvmlite import binding as llvm
from llvmlite import ir

ALONE = threading.Lock()  # held where kernels are looked up: of two threads that miss them, one registers them
_DIGEST_BYTES = hashlib.sha256().digest_size
_engines: list[Any] = []  # own the machine code that XLA holds addresses of


def register(handlers: Sequence[str], build: Callable[[ir.Module], None]) -> None:
    """Registers functions with XLA under their names, `handlers`. A name can be registered once a process.

    `build` writes them into a module. It is called where the machine code of these names is not in the compile cache:
    a name says all that a function depends on, but for this package's source and the processor.
    """
    kept = _kept(handlers)
    code = _read(kept)
    if code is None:
        module = ir.Module()
        build(module)
        code = machine_code(module)
        _write(kept, code)
    engine = loaded(code)
    _engines.append(engine)
    for name in handlers:
        address = ctypes.cast(engine.get_function_address(name), ctypes.c_void_p)
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(address), platform="cpu")


def machine_code(module: ir.Module) -> bytes:
    """`module` as an object file for this processor."""
    machine = _machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return machine.emit_object(parsed)


def loaded(code: bytes) -> Any:
    """An engine with an object file's functions; they live as long as it does."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _processor()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3, jit=True)


@cache
def _processor() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def _source() -> bytes:
    """What tells this version of the package, and of what compiles it, from others."""
    digest = hashlib.sha256(repr((jaxlib.__version__, llvmlite.__version__, llvm.llvm_version_info)).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def _kept(handlers: Sequence[str]) -> Path | None:
    """Where the machine code of these functions lies; None without a compile cache."""
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not folder:
        return None
    digest = hashlib.sha256(_source() + repr((_processor(), *handlers)).encode())
    return Path(folder) / "kernels" / f"{digest.hexdigest()[:32]}.o"


def _read(path: Path | None) -> bytes | None:
    """What lies there, where it is whole: a part of a function must not run."""
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        return None
    code = content[_DIGEST_BYTES:]
    return code if code and hashlib.sha256(code).digest() == content[:_DIGEST_BYTES] else None


def _write(path: Path | None, code: bytes) -> None:
    """Puts it there, whole or not at all; a folder that cannot be written costs time alone, and was warned of."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(part, path)
        finally:
            Path(part).unlink(missing_ok=True)  # what was written of it may be what fills the disk
