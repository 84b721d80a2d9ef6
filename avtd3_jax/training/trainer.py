"""The training loop: collect, learn, log, evaluate, save. It speaks Gymnasium and knows no simulator.

Within a step the policy first chooses the action, then the due updates are dispatched (JAX returns at once), and only
then does the environment step: the learner's arithmetic runs beside the simulator's, beside its resets too, and yet one
seed gives one run.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from avtd3_jax.agent.td3 import TrainState
from avtd3_jax.analysis import diagnostics
from avtd3_jax.analysis.profiling import ProfileWindow
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.console import Progress
from avtd3_jax.replay.batch import Batch
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.seeding import RunStream, episode_seed
from avtd3_jax.settings.schema import ExplorationConfig, ScheduleConfig
from avtd3_jax.training.batched_policy import BatchedPolicy, Observation, Policy
from avtd3_jax.training.exploration import EpisodeNoise
from avtd3_jax.training.learner_loop import Introspection
from avtd3_jax.training.logs import PhaseTimer, RunLog
from avtd3_jax.training.monitors import Monitors

_RECENT_EPISODES = 20  # over which the progress bar's success is taken


class Transition(Protocol):
    """One environment step, as the env loop yields it; `step` is 0 in an episode's first."""

    @property
    def observation(self) -> Observation: ...
    @property
    def action(self) -> np.ndarray: ...
    @property
    def reward(self) -> float: ...
    @property
    def next_observation(self) -> Observation: ...
    @property
    def terminated(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def info(self) -> dict[str, Any]: ...
    @property
    def episode(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def environment(self) -> int: ...


class Updates(Protocol):
    """What acts and learns, as `LearnerLoop` does and documents."""

    @property
    def updates_per_dispatch(self) -> int: ...
    @property
    def state(self) -> TrainState: ...
    @property
    def last_batch(self) -> Batch | None: ...
    def act(self, observation: dict[str, np.ndarray], /) -> np.ndarray: ...
    def act_latest(self, observation: dict[str, np.ndarray], /) -> np.ndarray: ...
    def update(self, number: int) -> None: ...
    def settle(self) -> None: ...
    def get_metrics(self) -> dict[str, tuple[float, int]]: ...
    def set_metrics(self, sums: Mapping[str, Sequence[float]]) -> None: ...
    def collect(self) -> dict[str, float]: ...


@dataclasses.dataclass
class Counters:
    """Where a run stands. `episode` is the next one to begin.

    `wall_s` is what the run has taken so far, evaluations and the start of each of its parts with it; work that was
    lost between a checkpoint and a kill is not counted.
    """

    step: int = 0
    episode: int = 0
    update: int = 0
    evaluated_at: int = 0
    wall_s: float = 0.0


@dataclasses.dataclass
class _RunningEpisode:
    """What is kept of an environment's episode under way."""

    noise: EpisodeNoise
    total: float = 0.0
    rewards: list[float] = dataclasses.field(default_factory=list)
    term_sums: dict[str, float] = dataclasses.field(default_factory=dict)


class Trainer:
    """Joins the env loop's transitions, the replay and the learner, by a schedule.

    Args:
      schedule: which thing happens at which step.
      exploration: noise of the actions.
      seed: the run's seed.
      loop: the learner.
      replay: filled here, one ring per environment, and sampled by `loop`.
      log: where scalars and episodes go.
      checkpoints: where the run is saved.
      timer: phase timings, shared with `loop`.
      evaluate: drives the policy it is given at environment step `step` and returns the metrics to log.
      description: saved with every checkpoint (configuration, simulator).
      monitors: watch for what goes wrong without an error.
      clock: seconds that the run has taken so far, in all its parts.
      introspection: looks inside the network every `schedule.debug_every` steps; None for never.
      profile: told of every step, so that it can trace some; None for no trace.
    """

    def __init__(
        self,
        *,
        schedule: ScheduleConfig,
        exploration: ExplorationConfig,
        seed: int,
        loop: Updates,
        replay: FrameReplay,
        log: RunLog,
        checkpoints: Checkpoints,
        timer: PhaseTimer,
        evaluate: Callable[[Policy, int], Mapping[str, Any]],
        description: Mapping[str, Any],
        monitors: Monitors,
        clock: Callable[[], float],
        introspection: Introspection | None = None,
        profile: ProfileWindow | None = None,
    ) -> None:
        self.counters = Counters()
        self._schedule = schedule
        self._exploration = exploration
        self._seed = seed
        self._loop = loop
        self._replay = replay
        self._log = log
        self._checkpoints = checkpoints
        self._timer = timer
        self._evaluate = evaluate
        self._description = description
        self._monitors = monitors
        self._clock = clock
        self._introspection = introspection
        self._profile = profile
        self._running = [_RunningEpisode(self._noise(0)) for _ in replay.rings]
        self._policy = BatchedPolicy(loop.act, len(replay.rings))
        self._recent: deque[float] = deque(maxlen=_RECENT_EPISODES)
        self._last_return = 0.0
        self._updates_per_s = 0.0
        self._window = (time.perf_counter(), 0)
        self._saved_at = 0
        self._ended: dict[str, Any] | None = None  # the counters at an episode's end, until it is taken

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint, given its `extras`."""
        self.counters = Counters(**state["counters"])
        self._monitors.set_state(state["monitors"])
        self._loop.set_metrics(state["metrics"])
        self._recent.extend(state["recent"])
        self._saved_at = self.counters.step

    def begin_episode(self, episode: int, environment: int = 0) -> int:
        """Seed for the reset of episode number `episode`, whose noise begins with it. For the env loop."""
        self.counters.episode = episode + 1
        self._running[environment].noise = self._noise(episode)
        return episode_seed(self._seed, RunStream.TRAINING, episode)

    def _noise(self, episode: int) -> EpisodeNoise:
        return EpisodeNoise(self._exploration, self._replay.action_spec.size, self._seed, episode)

    def act(self, observation: Observation) -> np.ndarray:
        """The next training action [A]; dispatches the updates that are due before it returns. For the env loop."""
        action = self.act_all({0: observation})[0]
        self.learn()
        return action

    def act_all(self, observations: Mapping[int, Observation]) -> dict[int, np.ndarray]:
        """The next training action [A] of every environment in `observations`."""
        self._take_ended()
        with self._timer("act"):
            noise = {i: self._running[i].noise for i in observations}
            if self.counters.step < self._schedule.exploration_steps:
                return {i: noise[i].explore() for i in observations}
            actions = self._policy(observations)
            for action in actions.values():
                self._monitors.acted(action)
            return {i: noise[i].perturb(action) for i, action in actions.items()}

    def learn(self) -> None:
        """Dispatches the updates that are due, in whole dispatches; waits for all but the last of them."""
        learned_for = self.counters.step - self._schedule.exploration_steps
        at_once = self._loop.updates_per_dispatch
        while self.counters.update + at_once <= int(learned_for * self._schedule.updates_per_step):
            self._loop.update(self.counters.update)
            self.counters.update += at_once

    def run(self, transitions: Iterator[Transition], stop: Callable[[], bool]) -> None:
        """Trains until `schedule.total_steps`, or until `stop` says so.

        A run that is stopped, or that fails, is saved as it was at the end of its last whole episode: what it drives
        when it is resumed is what it would have driven, to the bit.

        Raises:
          CheckpointError: the last checkpoint could not be written.
        """
        counters, total = self.counters, self._schedule.total_steps
        with Progress(total=total, initial=counters.step, unit="step") as bar:
            self._bar = bar
            self._window = (time.perf_counter(), counters.update)
            try:
                while counters.step < total and not stop():
                    transition = next(transitions, None)
                    if transition is None:  # the env loop was told to stop
                        break
                    self._record(transition)
                    if transition.terminated or transition.truncated:
                        self._end_episode(transition)
                if counters.step >= total:
                    self._finish()
            finally:
                try:
                    self._take_ended()
                finally:
                    self._checkpoints.flush()

    def _finish(self) -> None:
        """The run's last checkpoint, in mid-episode if need be, and its evaluation."""
        self._take_ended()
        self._loop.settle()
        self._replay.end_torn_episode()
        self._take(write=True, counters=self._read_counters())
        if self._schedule.eval_every and self.counters.evaluated_at < self.counters.step:
            self.evaluate()
        with self._timer("checkpoint"):
            self._checkpoints.save(*self._content(self._read_counters()))

    def _take_ended(self) -> None:
        """Takes the run as it was at the end of the last episode, whose last updates ran on beside the next reset.

        Called before anything of it changes, whether it is written or not: that a run is saved must not change what it
        does next.
        """
        if self._ended is None:
            return
        counters, self._ended = self._ended, None
        self._loop.settle()
        every = self._schedule.checkpoint_every
        self._take(write=every > 0 and counters["step"] - self._saved_at >= every, counters=counters)

    def _take(self, write: bool, counters: Mapping[str, Any]) -> None:
        with self._timer("checkpoint"):
            if self._checkpoints.take(*self._content(counters), write=write):
                self._saved_at = counters["step"]

    def _content(self, counters: Mapping[str, Any]) -> tuple[int, TrainState, FrameReplay, dict[str, Any]]:
        """Everything needed to go on from where the counters stood."""
        progress = {
            "counters": counters,
            "monitors": self._monitors.get_state(),
            "metrics": self._loop.get_metrics(),
            "recent": list(self._recent),
        }
        return counters["step"], self._loop.state, self._replay, {**self._description, **progress}

    def _read_counters(self) -> dict[str, Any]:
        self.counters.wall_s = self._clock()
        return dataclasses.asdict(self.counters)

    def _record(self, transition: Transition) -> None:
        self._take_ended()
        running = self._running[transition.environment]
        if transition.step == 0:
            self._replay.begin_episode(transition.observation, transition.environment)
            running.total, running.rewards, running.term_sums = 0.0, [], {}
        with self._timer("replay_add"):
            self._replay.add(
                transition.action,
                transition.reward,
                transition.next_observation,
                transition.terminated,
                transition.truncated,
                transition.environment,
            )
        running.total += transition.reward
        running.rewards.append(transition.reward)
        self._monitors.stepped(transition.info.get("ego", {}).get("speed_mps"))
        for name, value in transition.info.get("reward_terms", {}).items():
            running.term_sums[name] = running.term_sums.get(name, 0.0) + value
        self._last_return = running.total
        self.counters.step += 1
        self._bar.update()
        if self.counters.step % self._schedule.log_every == 0:
            self._log_learner()
        if self._introspection and self.counters.step % self._schedule.debug_every == 0:
            self._look_inside(self._introspection)
        if self._profile:
            self._profile.step(self.counters.update)

    def _end_episode(self, transition: Transition) -> None:
        step = self.counters.step
        metrics = transition.info.get("episode_metrics", {})
        self._recent.append(float(metrics.get("success", 0.0)))
        running, length = self._running[transition.environment], transition.step + 1
        self._monitors.ended(running.rewards)
        record = {"step": step, "episode": transition.episode, "length": length, "return": running.total}
        if len(self._running) > 1:
            record["environment"] = transition.environment
        self._log.episode({**record, "reward_terms": running.term_sums, **metrics})
        self._log.scalars("episode", {**metrics, "length": length, "return": running.total}, step)
        self._log.scalars("reward", running.term_sums, step)
        self._bar.set_postfix(self._postfix(), refresh=False)
        if self._schedule.eval_every and step - self.counters.evaluated_at >= self._schedule.eval_every:
            self.evaluate()
        self._ended = self._read_counters()

    def evaluate(self) -> None:
        """Drives the policy as it is now, without noise; training's episodes and random streams stay as they were."""
        counters = self.counters
        counters.evaluated_at = counters.step
        with self._timer("evaluation"):
            summary = self._evaluate(self._loop.act_latest, counters.step)
        self._log.scalars("evaluation", summary, counters.step)
        where = {"step": counters.step, "update": counters.update, "wall_s": self._clock()}
        self._log.evaluation({**where, **summary})
        self._log.flush()

    def _log_learner(self) -> None:
        step = self.counters.step
        now, (then, updates) = time.perf_counter(), self._window
        self._updates_per_s = (self.counters.update - updates) / (now - then)
        self._window = now, self.counters.update
        learned = self._loop.collect()
        self._log.scalars("learner", learned, step)
        gradients = diagnostics.encoder_mean_gradients(self._loop.state) if self.counters.update else {}
        self._log.scalars("monitor", self._monitors.check(step, learned.get("q/pi_gap_abs"), gradients), step)
        self._log.scalars("milliseconds", self._timer.collect(), step)
        rates = {"updates_per_s": self._updates_per_s, "steps_per_s": self._schedule.log_every / (now - then)}
        self._log.scalars("run", {**rates, "replay_fill": self._replay.fill, "updates": self.counters.update}, step)
        self._bar.set_postfix(self._postfix(), refresh=False)

    def _postfix(self) -> dict[str, str]:
        success = f"{np.mean(self._recent):.0%} of {len(self._recent)}" if self._recent else "-"
        return {"updates/s": f"{self._updates_per_s:.1f}", "return": f"{self._last_return:.1f}", "success": success}

    def _look_inside(self, introspection: Introspection) -> None:
        batch = self._loop.last_batch
        if batch is None:
            return
        found = introspection.look(self._loop.state, batch)
        self._log.scalars("debug", found, self.counters.step)
        if batch.frames is not None:
            self._log.image("replay/samples", diagnostics.sample_sheet(batch), self.counters.step)
        tqdm.write(f"step {self.counters.step}, update {self.counters.update}:")
        for family, numbers in found.items():
            if not numbers:  # an observation without an image has no encoder to look into
                continue
            tqdm.write(f"  {family}: " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items()))
