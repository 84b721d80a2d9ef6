"""How long it takes yet: an honest estimate, or a least one that says so."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WINDOW_S = 60.0


class Pace:
    """Estimates the time that a number of items takes yet, from those of the last minute of work.

    Work is interrupted now and then by something that takes long, as training is by evaluations. Their time is no
    item's. Those that are to come are counted, each as long as the mean of those that have been.

    Args:
      clock: seconds.
      total: how many items there will be.
      interrupted_every: items from one interruption to the next, and one at the end; 0 for none.
      steady_from: the first item that is like those to come; the ones before it are quicker.
    """

    def __init__(
        self, clock: Callable[[], float], total: int, interrupted_every: int = 0, steady_from: int = 0
    ) -> None:
        self._clock = clock
        self._total = total
        self._every = interrupted_every
        self._steady_from = steady_from
        self._seen: deque[tuple[float, int]] = deque()  # seconds of work, items
        self._interrupted_s = 0.0
        self._interruptions = 0
        self._interrupted_at: int | None = None

    def saw(self, count: int) -> None:
        """So many items are done."""
        if self._interrupted_at is None:
            self._interrupted_at = count
        if self._seen and self._seen[-1][1] < self._steady_from <= count:
            self._seen.clear()
        if not self._seen or count > self._seen[-1][1]:
            self._seen.append((self._clock() - self._interrupted_s, count))
        while len(self._seen) > 2 and self._seen[-1][0] - self._seen[1][0] > _WINDOW_S:
            self._seen.popleft()

    @contextmanager
    def interruption(self, count: int) -> Iterator[None]:
        """What is done in the block is no item; `count` are done before it."""
        self.saw(count)
        start = self._clock()
        try:
            yield
        finally:
            self._interrupted_s += self._clock() - start
            self._interruptions += 1
            self._interrupted_at = count

    @property
    def rate(self) -> float | None:
        """Items for each second of work; None where nothing is known."""
        if len(self._seen) < 2:
            return None
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - start) if end > start else None

    def left_s(self, count: int) -> tuple[float | None, bool]:
        """Seconds that are left after `count` items, and whether they are all: False where it takes longer.

        They are None where nothing is known.
        """
        work_s = 0.0
        if count < self._total:
            rate = self.rate
            if rate is None:
                return None, False
            work_s = (self._total - count) / rate
        to_come = 0
        if self._every:
            to_come = math.ceil((self._total - (self._interrupted_at or 0)) / self._every)
        if to_come and not self._interruptions:
            return work_s, False
        each_s = self._interrupted_s / self._interruptions if to_come else 0.0
        return work_s + to_come * each_s, count >= self._steady_from
