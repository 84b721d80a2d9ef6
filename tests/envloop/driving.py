"""What several tests drive with."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from envloop.baselines.policies import follower
from envloop.baselines.route_follower import RouteFollower
from envloop.env import CarlaEnv


def real_town01() -> Path | None:
    """CARLA's own Town01, where the machine has it."""
    folder = os.environ.get("AVTD3_XODR_DIR", "")
    path = Path(folder) / "Town01.xodr"
    return path if folder and path.is_file() else None


def follow_route(env: CarlaEnv, steps: int = 100_000) -> dict[str, Any]:
    """Drives the running episode with PID and pure pursuit; the last info."""
    act, info = follower(env, 0), {}
    for _ in range(steps):
        _, _, terminated, truncated, info = env.step(act(None))
        if terminated or truncated:
            break
    return info


def driver_action(env: CarlaEnv, driver: RouteFollower) -> np.ndarray:
    episode, route_task = env.episode, env.route_task
    target = route_task.profile.at(episode.projection.s)
    return driver.act(
        episode.ego, route_task.route, episode.projection, target, env.config.decision_s, episode.lead.gap_m
    )
