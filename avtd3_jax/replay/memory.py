"""How much memory a replay may take, told before it is taken."""

from pathlib import Path

import psutil

from avtd3_jax.errors import InputError


def check_memory(needed: int) -> None:
    """Raises InputError when `needed` bytes are more than the machine, or this process's cgroup, has left."""
    available = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        available = min(available, int(text) - int(used.read_text()))
    if needed > available:
        raise InputError(
            f"The replay needs {needed / 1e9:.2f} GB when full and {available / 1e9:.2f} GB of memory are available: "
            f"lower its capacity by a factor of {needed / max(available, 1):.1f} or more."
        )
