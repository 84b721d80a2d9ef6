"""Environments that act for themselves: who is asked for steps when, so that no action is older than allowed.

Each environment has one request at most under way, with the parameters of some update. A transition's lag is the number
of updates between these and the moment when it is in the replay. It is bounded from both sides: an update waits while
one more would make a request too old, and no request is sent while more updates are due than it may come to lag behind.
What is under way comes back without any update, so one of the two can always go on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from avtd3_jax.errors import NonFiniteError
from avtd3_jax.training.interfaces import Answers, Environments

RAN_AWAY = (
    "The policy's {} non-finite: its parameters have run away. Start anew with a lower agent.actor_lr and "
    "agent.critic_lr."
)


@dataclass(frozen=True)
class Published:
    """Parameters after update `version`, where the environments can read them, since `since_s`."""

    version: int
    reference: Any
    since_s: float


@dataclass(frozen=True)
class _Asked:
    steps: int
    version: int | None  # None where the parameters are not used
    asked_s: float
    published_s: float


class ActingApart:
    """Asks for steps, a chunk at a time, and keeps the books of what is under way.

    Args:
      environments: number of them.
      chunk_steps: steps of a request, at most; fewer where those of all environments would ask for more updates than
        `max_lag`.
      max_lag: updates, at least those of one dispatch.
      updates_per_step: that a step asks for.
      parameters: gives those after the learner's last update, on the host; waits for it.
      publish: puts parameters where all environments can read them; None while there is no room.
      report: told in a sentence when there is none.
    """

    def __init__(
        self,
        environments: int,
        chunk_steps: int,
        max_lag: int,
        updates_per_step: float,
        parameters: Callable[[], Any],
        publish: Callable[[Any], Any],
        report: Callable[[str], None],
    ) -> None:
        self._environments = environments
        self._chunk = chunk_steps
        self._max_lag = max_lag
        self._young = max(1, int(max_lag / max(environments * updates_per_step, 1e-9)))  # steps of a request
        self._parameters = parameters
        self._publish = publish
        self._report = report
        self._asked: dict[int, _Asked] = {}
        self._newest: Published | None = None
        self._full = False
        self._seen: dict[str, list[float]] = {}

    @property
    def under_way(self) -> int:
        """Steps that have been asked for and are not there."""
        return sum(asked.steps for asked in self._asked.values())

    def may_update(self, update: int, count: int) -> bool:
        """Whether `count` updates after update `update` leave all that is under way young enough."""
        oldest = min((asked.version for asked in self._asked.values() if asked.version is not None), default=update)
        return update + count - oldest <= self._max_lag

    def ask(
        self,
        envs: Environments,
        episodes: Mapping[int, int],
        *,
        exploring: int,
        left: int,
        update: int,
        due: int,
    ) -> None:
        """Asks for steps whoever waits, as far as lag and steps allow.

        Args:
          envs: asked.
          episodes: the environments that wait, each with the number of its episode.
          exploring: steps of the run that are still to be explored.
          left: steps of the run that are still to be made.
          update: the learner's last one.
          due: updates that it should have made by now and has not.

        Raises:
          NonFiniteError: the parameters are not finite.
        """
        self._note("updates_due", due / self._max_lag)
        for environment, episode in episodes.items():
            under_way = self.under_way
            steps = min(self._chunk, left - under_way)
            explore = under_way < exploring
            steps = min(steps, exploring - under_way if explore else self._young)
            if steps < 1 or due > self._max_lag:
                return
            newest = None if explore else self._up_to_date(update)
            if not explore and (newest is None or update + due - newest.version > self._max_lag):
                return
            now = time.monotonic()
            envs.drive(
                environment,
                episode=episode,
                steps=steps,
                explore=explore,
                version=newest.version if newest else 0,
                weights=newest.reference if newest else None,
            )
            asked = (newest.version, now, newest.since_s) if newest else (None, now, now)
            self._asked[environment] = _Asked(steps, *asked)

    def arrived(self, answers: Answers, update: int) -> None:
        """Takes down what came back by update `update`: transitions, or that an environment was lost."""
        now = time.monotonic()
        came = {transition.environment for transition in answers.transitions}
        self._note("environments_busy", len(self._asked) / self._environments)
        self._note("environments_answered", len(came) / self._environments)
        for environment in came | {lost.environment for lost in answers.lost}:
            asked = self._asked.pop(environment, None)
            if asked is None or asked.version is None or environment not in came:
                continue
            self._note("lag_updates", update - asked.version)
            self._note("age_s", now - asked.asked_s)
            self._note("parameters_age_s", now - asked.published_s)

    def collect(self) -> dict[str, float]:
        """Means since the last call, and the greatest lag: ages of chunks and parameters, shares of environments."""
        found = {name: float(np.mean(values)) for name, values in self._seen.items()}
        if "lag_updates" in self._seen:
            found["lag_updates_max"] = max(self._seen["lag_updates"])
        self._seen.clear()
        return found

    def _up_to_date(self, update: int) -> Published | None:
        """The parameters after `update`; older ones, or None, while there is no room for these."""
        if self._newest is not None and self._newest.version == update:
            return self._newest
        values = self._parameters()
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
            raise NonFiniteError(RAN_AWAY.format("parameters are"))
        reference = self._publish(values)
        if reference is not None:
            self._newest, self._full = Published(update, reference, time.monotonic()), False
        elif not self._full:
            self._full = True
            self._report(
                "The object store has no room for the policy's parameters: the environments act with older ones, and "
                "wait where those are too old."
            )
        return self._newest

    def _note(self, name: str, value: float) -> None:
        self._seen.setdefault(name, []).append(value)
