"""What a run tells of its learner: points in TensorBoard, the progress bar, looks inside the network."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
from tqdm import tqdm

from avtd3_jax.agent.interface import Agent
from avtd3_jax.analysis import diagnostics
from avtd3_jax.analysis.introspection import Introspection
from avtd3_jax.analysis.profiling import ProfileWindow
from avtd3_jax.console import Progress
from avtd3_jax.settings.schema import ScheduleConfig
from avtd3_jax.training.interfaces import Updates
from avtd3_jax.training.logs import RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.phases import PhaseTimer


class Counts(Protocol):
    """Where the run stands."""

    step: int
    update: int


class Filled(Protocol):
    """A replay."""

    @property
    def fill(self) -> float: ...


class Telemetry:
    """Logs the learner every `log_every` steps, and looks inside it every `debug_every` where asked to.

    Args:
      schedule: how often.
      log: where the points go.
      timer: the phases.
      agent: what learns; None for a learner that is none of ours (a benchmark's rival).
      introspection: looks inside the network; None for never.
      profile: told of every step, so that it can trace some; None for no trace.
      fleet: gives what is to be logged of environments that act for themselves; None where none do.
    """

    def __init__(
        self,
        schedule: ScheduleConfig,
        log: RunLog,
        timer: PhaseTimer,
        agent: Agent | None = None,
        introspection: Introspection | None = None,
        profile: ProfileWindow | None = None,
        fleet: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self._schedule = schedule
        self._log = log
        self._timer = timer
        self._agent = agent
        self._introspection = introspection
        self._profile = profile
        self._fleet = fleet
        self._bar: Progress | None = None
        self._window = (0.0, 0)  # time and updates at the last point
        self._shown: dict[str, str] = {}  # beside the bar

    def start(self, bar: Progress, counts: Counts) -> None:
        """The run begins or goes on, with this progress bar."""
        self._bar = bar
        self._window = (time.perf_counter(), counts.update)

    def interruption(self) -> AbstractContextManager[None]:
        """What is done in the block makes no step."""
        return nullcontext() if self._bar is None else self._bar.interruption()

    def stepped(self, counts: Counts, learner: Updates, replay: Filled, monitors: Monitors) -> None:
        """An environment step was made."""
        if self._bar is not None:
            self._bar.update()
        if counts.step % self._schedule.log_every == 0:
            self._log_learner(counts, learner, replay.fill, monitors)
        if self._introspection and counts.step % self._schedule.debug_every == 0:
            self._look_inside(self._introspection, counts, learner)
        if self._profile:
            self._profile.step(counts.update)

    def ended(self, episode_return: float, successes: Sequence[float]) -> None:
        """An episode ended; `successes` are those of the last episodes, where there is such a thing."""
        self._shown["return"] = f"{episode_return:.1f}"
        if successes:
            self._shown["success"] = f"{np.mean(successes):.0%} of {len(successes)}"
        self._show()

    def _log_learner(self, counts: Counts, learner: Updates, replay_fill: float, monitors: Monitors) -> None:
        now, (then, updates) = time.perf_counter(), self._window
        updates_per_s = (counts.update - updates) / (now - then)
        self._shown["updates/s"] = f"{updates_per_s:.1f}"
        self._window = now, counts.update
        learned = learner.collect()
        self._log.scalars("learner", learned, counts.step)
        gradients = (
            diagnostics.encoder_mean_gradients(self._agent, learner.state) if self._agent and counts.update else {}
        )
        self._log.scalars("monitor", monitors.check(counts.step, learned.get("q/pi_gap_abs"), gradients), counts.step)
        self._log.scalars("milliseconds", self._timer.collect(), counts.step)
        if self._fleet is not None:
            self._log.scalars("fleet", self._fleet(), counts.step)
        rates = {"updates_per_s": updates_per_s, "steps_per_s": self._schedule.log_every / (now - then)}
        self._log.scalars("run", {**rates, "replay_fill": replay_fill, "updates": counts.update}, counts.step)
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix(self._shown, refresh=False)

    def _look_inside(self, introspection: Introspection, counts: Counts, learner: Updates) -> None:
        batch = learner.last_batch
        if batch is None:
            return
        found = introspection.look(learner.state, batch)
        self._log.scalars("debug", found, counts.step)
        if batch.frames is not None:
            self._log.image("replay/samples", diagnostics.sample_sheet(batch), counts.step)
        tqdm.write(f"step {counts.step}, update {counts.update}:")
        for family, numbers in found.items():
            if not numbers:  # an observation without an image has no encoder to look into
                continue
            tqdm.write(f"  {family}: " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items()))
