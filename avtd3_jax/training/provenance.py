"""Which code and which machine a run is made by."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

_CHECKOUT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 5.0


def source_record() -> dict[str, Any]:
    """Version, and commit where the code lies in a git checkout ("-dirty" with changes of its own), else None."""
    return {"version": metadata.version("avtd3-jax"), "commit": _commit()}


def machine_record() -> dict[str, Any]:
    """Operating system, cores that may be used, and memory in GB."""
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total
    return {"system": platform.platform(), "cores": cores, "memory_gb": round(memory / 1e9, 1)}


def _commit() -> str | None:
    if not (_CHECKOUT / ".git").exists():  # installed: an outer checkout that holds the environment is not ours
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=_CHECKOUT,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
