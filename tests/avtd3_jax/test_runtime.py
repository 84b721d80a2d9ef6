"""Process set-up; what must hold before JAX starts is tested in processes of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from avtd3_jax import runtime

ROOT = Path(__file__).parents[2]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**{k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "XDG_CACHE_HOME")}, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_the_package_imports_no_jax():
    done = python("import sys, avtd3_jax, avtd3_jax.runtime; sys.exit('jax' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_setup_works_after_jax_is_imported_and_fills_the_cache(tmp_path):
    code = (
        "import jax\nfrom avtd3_jax import runtime\ninfo = runtime.setup('cpu'); print(info)\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "jax.jit(lambda x: x * 3)(jax.numpy.ones(5)); print(info.cache_dir)"
    )
    done = python(code, XDG_CACHE_HOME=str(tmp_path / "a cache, ü"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cpu:0 (")
    cache = Path(done.stdout.splitlines()[-1])
    assert cache.parent.parent == tmp_path / "a cache, ü"
    assert list(cache.glob("jit_*"))


@pytest.mark.parametrize(
    ("device", "platforms", "sentence"),
    [
        ("gpu", "", "'gpu' was asked for and JAX has none: install the extra 'cuda'.* or set --config.device=cpu."),
        (
            "gpu",
            "cpu",
            "device is 'gpu', but JAX_PLATFORMS is 'cpu', .*unset JAX_PLATFORMS, or set --config.device=cpu",
        ),
        ("auto", "cuda", "JAX_PLATFORMS is 'cuda', and JAX finds none of that here: unset .* --config.device=cpu"),
        ("gpu", "cuda", "device is 'gpu', but JAX_PLATFORMS is 'cuda'"),
        ("auto", "nonsense", "JAX_PLATFORMS is 'nonsense', and JAX finds none of that here"),
    ],
)
def test_a_device_that_is_not_there_is_named_with_the_option_that_chooses_another(device, platforms, sentence):
    code = (
        "from avtd3_jax import errors, runtime\n"
        f"try: runtime.setup({device!r}, None, option='--config.device')\n"
        "except errors.RuntimeSetupError as e: print(e)"
    )
    done = python(code, JAX_PLATFORMS=platforms, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert re.search(sentence, done.stdout), done.stdout
    assert done.stdout.count("\n") == 1


def test_a_cpu_that_is_asked_for_is_used_whatever_the_environment_says():
    done = python("from avtd3_jax import runtime\nprint(runtime.setup('cpu', None).device)", JAX_PLATFORMS="cuda")
    assert done.stdout == "cpu:0\n", done.stderr


def test_the_command_says_it_in_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "avtd3_jax.train", "--config", "configs/town01.py", "--workdir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "JAX_PLATFORMS is 'cuda'" in done.stderr
    assert "set --config.device=cpu" in done.stderr


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device is 'tpu': choose 'auto', 'cpu' or 'gpu'"):
        runtime.setup("tpu")


@pytest.mark.parametrize(
    ("versions", "present", "set_here"),
    [
        ({"jaxlib": "0.10.2"}, "", True),
        ({"jaxlib": "0.10.2"}, "--xla_dump_to=/x", True),
        ({"jaxlib": "0.11.0"}, "", False),
        ({"jaxlib": "0.10.2", "jax-cuda12-pjrt": "0.10.1"}, "", False),
        ({"jaxlib": "0.10.2"}, "--xla_cpu_experimental_ynn_fusion_type=", False),
    ],
)
def test_the_flag_is_set_only_where_it_was_tested(versions, present, set_here):
    assert runtime._cpu_flags(versions, present) == (runtime.CPU_CONV_FLAG if set_here else "")


def test_a_cache_that_cannot_be_written_warns_and_goes_on(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="No compile cache: .* cannot be written"):
        info = runtime.setup("cpu", cache_dir=tmp_path / "file" / "cache")
    assert info.cache_dir is None
    assert jax.config.jax_compilation_cache_dir == before


def test_ranks_are_never_promoted_silently():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((3, 1)) + jnp.ones(3)
