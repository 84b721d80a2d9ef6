"""Repeated timing."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    """Seconds since this process began, to a hundredth.

    By the clock that the kernel counts starts with (proc(5)). psutil adds that count to the time of boot, which is
    known in whole seconds, and so is up to a second off.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
