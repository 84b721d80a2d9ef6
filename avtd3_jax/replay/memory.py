"""How much memory a replay may take, told before it is taken."""

from pathlib import Path

import psutil

from avtd3_jax.errors import InputError

_ROOT = Path("/")
_RECLAIMABLE = ("inactive_file", "active_file")  # pages of files: the kernel gives them up when memory is asked for
_UNLIMITED = 2**60  # cgroup v1 says "no limit" as a number near 2**63


def check_memory(needed: int) -> None:
    """Raises InputError when `needed` bytes are more than the machine, or this process's cgroup, has left."""
    available = available_memory()
    if needed > available:
        raise InputError(
            f"The replay needs {needed / 1e9:.2f} GB when full and {available / 1e9:.2f} GB of memory are available: "
            f"lower its capacity by a factor of {needed / max(available, 1):.1f} or more."
        )


def available_memory(root: Path = _ROOT) -> int:
    """Bytes that can be taken: the least of what the machine and each of this process's cgroups have left.

    A page cache counts as free: memory that holds pages of files is given up when it is needed. `root` is where
    proc and sys are.
    """
    return max(0, min([psutil.virtual_memory().available, *map(_left, _cgroups(root))]))


def _cgroups(root: Path) -> list[Path]:
    """Directories of the memory cgroups that this process is in, its own and those above it, of version 2 and 1.

    In a container a cgroup's path may be that of the host, of which nothing but the container's own part is mounted.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    found = []
    for line in ["0::/", "0:memory:/", *lines]:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        own = mount / path.lstrip("/")
        found += [directory for directory in (own, *own.parents) if directory.is_relative_to(mount)]
    return list(dict.fromkeys(found))


def _left(cgroup: Path) -> float:
    """Bytes between what a cgroup uses and its limit; infinite where it has none."""
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            limit, used = ((cgroup / name).read_text().strip() for name in (limit_name, used_name))
            counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if limit == "max" or int(limit) >= _UNLIMITED:
            continue
        # Version 1 counts a cgroup's own pages apart from those of the cgroups below it, which its usage has too.
        cache = sum(int(counts.get(f"total_{name}", counts.get(name, 0))) for name in _RECLAIMABLE)
        return int(limit) - int(used) + min(cache, int(used))
    return float("inf")
