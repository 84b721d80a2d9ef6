"""Repeated timing."""

import time
from collections.abc import Callable
from typing import Any

from reporting.publish import Spread


def repeat(once: Callable[[], float], repetitions: int) -> Spread:
    """`once` called `repetitions` times, after one call that does not count."""
    once()
    return Spread.of([once() for _ in range(repetitions)])


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
