"""From a command line to a policy and the environment that it is to drive in."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import gymnasium as gym
import jax
import numpy as np
from absl import logging

from avtd3_jax import runtime
from avtd3_jax.agent.interface import Agent, Params
from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError
from avtd3_jax.evaluation.episodes import always
from avtd3_jax.evaluation.report import NETWORK
from avtd3_jax.policies.files import StoredPolicy, is_policy, read_policy
from avtd3_jax.settings.config_file import load, with_changes
from avtd3_jax.settings.run_config import RunConfig, file_values, parse_saved
from avtd3_jax.settings.schema import MonitorConfig
from avtd3_jax.training.header import simulator_name
from envloop.baselines.policies import SCRIPTED, PolicyMaker
from envloop.config import EnvConfig
from envloop.make import describe, make_env, simulator_of, spaces_of
from envloop.suites import SuiteTown
from envloop.task.scenario import SCENARIOS

# What a checkpoint may be driven with otherwise than it was trained: a short map needs short routes, other weathers and
# a blank picture ask what it has learned.
_FREE = ("env.random_route.min_m", "env.random_route.max_m", "env.weather", "env.picture")


@dataclasses.dataclass(frozen=True)
class Network:
    """A checkpoint's policy; `step` is the environment step that it was saved at."""

    agent: Agent
    params: Params
    step: int

    def act(self, obs: Any) -> np.ndarray:
        """The action [A], without noise."""
        return self.agent.act(self.params, obs)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A policy, and the environment that it is to drive in.

    run: the run's configuration, with what the command line sets otherwise.
    seed: of the episodes.
    network: None where a scripted policy drives.
    changes: config keys that the command line sets.
    simulator: which one it is, for a file of results.
    decision_s: simulated seconds from one action to the next.
    """

    run: RunConfig
    seed: int
    env: gym.Env
    make_policy: PolicyMaker
    network: Network | None
    changes: Mapping[str, str | bool]
    simulator: Mapping[str, Any]
    decision_s: float


@contextmanager
def opened(args: argparse.Namespace, *, render: bool, part: SuiteTown | None = None) -> Iterator[Opened]:
    """Opens what the command line names, and says what runs where; the environment is closed afterwards.

    Args:
      args: `checkpoint`, `config` and its `changes`, `policy`, `route`, and the options of `add_shared_options`.
      part: what is driven of a suite; its town is loaded.

    Raises:
      Avtd3Error, EnvLoopError: with one plain sentence.
    """
    _check_changes(args)
    logging.set_verbosity(logging.ERROR)  # orbax warns of older checkpoints that they do not say where they were
    with ExitStack() as stack:
        saved = _saved(args, stack)
        run = _overridden(_told(args, saved), args, part)
        seed = run.seed if args.seed is None else args.seed
        network, driver = None, args.policy
        if args.policy == NETWORK:
            assert saved is not None
            device = runtime.setup(args.device, option="--device").device
            network = restored(run, saved, args.step)
            driver = f"{NETWORK} of {args.checkpoint} at step {network.step}, on {device}"
        run = as_driven(run)
        env = make_env(run.env, render)
        stack.callback(env.close)
        description = describe(env)
        simulator = simulator_of(description)
        print(f"policy     {driver}")
        print(f"simulator  {simulator_name(description.simulator)}")
        scenario = f", scenario {run.env.scenario}" if isinstance(run.env, EnvConfig) else ""
        print(
            f"task       {f'suite {part.suite} in {part.town}{scenario}' if part else description.task}, seed {seed}",
            flush=True,
        )
        make_policy = always(network.act) if network else SCRIPTED[args.policy]
        yield Opened(run, seed, env, make_policy, network, args.changes, simulator, description.decision_s)


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """What every command that drives a checkpoint can be told."""
    parser.add_argument("--step", type=int, help="which checkpoint (default: the last one)")
    parser.add_argument("--seed", type=int, help="of the evaluation episodes (default: the run's)")
    parser.add_argument("--scenario", help=f"{', '.join(SCENARIOS)} (default: as trained)")
    parser.add_argument("--sim.endpoint", dest="endpoint", help="embedded, or HOST:PORT (default: as trained)")
    parser.add_argument("--sim.xodr", dest="xodr", help="an OpenDRIVE file to drive on (default: as trained)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))


def _check_changes(args: argparse.Namespace) -> None:
    own = [key for key in args.changes if key not in _FREE]
    if own and args.config is None:
        raise ConfigError(
            f"--config.{own[0]} belongs to --config FILE: a checkpoint has its own task, but for {', '.join(_FREE)}."
        )


def _saved(args: argparse.Namespace, stack: ExitStack) -> Checkpoints | StoredPolicy | None:
    """What --checkpoint names: a run's checkpoints, or a policy's folder."""
    if args.checkpoint is None:
        return None
    if not is_policy(args.checkpoint):
        return stack.enter_context(Checkpoints(args.checkpoint / "checkpoints", read_only=True))
    if args.step is not None:
        raise ConfigError(f"--step: {args.checkpoint} holds one policy and no run: leave it out.")
    return read_policy(args.checkpoint)


def _told(args: argparse.Namespace, saved: Checkpoints | StoredPolicy | None) -> RunConfig:
    """The configuration of the run or the file, with the keys that the command line sets."""
    if saved is None:
        return load(args.config, args.changes)
    run = parse_saved(saved.config if isinstance(saved, StoredPolicy) else saved.extras(args.step)["config"])
    run = dataclasses.replace(run, monitor=MonitorConfig())  # the live page is the training's
    return with_changes(file_values(run), args.changes) if args.changes else run


def restored(run: RunConfig, saved: Checkpoints | StoredPolicy, step: int | None) -> Network:
    """The policy of a run's checkpoint, the last one unless `step` is given; or of a policy's folder, which has no more
    than what acts.

    Raises:
      CheckpointError: there is none, it is damaged, or of another architecture than `run` says.
    """
    # What the run began with is in the checkpoint; the file need not be there any more.
    config = dataclasses.replace(run.agent, encoder_weights="")
    observations, actions = spaces_of(run.env)
    specs = ObsSpec.from_space(observations), ActionSpec.from_space(actions)
    agent = make_agent(run.algorithm, *specs, config)
    if isinstance(saved, StoredPolicy):
        template = jax.eval_shape(lambda: agent.init(run.seed)).params
        return Network(agent, saved.params(agent.acting_params(template)), saved.step)
    found, params, _ = saved.restore_params(agent.init(run.seed).params, step)
    return Network(agent, params, found)


def as_driven(run: RunConfig) -> RunConfig:
    """The run with environments to be driven in: without what is for learning alone, and no end at a red light."""
    if isinstance(run.env, EnvConfig):
        driven = dataclasses.replace(run.env, privileged=False, columns=False, rules=False, expert="", passers_by=0)
        return dataclasses.replace(run, env=driven)
    return run


def _overridden(run: RunConfig, args: argparse.Namespace, part: SuiteTown | None) -> RunConfig:
    """The run's configuration with what the command line sets otherwise."""
    simulator = {name: value for name in ("endpoint", "xodr") if (value := getattr(args, name)) is not None}
    env = {name: value for name in ("scenario", "route") if (value := getattr(args, name)) is not None}
    if part is not None:
        simulator["town"] = part.town
        env["route"] = part.route_names()[0]
    first = run.environments()[0]
    if not isinstance(first, EnvConfig):
        if simulator or env:
            named = ", ".join(f"--{'sim.' if name in simulator else ''}{name}" for name in (*simulator, *env))
            raise ConfigError(f"{named}: the run's environment is Gymnasium's {first.id}, which has no such setting.")
        return run
    changed = dataclasses.replace(first, simulator=dataclasses.replace(first.simulator, **simulator), **env)
    changed.validate()
    return dataclasses.replace(run, env=changed)
