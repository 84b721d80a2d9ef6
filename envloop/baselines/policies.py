"""Policies that learn nothing, to compare with: they take the place of a trained one, episode by episode."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.baselines.expert import AT_ONCE, Expert, ExpertConfig
from envloop.baselines.route_follower import RouteFollower
from envloop.env import CarlaEnv
from envloop.seeding import EpisodeStream, generator
from envloop.spaces import action_space

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


def expert(env: CarlaEnv, seed: int) -> Policy:
    """Stops at red and yellow lights, waits for people and vehicles, keeps junctions free; see `Expert`.

    It is privileged: the simulator tells it everything that is around.
    """
    return _expert(env, ExpertConfig())


def expert_at_once(env: CarlaEnv, seed: int) -> Policy:
    """The `expert` without its memory: the same state, the same action."""
    return _expert(env, AT_ONCE)


def _expert(env: CarlaEnv, config: ExpertConfig) -> Policy:
    driver = Expert(env.route_task.route, env.config.speed, config)

    def act(_: Any) -> NDArray[np.float32]:
        return driver.act(env.outlook(), env.episode.projection, env.config.decision_s)

    return act


def uniform(env: CarlaEnv, seed: int) -> Policy:
    """Uniformly random actions, the same for the same seed."""
    space = action_space()
    rng = generator(seed, EpisodeStream.RANDOM_POLICY)
    return lambda _: rng.uniform(space.low, space.high).astype(np.float32)


PRIVILEGED = frozenset({"expert", "follower"})  # are told by the simulator what no observation has
SCRIPTED: Mapping[str, PolicyMaker] = {
    "follower": follower,
    "blind-follower": blind_follower,
    "expert": expert,
    "random": uniform,
}
LABELLERS: Mapping[str, PolicyMaker] = {**SCRIPTED, "expert": expert_at_once}
"""Who says what it would do while another one drives."""
