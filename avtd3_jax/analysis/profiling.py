"""A trace of some steps of a run, for TensorBoard or Perfetto."""

from collections.abc import Callable
from pathlib import Path

import jax

_FIRST_UPDATE = 20  # by then everything is compiled and the queues are full
STEPS = 200


class ProfileWindow:
    """Traces `STEPS` environment steps once, after learning began; the phases of `PhaseTimer` are named in it.

    Args:
      directory: where the trace goes; TensorBoard's `--logdir` may be any directory above it.
      tell: given one sentence with the trace's path when it is written.
    """

    def __init__(self, directory: Path, tell: Callable[[str], None]) -> None:
        self._directory = directory
        self._tell = tell
        self._steps = -1  # traced so far; -1 before, STEPS after

    def step(self, updates: int) -> None:
        """One environment step was made, and `updates` updates since the run began."""
        if self._steps < 0:
            if updates < _FIRST_UPDATE:
                return
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # every Python call would be in it: slow, and hundreds of megabytes
            jax.profiler.start_trace(self._directory, create_perfetto_trace=True, profiler_options=options)
        if self._steps < STEPS:
            self._steps += 1
            if self._steps == STEPS:
                self._write()

    def close(self) -> None:
        """Writes the trace of a run that ends within the window; a run without updates leaves none."""
        if 0 <= self._steps < STEPS:
            self._steps = STEPS
            self._write()

    def _write(self) -> None:
        jax.profiler.stop_trace()
        (trace,) = sorted(self._directory.rglob("perfetto_trace.json.gz"))[-1:]
        self._tell(
            f"profile    {trace}: open it at https://ui.perfetto.dev, or: tensorboard --logdir {self._directory}"
        )
