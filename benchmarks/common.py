"""What every benchmark shares: where it ran, repeated timing, a table, a JSON file."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
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


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of several repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} .. {self.high:.4g})"


def repeat(once: Callable[[], float], repetitions: int) -> Spread:
    """`once` called `repetitions` times, after one call that does not count."""
    once()
    return Spread.of([once() for _ in range(repetitions)])


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


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
    """Of the checkout in `folder`, with "-dirty" where files that git tracks have changed."""
    describe = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(describe, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with --json."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def publish(rows: Sequence[dict[str, Any]], where: dict[str, Any], path: Path | None) -> None:
    """Prints `rows` as a table, after a line that says where they were measured; writes both to `path`."""
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}, load {where['load']:.1f}")
    print(", ".join(f"{name} {version}" for name, version in where["versions"].items()))
    print(f"XLA flags: {where['xla_flags'] or 'none'}; commit {where['commit']}; {where['time']}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = [[_cell(row.get(name, "")) for name in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in text)) for i, column in enumerate(columns)]
    for line in [columns, *text]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if path is not None:
        plain = [{k: asdict(v) if isinstance(v, Spread) else v for k, v in row.items()} for row in rows]
        path.write_text(json.dumps({"machine": where, "rows": plain}, indent=2) + "\n")
        print(f"\nwritten to {path}")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
