"""What a training holds of the machine while it runs: memory, file descriptors, threads, processes, ports."""

import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np
import psutil

COUNTED = ("trainer MB", "all MB", "files", "threads", "processes", "ports")
Sample = dict[str, float]


def sample(family: list[psutil.Process]) -> Sample:
    """Of the training (the first) and its descendants; what ends meanwhile counts for nothing."""
    total = dict.fromkeys(COUNTED, 0.0)
    for process in family:
        try:
            with process.oneshot():
                resident = process.memory_info().rss / 1e6
                files, threads = process.num_fds(), process.num_threads()
            listening = {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
        if process is family[0]:
            total["trainer MB"] = resident
        for name, value in zip(COUNTED[1:], (resident, files, threads, 1, len(listening)), strict=True):
            total[name] += value
    return total


class Watch:
    """Samples every `every_s` seconds on a thread of its own; use it in `with`. Samples hold "s", seconds from then."""

    def __init__(self, family: Callable[[], list[psutil.Process]], every_s: float) -> None:
        self.samples: list[Sample] = []
        self._family = family
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def now_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            if family := self._family():
                self.samples.append({"s": self.now_s, **sample(family)})


def slope(samples: list[Sample], name: str) -> float:
    """Theil-Sen's: the median slope of all pairs of samples, per second. At least 2 samples."""
    s, value = (np.array([one[key] for one in samples]) for key in ("s", name))
    first, second = np.triu_indices(len(s), 1)
    return float(np.median((value[second] - value[first]) / (s[second] - s[first])))


def quarters(samples: list[Sample], name: str) -> tuple[float, float]:
    """Medians of the first and the last quarter of the samples."""
    quarter = max(1, len(samples) // 4)
    values = [one[name] for one in samples]
    return float(np.median(values[:quarter])), float(np.median(values[-quarter:]))
