"""The env loop: a generator of transitions that outlives its simulator."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envloop.env import CarlaEnv, Observation
from envloop.errors import SimulatorError

_RESETS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Transition:
    """One whole decision. `episode` counts from the rollout's `first_episode`, `step` from 0 in each episode.

    `environment` is the number of the environment that it was made in, where there are several.
    """

    observation: Observation
    action: NDArray[np.float32]  # [2]
    reward: float
    next_observation: Observation
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    episode: int
    step: int
    environment: int = 0


@dataclass(frozen=True, slots=True)
class TornEpisode:
    """An episode that lost its simulator: it has `steps` whole transitions, and none of them ends it."""

    episode: int
    steps: int
    error: str
    recovery_s: float
    environment: int = 0


def rollout(
    env: gym.Env,
    policy: Callable[[Observation], NDArray[np.float32]],
    episode_seed: Callable[[int], int],
    *,
    first_episode: int = 0,
    options: dict[str, Any] | None = None,
    on_torn: Callable[[TornEpisode], None] = lambda torn: None,
) -> Iterator[Transition]:
    """Endless transitions of `policy` in `env`; cut it with `itertools.islice`.

    When the simulator dies or hangs, the transition under way is dropped, all earlier ones stand, the simulator is
    restarted or reconnected, and the next episode begins. The consumer sees a torn episode by a transition whose `step`
    is 0 after one that was neither terminated nor truncated.

    Args:
      env: a CarlaEnv, wrapped or not.
      policy: observation -> action [2].
      episode_seed: episode number -> seed of its reset; a pure function, so that a resumed run repeats exactly.
      first_episode: number of the first episode; a resumed run goes on with the one after its last whole episode.
      options: passed to every reset.
      on_torn: told about each torn episode after the simulator is back.

    Raises:
      SimulatorError: the simulator cannot be brought back.
    """
    episode, failed_resets = first_episode, 0
    while True:
        steps, ended, reason = -1, False, ""  # the reset has not been survived yet
        try:
            observation, _ = env.reset(seed=episode_seed(episode), options=options)
            steps, failed_resets = 0, 0
            while not ended:
                action = policy(observation)
                next_observation, reward, terminated, truncated, info = env.step(action)
                transition = Transition(
                    observation, action, float(reward), next_observation, terminated, truncated, info, episode, steps
                )
                observation, steps = next_observation, steps + 1
                ended = terminated or truncated
                yield transition
        except SimulatorError as error:
            failed_resets += steps < 0
            if failed_resets > _RESETS_IN_A_ROW:
                raise
            reason = str(error)
        # Outside of the handler: the error's frames hold on to the lost client.
        if not ended:
            on_torn(_recovered(env, episode, max(steps, 0), reason))
        episode += 1


def _recovered(env: gym.Env, episode: int, steps: int, error: str) -> TornEpisode:
    began = time.monotonic()
    carla_env = env.unwrapped
    assert isinstance(carla_env, CarlaEnv)
    carla_env.recover()
    return TornEpisode(episode=episode, steps=steps, error=error, recovery_s=time.monotonic() - began)
