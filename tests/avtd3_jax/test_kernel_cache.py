"""Machine code that is kept on disk is that of this source and processor, whole, and optional."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

CONV = """
import sys, jax, jax.numpy as jnp, numpy as np
if sys.argv[1] != "none":
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
from avtd3_jax.cpu.code import engine
from avtd3_jax.cpu.conv.operation import conv_stack
built = []
build = engine.machine_code
engine.machine_code = lambda module: built.append(1) or build(module)
rng = np.random.default_rng(0)
frames = rng.integers(0, 256, (4, 4, 20, 20), dtype=np.uint8)
weights = ((rng.normal(size=(8, 8, 4, 32)).astype(np.float32), np.zeros(32, np.float32)),)
y = jax.jit(lambda f, w: conv_stack(f, w, (4,)))(frames, weights)
print(len(built), float(jnp.sum(jnp.abs(y))))
"""


def run(cache: Path | str) -> tuple[int, str]:
    """How many modules were compiled, and the result."""
    done = subprocess.run([sys.executable, "-c", CONV, str(cache)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    built, total = done.stdout.split()
    return int(built), total


def test_machine_code_is_kept_and_what_is_damaged_is_made_anew(tmp_path: Path):
    built, expected = run(tmp_path)
    assert built == 1
    assert run(tmp_path) == (0, expected)
    (kept,) = (tmp_path / "kernels").iterdir()
    whole = kept.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        kept.write_bytes(damaged)
        assert run(tmp_path) == (1, expected)
        assert kept.read_bytes() == whole


def test_without_a_folder_that_can_be_written_it_is_made_at_every_start(tmp_path: Path):
    _, expected = run("none")
    (tmp_path / "kernels").write_text("a file where the folder should be")
    assert [run(tmp_path) for _ in range(2)] == [(1, expected)] * 2


def test_a_full_disk_keeps_no_part_of_it(tmp_path: Path):
    """A file that may not grow gives the same error as a full disk. What were left would be looked for by nobody."""
    from avtd3_jax.cpu.code import engine

    kept = tmp_path / "kernels" / "one.o"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
        engine._write(kept, b"code" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(kept.parent.iterdir()) == []
    engine._write(kept, b"code" * 1000)
    assert list(kept.parent.iterdir()) == [kept]
    assert engine._read(kept) == b"code" * 1000


def test_another_source_or_processor_has_machine_code_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import jax

    from avtd3_jax.cpu.code import engine

    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        own = engine._kept(["one"])
        assert engine._kept(["one"]) == own
        assert engine._kept(["other"]) != own
        monkeypatch.setattr(engine, "_processor", lambda: ("generic", ""))
        assert engine._kept(["one"]) != own
        monkeypatch.undo()
        monkeypatch.setattr(engine, "_source", lambda: b"another version")
        assert engine._kept(["one"]) != own
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
