"""Sets up the process for JAX: call `setup` once, before the first array."""

import ctypes
import hashlib
import os
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from avtd3_jax.errors import InputError, RuntimeSetupError

# Measured on this learner's update, batch 256, 2 cores: 3.3 times as fast with jaxlib 0.10.2. The flag does not exist
# in other versions, and an unknown XLA flag aborts the process.
CPU_CONV_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
CPU_CONV_FLAG_JAXLIBS = ("0.10.2",)


@dataclass(frozen=True)
class RuntimeInfo:
    """What `setup` found and set.

    device: platform and number of the device that computes, e.g. "cpu:0" or "gpu:0".
    device_kind: the hardware's name.
    xla_flags: flags added by `setup`, "" for none.
    cache_dir: persistent compile cache, None when there is none.
    """

    platform: Literal["cpu", "gpu"]
    device: str
    device_kind: str
    jax_version: str
    jaxlib_version: str
    xla_flags: str
    cache_dir: str | None

    def __str__(self) -> str:
        return (
            f"{self.device} ({self.device_kind}), jax {self.jax_version}, jaxlib {self.jaxlib_version}, "
            f"XLA flags added: {self.xla_flags or 'none'}, compile cache: {self.cache_dir or 'none'}"
        )


def setup(
    device: str = "auto",
    cache_dir: str | Path | None = "auto",
    option: str = "device",
    several_devices: bool = False,
    join: Callable[[], None] = lambda: None,
) -> RuntimeInfo:
    """Chooses the device, sets XLA flags that were tested with this jaxlib, and turns on the compile cache.

    On a CPU it also has glibc keep freed memory (see `_keep_freed_memory`).

    Args:
      device: "auto" (a GPU where JAX has one), "cpu" or "gpu".
      cache_dir: directory of the persistent compile cache; "auto" for one under the user's cache directory, None for
        none. One that cannot be written gives a warning and no cache.
      option: what a user gives `device` by, such as "--device": errors name it.
      several_devices: whether one program will run on several; on CPUs each is then waited for.
      join: called before JAX looks for devices, so that it can find those of other hosts.

    Raises:
      RuntimeSetupError: the device is absent, or JAX has started already with another one.
      InputError: `device` is none of the three.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise InputError(f"{option} is {device!r}: choose 'auto', 'cpu' or 'gpu'.")
    flags = "" if device == "gpu" else _cpu_flags(_jaxlib_versions(), os.environ.get("XLA_FLAGS", ""))
    if flags:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()

    import jax  # XLA reads its flags from the environment when the first backend starts

    jax.config.update("jax_numpy_rank_promotion", "raise")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if several_devices:
        # Programs that wait for each other's parts fill XLA:CPU's threads, and none goes on.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    join()
    used_cache = _enable_compile_cache(cache_dir)
    found = _first_device(device, option)
    if found.platform == "cpu":
        _keep_freed_memory()
    return RuntimeInfo(
        platform="cpu" if found.platform == "cpu" else "gpu",
        device=f"{found.platform}:{found.id}",
        device_kind=found.device_kind if found.platform != "cpu" else f"{_cpu_name()}, {_usable_cores()} cores",
        jax_version=jax.__version__,
        jaxlib_version=metadata.version("jaxlib"),
        xla_flags=flags,
        cache_dir=used_cache,
    )


def _first_device(device: str, option: str):  # type: ignore[no-untyped-def]  # jax is not imported at the module's level
    import jax

    try:
        found = jax.local_devices(backend="gpu" if device == "gpu" else None)[0]
    except (RuntimeError, AssertionError) as error:  # the second where JAX_PLATFORMS names CUDA and there is none
        raise RuntimeSetupError(_absent(device, option, jax.config.values["jax_platforms"])) from error
    if device == "cpu" and found.platform != "cpu":
        raise RuntimeSetupError(
            f"JAX has started on {found} already: call runtime.setup before anything else uses JAX."
        )
    if device == "gpu":
        jax.config.update("jax_default_device", found)
    return found


def _absent(device: str, option: str, platforms: str | None) -> str:
    if platforms:
        asked = f"{option} is 'gpu', but" if device == "gpu" else "No device to compute on:"
        return (
            f"{asked} JAX_PLATFORMS is {platforms!r}, and JAX finds none of that here: unset JAX_PLATFORMS, or set "
            f"{option}=cpu."
        )
    return (
        "The device 'gpu' was asked for and JAX has none: install the extra 'cuda' (pip install -e .[cuda]) on a "
        f"machine with an NVIDIA driver, or set {option}=cpu."
    )


def _keep_freed_memory() -> None:
    """Lets glibc keep large blocks that XLA frees, for the next update.

    XLA allocates an update's temporary arrays anew each time; as mappings of their own every page of
    them faults again. And one arena for all threads: checkpoints are written on ever new threads, and with an arena
    for each the process grows with every checkpoint. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or platform.libc_ver()[0] != "glibc":
        return
    mmap_max, trim_threshold, arena_max = -4, -1, -8  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX of malloc.h
    mallopt(arena_max, 1)
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def _jaxlib_versions() -> dict[str, str]:
    """Installed versions of jaxlib and of its CUDA plugins; each of them parses XLA_FLAGS."""
    versions = {}
    for name in ("jaxlib", "jax-cuda12-pjrt", "jax-cuda13-pjrt"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_flags(versions: Mapping[str, str], present: str) -> str:
    tested = all(version in CPU_CONV_FLAG_JAXLIBS for version in versions.values())
    return CPU_CONV_FLAG if tested and CPU_CONV_FLAG.split("=")[0] not in present else ""


def _enable_compile_cache(cache_dir: str | Path | None) -> str | None:
    import jax

    if cache_dir is None:
        return None
    try:
        path = _default_cache_dir() if cache_dir == "auto" else Path(cache_dir).expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError) as error:  # a user without a home is a RuntimeError of pathlib
        reason = (
            f"{path} cannot be written ({error.strerror})" if isinstance(error, OSError) else str(error).rstrip(".")
        )
        warnings.warn(
            f"No compile cache: {reason}. Every start compiles anew; set XDG_CACHE_HOME to a directory that can be "
            "written.",
            stacklevel=3,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return str(path)


def _default_cache_dir() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    # A compiled program holds this CPU's own instructions: a home shared between machines must not mix them.
    machine = hashlib.sha256(f"{platform.machine()} {_cpu_field('flags')}".encode()).hexdigest()[:12]
    return Path(root).absolute() / "avtd3-jax" / f"xla-{machine}"


def _cpu_field(name: str) -> str:
    """First value of a field of /proc/cpuinfo, "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == name), "")


def _cpu_name() -> str:
    return _cpu_field("model name") or platform.machine()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0))
