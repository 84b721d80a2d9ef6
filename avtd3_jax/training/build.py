"""From a configuration to a trainer: the one place where a run is put together, for commands and benchmarks alike."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax

from avtd3_jax.agent.interface import Agent, TrainState
from avtd3_jax.agent.placement import Placement
from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.analysis.introspection import Introspection
from avtd3_jax.analysis.profiling import ProfileWindow
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.acting_apart import ActingApart
from avtd3_jax.training.interfaces import EnvDescription, Updates
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.logs import RunLog
from avtd3_jax.training.monitors import Monitors
from avtd3_jax.training.phases import PhaseTimer
from avtd3_jax.training.telemetry import Telemetry
from avtd3_jax.training.trainer import Policy, Trainer


@dataclass(frozen=True)
class Parts:
    """What learns, and from what."""

    agent: Agent
    replay: FrameReplay


def build_parts(
    run: RunConfig, observation_space: gym.Space, action_space: gym.Space, placement: Placement | None = None
) -> Parts:
    """Agent and empty replay for environments of these spaces; `placement` where several devices compute.

    Raises:
      ConfigError, InputError: the configuration does not fit the spaces, or the replay the machine's memory.
    """
    obs_spec, action_spec = ObsSpec.from_space(observation_space), ActionSpec.from_space(action_space)
    agent = make_agent(run.algorithm, obs_spec, action_spec, run.agent, placement)
    replay = FrameReplay(
        obs_spec,
        action_spec,
        run.replay.capacity,
        run.num_envs,
        run.world_seed,
        n_step=run.replay.n_step,
        gather_threads=run.replay.gather_threads,
    )
    return Parts(agent, replay)


def build_learner(
    run: RunConfig,
    parts: Parts,
    timer: PhaseTimer,
    state: TrainState | None = None,
    kind: Callable[..., Learner] = Learner,
) -> Learner:
    """What applies the updates, which compile while the caller goes on. Close it at the end.

    `state` is where it begins: a checkpoint's, or a fresh one; `kind` is its class.
    """
    placement = parts.agent.placement
    source = DeviceReplay(parts.replay, placement) if run.replay.device_resident else parts.replay
    place = jax.device_put if placement is None else placement.shard
    if placement is not None and run.hosts.count > 1:  # what is small of a batch does not find its way alone
        part = run.batch_size // run.hosts.count
        batches = Prefetcher(lambda: placement.shard(source.sample(part)), run.replay.prefetch, lambda placed: placed)
    else:
        batches = Prefetcher(lambda: source.sample(run.batch_size), run.replay.prefetch, place)
    state = parts.agent.init(run.seed) if state is None else state
    learner = kind(parts.agent, state, batches, timer, run.updates_per_dispatch, run.overlap)
    if run.exploration_steps < run.total_steps:
        learner.prepare(run.batch_size, run.num_envs, run.replay.n_step)
    return learner


def build_trainer(
    run: RunConfig,
    parts: Parts,
    learner: Updates,
    env: EnvDescription,
    *,
    workdir: Path,
    log: RunLog,
    checkpoints: Checkpoints,
    timer: PhaseTimer,
    stack: ExitStack,
    evaluate: Callable[[Policy, int], Mapping[str, Any]],
    clock: Callable[[], float],
    description: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda sentence: None,
    publish: Callable[[Any], Any] | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Trainer:
    """The trainer of a run; what it opens is closed by `stack`.

    Args:
      run: the configuration.
      parts, learner: what was built before.
      env: what the environments declare.
      workdir: a trace is written there, where one is asked for.
      log, checkpoints, timer, evaluate, description, clock: see Trainer.
      report: told in a sentence of what goes wrong.
      publish: puts parameters where the environments can read them, where these act for themselves.
      tell: told where a trace lies.
    """
    ours = isinstance(learner, Learner)
    introspection = Introspection(parts.agent, parts.agent.init(run.seed).params) if run.debug and ours else None
    profile = ProfileWindow(workdir / "profile", tell) if run.profile else None
    if profile is not None:
        stack.callback(profile.close)
    apart = fleet = None
    if publish is not None:
        assert isinstance(learner, Learner)
        limits = run.num_envs, run.fleet.chunk_steps, run.fleet.max_lag_updates, run.updates_per_step
        apart = ActingApart(*limits, learner.acting_params, publish, report)
        fleet = apart.collect
    return Trainer(
        schedule=run,
        exploration=run.exploration,
        seed=run.world_seed,
        learner=learner,
        replay=parts.replay,
        info_keys=env,
        log=log,
        telemetry=Telemetry(run, log, timer, parts.agent if ours else None, introspection, profile, fleet),
        checkpoints=checkpoints,
        timer=timer,
        evaluate=evaluate,
        description=description or {},
        monitors=Monitors(run.warn_window, run.agent.gamma, env.action_names, lambda text: report(f"warning: {text}")),
        clock=clock,
        report=report,
        apart=apart,
        catches_up=run.hosts.count > 1,
    )
