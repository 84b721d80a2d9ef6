"""A run's configuration as one typed whole; learner and world meet here and in the commands alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.saved_config import as_of_today
from avtd3_jax.settings.schema import ExplorationConfig, ReplayConfig, ScheduleConfig, build
from envloop.config import EMBEDDED, EnvConfig

# A resumed run may differ from the one that it continues in these alone: none changes what has been learned so far.
CHANGEABLE_ON_RESUME = (
    "total_steps",
    "log_every",
    "checkpoint_every",
    "checkpoints_kept",
    "debug",
    "debug_every",
    "device",
    "profile",
    "sim",
    "warn_window",
)


@dataclasses.dataclass(frozen=True)
class RunConfig(ScheduleConfig):
    """Everything a run is told.

    Attributes:
      seed: of parameters, exploration, replay, every episode.
      device: "auto", "cpu" or "gpu".
      debug: look inside the network every `debug_every` steps.
      num_envs: environments, each with its own simulator; several run in a process each.
      profile: write a trace of some steps once learning has begun.
      agent, exploration, replay, env: see the classes; the file's `sim` and `scenario` are part of `env`.
    """

    seed: int
    device: str
    debug: bool
    num_envs: int
    profile: bool
    agent: TD3Config
    exploration: ExplorationConfig
    replay: ReplayConfig
    env: EnvConfig

    def environments(self) -> tuple[EnvConfig, ...]:
        """One configuration per environment: `env`, each with one of the endpoints.

        Raises:
          ValueError: the number of endpoints is another, or one is given twice.
        """
        endpoints = self.env.simulator.endpoint.split(",")
        if endpoints == [EMBEDDED]:
            return (self.env,) * self.num_envs
        if len(endpoints) != self.num_envs:
            raise ValueError(
                f"num_envs is {self.num_envs} and sim.endpoint names {len(endpoints)} simulators: give as many, "
                "separated by commas; one simulator serves one environment."
            )
        if len(set(endpoints)) < len(endpoints):
            raise ValueError("sim.endpoint names a simulator twice: one simulator serves one environment.")
        simulators = [dataclasses.replace(self.env.simulator, endpoint=endpoint) for endpoint in endpoints]
        return tuple(dataclasses.replace(self.env, simulator=simulator) for simulator in simulators)


def parse(values: Mapping[str, Any]) -> RunConfig:
    """The typed configuration of a config file's values (nested mappings).

    Raises:
      ConfigError: in one plain sentence, what is wrong with which key.
    """
    values = dict(values)
    for key in ("env", "sim", "scenario"):
        if key not in values:
            raise ConfigError(f"config.{key} is missing: add it to the config file.")
    env = {**values.pop("env"), "simulator": values.pop("sim"), "scenario": values.pop("scenario")}
    run = build(RunConfig, {**values, "env": env})
    if run.num_envs < 1:
        raise ConfigError(f"config.num_envs is {run.num_envs}: it must be at least 1.")
    try:
        for env_config in run.environments():
            env_config.validate()
    except ValueError as error:
        raise ConfigError(f"config: {error}") from error
    if run.updates_per_dispatch > 1 and run.updates_per_dispatch % run.agent.policy_delay:
        raise ConfigError(
            f"config.updates_per_dispatch is {run.updates_per_dispatch}: it must be 1 or a multiple of "
            f"config.agent.policy_delay, which is {run.agent.policy_delay}."
        )
    if run.replay.capacity < run.batch_size:
        raise ConfigError(
            f"config.replay.capacity is {run.replay.capacity}, less than one batch of {run.batch_size}: raise it."
        )
    return run


def changed_keys(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Dotted names of the keys in which two configurations differ, read as today's; not those that a resumed run may
    change."""
    changed = _differing(as_of_today(saved), as_of_today(wanted))
    return [key for key in changed if key.partition(".")[0] not in CHANGEABLE_ON_RESUME]


def _differing(saved: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "") -> list[str]:
    keys = []
    for name in sorted({*saved, *wanted}):
        before, now = saved.get(name), wanted.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            keys += _differing(before, now, f"{where}{name}.")
        elif before != now:
            keys.append(f"{where}{name}")
    return keys
