"""Repeated timing."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from reporting.publish import Spread

# What speed is measured with: the settings of the system that this one reimplements, which its rivals can have too.
OF_RECORD = Path(__file__).parents[1] / "configs" / "town01_of_record.py"


def repeat(once: Callable[[], float], repetitions: int) -> Spread:
    """`once` called `repetitions` times, after one call that does not count."""
    once()
    return Spread.of([once() for _ in range(repetitions)])


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def since_start() -> float:
    """Seconds since this process began."""
    return time.time() - psutil.Process().create_time()
