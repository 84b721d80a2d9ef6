"""Where a figure comes from: the processor, the versions, the commit, the time."""

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_CHANGE_NO_FIGURE = (":(exclude)results", ":(exclude)*/results/*", ":(exclude)*.md")
_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "numba",
    "carla",
    "opencv-python-headless",
    "torch",
    "stable-baselines3",
)


def machine() -> dict[str, Any]:
    """Where a figure comes from: processor, cores allowed, versions, flags, the commit, the time."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": commit(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "load": os.getloadavg()[0],
    }


def commit(folder: Path = ROOT) -> str:
    """Of the checkout in `folder`; with "-dirty" where a tracked file has changed, other than results and pages.

    Result files do not count, or the first of several measurements would make all others dirty.
    """
    name = _git(folder, "describe", "--always")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *_CHANGE_NO_FIGURE)
    return f"{name}{'-dirty' if changed else ''}" or "unknown"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
