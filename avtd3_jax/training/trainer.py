"""The training loop: reset, act, step, learn, record. It speaks Gymnasium and knows no simulator.

What a step is, when an update is dispatched and when a checkpoint is taken stands in one function, `Trainer.run`.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from avtd3_jax.agent.spaces import EXPERT, Observation, ObsSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.console import Progress
from avtd3_jax.errors import NonFiniteError
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.seeding import RunStream, episode_seed
from avtd3_jax.settings.schema import ExplorationConfig, ScheduleConfig
from avtd3_jax.training.acting_apart import RAN_AWAY, ActingApart
from avtd3_jax.training.episodes import RunningEpisode
from avtd3_jax.training.exploration import EpisodeNoise
from avtd3_jax.training.interfaces import Answers, Environments, EpisodeTorn, InfoKeys, Transition, Updates
from avtd3_jax.training.logs import RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.telemetry import Telemetry

_RECENT_EPISODES = 20  # over which the progress bar's success is taken

Policy = Callable[[Observation], np.ndarray]


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


class Trainer:
    """Joins environments, replay and learner, by a schedule.

    Args:
      schedule: which thing happens at which step.
      exploration: noise of the actions.
      seed: the run's seed.
      learner: acts and learns.
      replay: filled here, one ring per environment, and sampled by `learner`.
      info_keys: what the environments put into `info`.
      log: where episodes and evaluations go.
      telemetry: what is logged of the learner as the run goes on.
      checkpoints: where the run is saved.
      timer: phase timings, shared with `learner`.
      evaluate: drives the policy it is given at environment step `step` and returns the metrics to log.
      description: saved with every checkpoint (configuration, simulator).
      monitors: watch for what goes wrong without an error.
      clock: seconds that the run has taken so far, in all its parts.
      report: told in a sentence of environments that were lost.
      apart: asks environments that act for themselves; None where the learner acts for all.
      catches_up: makes the updates that the last steps ask for too; as do environments that act for themselves.
    """

    def __init__(
        self,
        *,
        schedule: ScheduleConfig,
        exploration: ExplorationConfig,
        seed: int,
        learner: Updates,
        replay: FrameReplay,
        info_keys: InfoKeys,
        log: RunLog,
        telemetry: Telemetry,
        checkpoints: Checkpoints,
        timer: PhaseTimer,
        evaluate: Callable[[Policy, int], Mapping[str, Any]],
        description: Mapping[str, Any],
        monitors: Monitors,
        clock: Callable[[], float],
        report: Callable[[str], None],
        apart: ActingApart | None = None,
        catches_up: bool = False,
    ) -> None:
        self.counters = Counters()
        self._schedule = schedule
        self._exploration = exploration
        self._seed = seed
        self._learner = learner
        self._replay = replay
        self._keys = info_keys
        self._log = log
        self._telemetry = telemetry
        self._checkpoints = checkpoints
        self._timer = timer
        self._evaluate = evaluate
        self._description = description
        self._monitors = monitors
        self._clock = clock
        self._report = report
        self._apart = apart
        self._catches_up = catches_up or apart is not None
        self._episodes: dict[int, RunningEpisode] = {}  # by environment
        self._batch = _ObservationBatch(replay.obs_spec, len(replay.rings))
        self._recent: deque[float] = deque(maxlen=_RECENT_EPISODES)
        self._saved_at = 0
        self._ended: dict[str, Any] | None = None  # the counters at an episode's end, until it is saved

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint, given its `extras`."""
        self.counters = Counters(**state["counters"])
        self._monitors.set_state(state["monitors"])
        self._learner.set_metrics(state["metrics"])
        self._recent.extend(state["recent"])
        self._saved_at = self.counters.step

    def run(self, envs: Environments, stop: Callable[[], bool]) -> None:
        """Trains until `schedule.total_steps`, or until `stop` says so.

        An update is dispatched once the environments' actions are, and JAX returns at once: it is computed beside
        their steps, beside their resets too, and yet one seed gives one run. The next action waits for it, or has the
        parameters from before it, as the learner is told.

        An episode's end is saved when its last update and the next reset are over, before anything of it changes. So a
        run that is stopped, or that fails, is saved as it was at the end of its last whole episode: what it drives when
        it is resumed is what it would have driven, to the bit.

        Raises:
          CheckpointError: the last checkpoint could not be written.
        """
        counters, total = self.counters, self._schedule.total_steps
        schedule = self._schedule
        with Progress(
            total=total,
            initial=counters.step,
            unit="step",
            interrupted_every=schedule.eval_every,
            steady_from=schedule.exploration_steps,
        ) as bar:
            self._telemetry.start(bar, counters)
            try:
                while counters.step < total and not stop():
                    for environment in envs.idle():
                        envs.reset(environment, seed=self._begin_episode(environment))
                    if self._apart is not None:
                        self._turn_apart(envs, self._apart)
                        continue
                    if observations := envs.waiting():
                        self._save_ended_episode()
                        if self._update_is_due():
                            self._learner.draw()  # beside the update that `_act` waits for; nothing is recorded between
                        actions = self._begin_act(observations)
                        if self._learner.updates_before_acting:
                            self._learn(most=1)
                        envs.step(actions())
                        self._learn()
                    answers = envs.receive()
                    self._save_ended_episode()
                    self._record(answers)
                if counters.step >= total:
                    if self._catches_up:
                        self._save_ended_episode()
                        self._learn()
                    self._finish()
            finally:
                try:
                    self._save_ended_episode()
                finally:
                    self._checkpoints.flush()

    def _turn_apart(self, envs: Environments, apart: ActingApart) -> None:
        """Asks environments that act for themselves, makes one dispatch of updates, and records what has come."""
        counters, schedule = self.counters, self._schedule
        self._save_ended_episode()
        apart.ask(
            envs,
            {environment: self._episodes[environment].number for environment in envs.waiting()},
            exploring=schedule.exploration_steps - counters.step,
            left=schedule.total_steps - counters.step,
            update=counters.update,
            due=max(0, self._updates_wanted() - counters.update),
        )
        count = self._learner.updates_per_dispatch
        if learns := self._update_is_due() and apart.may_update(counters.update, count):
            self._learner.update(counters.update)
            counters.update += count
        answers = envs.receive(wait=not learns)
        apart.arrived(answers, counters.update)
        for transition in answers.transitions:
            if transition.intended is not None:
                self._monitors.acted(transition.intended)
        self._save_ended_episode()
        self._record(answers)

    def evaluate(self) -> None:
        """Drives the policy as it is now, without noise; training's episodes and random streams stay as they were."""
        counters = self.counters
        counters.evaluated_at = counters.step
        with self._timer("evaluation"), self._telemetry.interruption():
            summary = self._evaluate(self._learner.act_latest, counters.step)
        self._log.scalars("evaluation", summary, counters.step)
        where = {"step": counters.step, "update": counters.update, "wall_s": self._clock()}
        self._log.evaluation({**where, **summary})
        self._log.flush()

    def _begin_episode(self, environment: int) -> int:
        """The seed for the reset of the next episode, whose noise begins with it."""
        number = self.counters.episode
        self.counters.episode += 1
        noise = EpisodeNoise(self._exploration, self._replay.action_spec.size, self._seed, number)
        self._episodes[environment] = RunningEpisode(number, noise)
        return episode_seed(self._seed, RunStream.TRAINING, number)

    def _begin_act(self, observations: Mapping[int, Any]) -> Callable[[], dict[int, np.ndarray]]:
        """Asks for the next action [A] of every environment in `observations`, by one call of the policy for all."""
        noise = {environment: self._episodes[environment].noise for environment in observations}
        if self.counters.step < self._schedule.exploration_steps:
            return lambda: {
                environment: noise[environment].explore(_expert(seen)) for environment, seen in observations.items()
            }
        with self._timer("act"):
            waiting = self._learner.begin_act(self._batch.filled(observations))
        return lambda: self._act(waiting, noise)

    def _act(self, waiting: Callable[[], np.ndarray], noise: Mapping[int, EpisodeNoise]) -> dict[int, np.ndarray]:
        with self._timer("act"):
            actions = waiting()
            if not np.isfinite(actions).all():
                raise NonFiniteError(RAN_AWAY.format("action is"))
            for environment in noise:
                self._monitors.acted(actions[environment])
            return {environment: noise[environment].perturb(actions[environment]) for environment in noise}

    def _learn(self, most: int | None = None) -> None:
        """Dispatches the updates that are due, in whole dispatches; waits for all but the last of them."""
        count = 0
        while self._update_is_due() and count != most:
            self._learner.update(self.counters.update)
            self.counters.update += self._learner.updates_per_dispatch
            count += 1

    def _update_is_due(self) -> bool:
        return self.counters.update + self._learner.updates_per_dispatch <= self._updates_wanted()

    def _updates_wanted(self) -> int:
        """How many updates the steps made so far ask for."""
        learned_for = self.counters.step - self._schedule.exploration_steps
        return int(learned_for * self._schedule.updates_per_step)

    def _record(self, answers: Answers) -> None:
        for began in answers.began:
            self._replay.begin_episode(began.observation, began.environment)
        for lost in answers.lost:
            others = ", the others go on" if len(self._replay.rings) > 1 else ""
            self._report(f"environment {lost.environment} is lost and started again{others} ({lost.error})")
        for torn in answers.torn:
            self._tear(torn)
        # Those that end an episode last: nothing is recorded between an episode's end and its saving.
        for transition in sorted(answers.transitions, key=lambda made: made.terminated or made.truncated):
            if self.counters.step < self._schedule.total_steps:
                self._add(transition)
                if transition.terminated or transition.truncated:
                    self._end_episode(transition)

    def _add(self, transition: Transition) -> None:
        episode, keys = self._episodes[transition.environment], self._keys
        with self._timer("replay_add"):
            self._replay.add(
                transition.action,
                transition.reward,
                transition.next_observation,
                transition.terminated,
                transition.truncated,
                transition.environment,
            )
        episode.add(transition.reward, transition.info[keys.reward_terms_key] if keys.reward_terms_key else {})
        self._monitors.stepped(transition.info[keys.speed_key] if keys.speed_key else None)
        self.counters.step += 1
        self._telemetry.stepped(self.counters, self._learner, self._replay, self._monitors)

    def _end_episode(self, transition: Transition) -> None:
        step, episode = self.counters.step, self._episodes.pop(transition.environment)
        metrics = transition.info[self._keys.episode_metrics_key] if self._keys.episode_metrics_key else {}
        if "success" in metrics:
            self._recent.append(float(metrics["success"]))
        self._monitors.ended(episode.rewards)
        record = episode.record(step, metrics)
        if len(self._replay.rings) > 1:
            record["environment"] = transition.environment
        self._log.episode(record)
        self._log.scalars("episode", {**metrics, "length": episode.length, "return": episode.total}, step)
        self._log.scalars("reward", episode.term_sums, step)
        self._telemetry.ended(episode.total, self._recent)
        if self._schedule.eval_every and step - self.counters.evaluated_at >= self._schedule.eval_every:
            self.evaluate()
        self._ended = self._read_counters()

    def _tear(self, torn: EpisodeTorn) -> None:
        self._replay.end_torn_episode(torn.environment)
        episode = self._episodes.pop(torn.environment, None)
        back = f"back after {torn.recovery_s:.1f} s ({torn.error})"
        if episode is None:  # lost between two episodes, or in an evaluation
            self._report(f"environment {torn.environment} is {back}")
        else:
            lost = f"episode {episode.number} lost its simulator after {episode.length} steps, which are kept"
            self._report(f"{lost}; {back}")

    def _save_ended_episode(self) -> None:
        """Takes the run as it was at the end of the last episode, if that has not been done.

        It is taken whether it is written or not: that a run is saved must not change what it does next.
        """
        if self._ended is None:
            return
        counters, self._ended = self._ended, None
        self._learner.settle()
        every = self._schedule.checkpoint_every
        self._take(write=every > 0 and counters["step"] - self._saved_at >= every, counters=counters)

    def _finish(self) -> None:
        """The run's last checkpoint, in mid-episode if need be, and its evaluation."""
        self._save_ended_episode()
        self._learner.settle()
        self._replay.end_torn_episode()
        self._take(write=True, counters=self._read_counters())
        if self._schedule.eval_every and self.counters.evaluated_at < self.counters.step:
            self.evaluate()
        with self._timer("checkpoint"):
            self._checkpoints.save(*self._content(self._read_counters()))

    def _take(self, write: bool, counters: Mapping[str, Any]) -> None:
        with self._timer("checkpoint"):
            if self._checkpoints.take(*self._content(counters), write=write):
                self._saved_at = counters["step"]

    def _content(self, counters: Mapping[str, Any]) -> tuple[int, Any, FrameReplay, dict[str, Any]]:
        """Everything needed to go on from where the counters stood."""
        progress = {
            "counters": counters,
            "monitors": self._monitors.get_state(),
            "metrics": self._learner.get_metrics(),
            "recent": list(self._recent),
        }
        return counters["step"], self._learner.state, self._replay, {**self._description, **progress}

    def _read_counters(self) -> dict[str, Any]:
        self.counters.wall_s = self._clock()
        return dataclasses.asdict(self.counters)


def _expert(observation: Any) -> np.ndarray | None:
    """What a scripted driver would do, where the environment says it."""
    return observation.get(EXPERT) if isinstance(observation, Mapping) else None


class _ObservationBatch:
    """Observations of all environments as one batch, which always has a row for each: one executable serves any few."""

    def __init__(self, spec: ObsSpec, size: int) -> None:
        self._spec = spec
        self._size = size

    def filled(self, observations: Mapping[int, Any]) -> Observation:
        """A batch [N, ...] in which the environments' rows hold `observations`, and the others zeros."""
        arrays = {environment: self._spec.as_dict(observation) for environment, observation in observations.items()}
        if self._size == 1:
            return {name: array[None] for name, array in arrays[0].items()}
        batch: Observation = {}
        for environment, parts in arrays.items():
            for name, array in parts.items():
                if name not in batch:
                    batch[name] = np.zeros((self._size, *array.shape), array.dtype)
                batch[name][environment] = array
        return batch
