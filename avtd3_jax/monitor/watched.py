"""A run's environments, and somebody who looks on."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avtd3_jax.monitor.station import Silence
from avtd3_jax.training.interfaces import Answers, EnvDescription, Environments, Transition

_ENLARGED = 3  # times, of what the policy sees, where there is no better picture


class WatchedEnvironments:
    """The environments themselves, which tell a live page of every picture and of every failure that they answer.

    Args:
      environments: those of the run.
      description: what they say of themselves.
      page: told.
      pictures_per_s: of an environment that gives no pictures for people, its observations are shown so often.
    """

    def __init__(
        self, environments: Environments, description: EnvDescription, page: Silence, pictures_per_s: float
    ) -> None:
        self._environments = environments
        self._keys = description
        self._page = page
        self._every_s = 1.0 / pictures_per_s
        self._next: dict[int, float] = {}

    def idle(self) -> Sequence[int]:
        """As the environments'."""
        return self._environments.idle()

    def waiting(self) -> Mapping[int, Any]:
        """As the environments'."""
        return self._environments.waiting()

    def reset(self, environment: int, seed: int) -> None:
        """As the environments'."""
        self._environments.reset(environment, seed)

    def step(self, actions: Mapping[int, np.ndarray]) -> None:
        """As the environments'."""
        self._environments.step(actions)

    def drive(self, environment: int, *, episode: int, steps: int, explore: bool, version: int, weights: Any) -> None:
        """As the environments'."""
        self._environments.drive(
            environment, episode=episode, steps=steps, explore=explore, version=version, weights=weights
        )

    def receive(self, wait: bool = True) -> Answers:
        """As the environments'; shows what there is to see in it."""
        answers = self._environments.receive(wait)
        if self._page.watched:
            for transition in answers.transitions:
                self._show(transition)
        return answers

    def evaluated(self, info: Mapping[str, Any]) -> None:
        """Shows a step of an evaluation, by its `info`."""
        picture = info.get(self._keys.picture_key)
        if picture is not None:
            self._page.picture("evaluation", picture, self._facts(info))

    def _show(self, transition: Transition) -> None:
        info = transition.info
        picture = info.get(self._keys.picture_key) if self._keys.picture_key else self._observed(transition)
        if picture is not None:
            self._page.picture(str(transition.environment), picture, self._facts(info))
        metrics = info.get(self._keys.episode_metrics_key, {}) if self._keys.episode_metrics_key else {}
        if not metrics.get("success", 1):
            names = ("reason", "route", "route_completion", "duration_s", "return")
            facts = {name: metrics[name] for name in names if name in metrics}
            self._page.failure(picture, {"environment": transition.environment, "time": time.time(), **facts})

    def _facts(self, info: Mapping[str, Any]) -> dict[str, Any]:
        speed = info.get(self._keys.speed_key) if self._keys.speed_key else None
        return {} if speed is None else {"speed_kmh": 3.6 * float(speed)}

    def _observed(self, transition: Transition) -> bytes | None:
        """The newest frame of the observation, where it has any and it is time for one."""
        now = time.monotonic()
        if now < self._next.get(transition.environment, 0.0):
            return None
        self._next[transition.environment] = now + self._every_s
        seen = transition.next_observation
        frames = np.asarray(seen["image"] if isinstance(seen, Mapping) and "image" in seen else seen)
        if frames.ndim != 3 or frames.dtype != np.uint8:
            return None
        import cv2  # a command's start should not wait for it

        large = cv2.resize(frames[-1], None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_NEAREST)
        return bytes(cv2.imencode(".jpg", large)[1].tobytes())
