"""Policies that learn nothing, to compare with: they take the place of a trained one, episode by episode."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.baselines.route_follower import RouteFollower
from envloop.env import CarlaEnv, action_space
from envloop.seeding import EpisodeStream, generator

Policy = Callable[[Any], NDArray[np.float32]]  # observation -> action [2]
# (environment that has just been reset, seed of its episode) -> the policy of this one episode
PolicyMaker = Callable[[CarlaEnv, int], Policy]


def follower(env: CarlaEnv, seed: int) -> Policy:
    """PID on the legal speed and pure pursuit on the route, with the gains of `DriverConfig`.

    It reads the simulator's state, not the observation: exact pose, route, and the gap to the car ahead, for which it
    brakes. Traffic lights it does not see.
    """
    return _follower(env, lambda: env.episode.lead.gap_m)


def blind_follower(env: CarlaEnv, seed: int) -> Policy:
    """The `follower` without the gap: PID on speed and pure pursuit, neither of which knows of other vehicles."""
    return _follower(env, lambda: math.inf)


def _follower(env: CarlaEnv, gap_m: Callable[[], float]) -> Policy:
    driver, route_task = RouteFollower(), env.route_task

    def act(_: Any) -> NDArray[np.float32]:
        episode = env.episode
        target_mps = route_task.profile.at(episode.projection.s)
        return driver.act(episode.ego, route_task.route, episode.projection, target_mps, env.config.decision_s, gap_m())

    return act


def uniform(env: CarlaEnv, seed: int) -> Policy:
    """Uniformly random actions, the same for the same seed."""
    space = action_space()
    rng = generator(seed, EpisodeStream.RANDOM_POLICY)
    return lambda _: rng.uniform(space.low, space.high).astype(np.float32)


SCRIPTED: Mapping[str, PolicyMaker] = {
    "follower": follower,
    "blind-follower": blind_follower,
    "random": uniform,
}
