"""Evaluation episodes: a policy without noise, from the beginning, in episodes that training never saw."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np

from avtd3_jax.evaluation.recordings import Recordings
from avtd3_jax.seeding import RunStream, episode_seed
from envloop.baselines.policies import Policy, PolicyMaker
from envloop.config import EnvConfig
from envloop.description import EnvDescription
from envloop.drawing.birdseye import thin_track
from envloop.errors import SimulatorError
from envloop.make import AnyEnvConfig, describe
from envloop.suites import SuiteTown, load_suite

StepHook = Callable[[gym.Env, np.ndarray, Mapping[str, Any]], None]
Metrics = dict[str, Any]

_LOST_LIMIT = 3  # times that one episode is begun again after its simulator died


def always(policy: Policy) -> PolicyMaker:
    """The same policy in every episode, for one without memory."""
    return lambda env, seed: policy


def evaluate(
    env: gym.Env,
    config: AnyEnvConfig,
    make_policy: PolicyMaker,
    episodes: int,
    seed: int,
    on_step: StepHook | None = None,
    part: SuiteTown | None = None,
    recordings: Recordings | None = None,
) -> Iterator[Metrics]:
    """Yields the metrics of `episodes` evaluation episodes of the run seed `seed`, none of which training ever saw.

    With a part of a suite, of as many on each of its routes, in rounds. The i-th episode is the same for every policy.
    `config` is that of `env`. With `recordings`, driving episodes are recorded there.
    """
    routes: Sequence[str | None] = [None] if part is None else part.route_names()
    first, stride = (0, 1) if part is None else (part.first, len(load_suite(part.suite).routes))
    for i in range(episodes):
        for j, route in enumerate(routes):
            number = i * stride + first + j
            of_episode = episode_seed(seed, RunStream.EVALUATION, number)
            recorded = _Recorded(recordings, number) if recordings and isinstance(config, EnvConfig) else None
            yield drive(env, config, make_policy, of_episode, on_step, route, recorded)


def drive(
    env: gym.Env,
    config: AnyEnvConfig,
    make_policy: PolicyMaker,
    seed: int,
    on_step: StepHook | None = None,
    route: str | None = None,
    recorded: "_Recorded | None" = None,
) -> Metrics:
    """One episode, its metrics. The driving task begins at the start of `route` (None: the environment's own), at rest.

    An episode is a pure function of its seed, so one whose simulator dies is driven again from its beginning.

    Raises:
      SimulatorError: the simulator died in every attempt.
    """
    options: dict[str, Any] | None = None
    if isinstance(config, EnvConfig):
        options = {"start": "beginning", **({} if route is None else {"route": route})}
        options |= recorded.recordings.options if recorded else {}
    for attempt in range(_LOST_LIMIT):
        try:
            return _drive_once(env, make_policy, seed, on_step, options, recorded)
        except SimulatorError:
            if attempt == _LOST_LIMIT - 1:
                raise
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class _Recorded:
    """Where the recording of an episode goes, and the episode's number there."""

    recordings: Recordings
    number: int


def _drive_once(
    env: gym.Env,
    make_policy: PolicyMaker,
    seed: int,
    on_step: StepHook | None,
    options: dict[str, Any] | None,
    recorded: _Recorded | None,
) -> Metrics:
    obs, info = env.reset(seed=seed, options=options)
    if recorded is not None:
        recorded.recordings.began(info)
    policy = make_policy(cast(Any, env), seed)  # a scripted one looks into its own environment
    keys = describe(env)
    total, length, track = 0.0, 0, [_place(info, keys)]
    while True:
        action = policy(obs)
        obs, reward, terminated, truncated, info = env.step(action)
        total, length = total + float(reward), length + 1
        track.append(_place(info, keys))
        if on_step is not None:
            on_step(env, action, info)
        if terminated or truncated:
            break
    places = [place for place in track if place is not None]
    driven = {"track": thin_track(places)} if places else {}
    metrics = info[keys.episode_metrics_key] if keys.episode_metrics_key else {}
    shown = recorded.recordings.ended(recorded.number, info) if recorded is not None else {}
    return {"seed": seed, "return": total, "length": length, **metrics, **driven, **shown}


def _place(info: Mapping[str, Any], keys: EnvDescription) -> tuple[float, float] | None:
    """Where the ego is on the map, where there is one."""
    return (info[keys.pose_key]["x"], info[keys.pose_key]["y"]) if keys.pose_key else None
