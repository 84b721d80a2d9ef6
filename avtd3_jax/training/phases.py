"""How long the phases of a run take."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class PhaseTimer:
    """Mean wall time of each named phase since the last `collect`; the phases are named in a profile's trace too."""

    def __init__(self) -> None:
        self._total: dict[str, float] = defaultdict(float)
        self._count: dict[str, int] = defaultdict(int)

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        import jax  # a run's timer is there before JAX is

        start = time.perf_counter()
        try:
            with jax.profiler.TraceAnnotation(phase):
                yield
        finally:
            self.add(phase, time.perf_counter() - start)

    def add(self, phase: str, seconds: float) -> None:
        """Counts a call that was timed elsewhere."""
        self._total[phase] += seconds
        self._count[phase] += 1

    def collect(self) -> dict[str, float]:
        """Milliseconds per call of each phase; starts anew."""
        counts = dict(self._count)
        return {name: 1e3 * total / counts[name] for name, total in self.totals().items()}

    def totals(self) -> dict[str, float]:
        """Seconds in each phase since the last call of this or of `collect`; starts anew."""
        totals = dict(self._total)
        self._total.clear()
        self._count.clear()
        return totals
