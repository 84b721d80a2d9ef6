"""A run's configuration as one typed whole; learner and world meet here and in the commands alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from ml_collections import ConfigDict

from avtd3_jax.agent.config import TD3Config
from avtd3_jax.agent.registry import Algorithm, algorithm
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings import migration
from avtd3_jax.settings.build import as_values, build, convert, plain
from avtd3_jax.settings.keys import Key, in_keys, keys, leaves, refuse_unknown
from avtd3_jax.settings.schema import ExplorationConfig, HostsConfig, MonitorConfig, ReplayConfig, ScheduleConfig
from envloop.config import EMBEDDED, EnvConfig, GymEnvConfig, SimulatorConfig
from envloop.errors import TaskError
from envloop.task.affordances import COLUMN_KINDS
from envloop.workers.fleet import FleetConfig

# A resumed run may differ from the one that it continues in these alone: none changes what has been learned so far.
CHANGEABLE_ON_RESUME = (
    "total_steps",
    "log_every",
    "checkpoint_every",
    "checkpoints_kept",
    "debug",
    "debug_every",
    "device",
    "devices",
    "fleet",
    "hosts",
    "monitor",
    "profile",
    "sim",
    "warn_window",
)


_HOSTS_APART = 0x9E3779B9  # seeds of the hosts of runs whose seeds are small numbers do not meet


@dataclasses.dataclass(frozen=True)
class RunConfig(ScheduleConfig):
    """Everything a run is told.

    Attributes:
      seed: of parameters, exploration, replay and every episode: one seed, one run.
      device: what the learner computes on; "auto" takes a GPU where there is one.
      devices: of those, how many compute an update together, or "all" of them: each takes its part of the batch.
      debug: look inside the network every `debug_every` steps.
      num_envs: environments, each with its own simulator; several run in a process each.
      profile: write a trace of 200 steps once learning has begun.
      algorithm: what learns, by its name in `avtd3_jax.agent.registry`; it owns the keys of `agent`.
      agent, exploration, replay, monitor, fleet, hosts: see the classes.
      env: the driving task, whose discount is the agent's; or an environment of Gymnasium's registry.

    Raises:
      ConfigError: values do not go together; the sentence begins with a key.
    """

    seed: int = 42
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: str = dataclasses.field(default="1", metadata={"before": "1"})
    debug: bool = False
    num_envs: int = 1
    profile: bool = False
    algorithm: str = dataclasses.field(default="td3", metadata={"before": "td3"})
    agent: TD3Config = dataclasses.field(default_factory=TD3Config)
    exploration: ExplorationConfig = dataclasses.field(default_factory=ExplorationConfig)
    replay: ReplayConfig = dataclasses.field(default_factory=ReplayConfig)
    monitor: MonitorConfig = dataclasses.field(default_factory=MonitorConfig)
    fleet: FleetConfig = dataclasses.field(default_factory=FleetConfig)
    hosts: HostsConfig = dataclasses.field(default_factory=HostsConfig)
    env: EnvConfig | GymEnvConfig = dataclasses.field(default_factory=EnvConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}: it must be 0 to {2**32 - 1}.")
        if self.devices != "all" and not (self.devices.isdecimal() and int(self.devices) >= 1):
            raise ConfigError(f"devices is {self.devices!r}: give a number from 1, or all.")
        try:
            self.fleet.validate()
        except TaskError as error:
            raise ConfigError(str(error)) from error
        if self.num_envs < 1:
            raise ConfigError(f"num_envs is {self.num_envs}: it must be at least 1.")
        if self.updates_per_dispatch > 1 and self.updates_per_dispatch % self.agent.policy_delay:
            raise ConfigError(
                f"updates_per_dispatch is {self.updates_per_dispatch}: it must be 1 or a multiple of "
                f"config.agent.policy_delay, which is {self.agent.policy_delay}."
            )
        if self.fleet.acts_apart and self.fleet.max_lag_updates < self.updates_per_dispatch:
            raise ConfigError(
                f"fleet.max_lag_updates is {self.fleet.max_lag_updates}: it must be 0, or at least "
                f"updates_per_dispatch, which is {self.updates_per_dispatch}."
            )
        if self.hosts.count > 1 and (self.devices != "all" or self.replay.device_resident):
            raise ConfigError(
                f"hosts.count is {self.hosts.count}: all devices of all hosts compute then, so set devices=all, and "
                "frames lie in each host's own memory, so leave replay.device_resident False."
            )
        if self.replay.capacity < self.batch_size:
            raise ConfigError(
                f"replay.capacity is {self.replay.capacity}, less than one batch of {self.batch_size}: raise it."
            )
        if isinstance(self.env, EnvConfig):
            seen = self.monitor.pictures_per_s if self.monitor.port else 0.0
            if self.env.columns and self.agent.columns not in (0, len(COLUMN_KINDS)):
                raise ConfigError(
                    f"agent.columns is {self.agent.columns} and env.columns tells {len(COLUMN_KINDS)} numbers of each "
                    f"column ({', '.join(COLUMN_KINDS)}): set agent.columns to {len(COLUMN_KINDS)}, or to 0."
                )
            env = dataclasses.replace(self.env, discount=self.agent.gamma, pictures_per_s=seen)
            object.__setattr__(self, "env", env)

    @property
    def world_seed(self) -> int:
        """Of what this host draws for itself: episodes, exploration, batches. The first host's is `seed`."""
        return (self.seed + self.hosts.number * _HOSTS_APART) % 2**32

    @property
    def driving(self) -> EnvConfig:
        """`env`, for what works with the driving task alone. Raises ConfigError where it is another environment."""
        if not isinstance(self.env, EnvConfig):
            raise ConfigError(f"env.id is {self.env.id!r}: this works with the driving task alone.")
        return self.env

    def environments(self) -> tuple[EnvConfig, ...] | tuple[GymEnvConfig, ...]:
        """One configuration per environment: `env`, each with one of the endpoints where it has a simulator.

        Raises:
          ConfigError: the number of endpoints is another, or one is given twice.
        """
        if isinstance(self.env, GymEnvConfig):
            return (self.env,) * self.num_envs
        endpoints = self.env.simulator.endpoint.split(",")
        if endpoints == [EMBEDDED]:
            return (self.env,) * self.num_envs
        if len(endpoints) != self.num_envs:
            raise ConfigError(
                f"num_envs is {self.num_envs} and config.sim.endpoint names {len(endpoints)} simulators: give as "
                "many, separated by commas; one simulator serves one environment."
            )
        if len(set(endpoints)) < len(endpoints):
            raise ConfigError("sim.endpoint names a simulator twice: one simulator serves one environment.")
        simulators = [dataclasses.replace(self.env.simulator, endpoint=endpoint) for endpoint in endpoints]
        return tuple(dataclasses.replace(self.env, simulator=simulator) for simulator in simulators)


def default_config(env: EnvConfig | GymEnvConfig | None = None) -> ConfigDict:
    """Every key at its default, for a configuration file to change; with the driving task, or another environment."""
    return ConfigDict(file_values(RunConfig() if env is None else RunConfig(env=env)))


def file_values(run: RunConfig) -> dict[str, Any]:
    """The nested plain values that `parse` makes `run` of."""
    values: dict[str, Any] = as_values(run)
    if isinstance(run.env, EnvConfig):
        values["sim"] = values["env"].pop("simulator")
        values["scenario"] = values["env"].pop("scenario")
    return values


def keys_of(values: Mapping[str, Any]) -> Mapping[str, Key]:
    """The keys that a configuration can have: those of the driving task, or of a Gymnasium environment's `env.id`."""
    env = values.get("env")
    agent: type = _algorithm(values).config
    return keys(RunConfig, agent, GymEnvConfig if isinstance(env, Mapping) and "id" in env else EnvConfig)


def parse(values: Any) -> RunConfig:
    """The typed configuration of nested values: mappings, also ml_collections'. Keys that are missing have defaults.

    Raises:
      ConfigError: in one plain sentence, what is wrong with which key.
    """
    values = plain(values)
    if not isinstance(values, Mapping):
        raise ConfigError(f"config is {values!r}: it must be a mapping of keys to values.")
    known = keys_of(values)
    refuse_unknown((name for name, _ in leaves(values)), known)
    values = dict(values)
    try:
        env, agent = _environment(values), build(_algorithm(values).config, values.pop("agent", {}), "config.agent")
        run = build(RunConfig, {**values, "agent": agent, "env": env})
        for one in run.environments():
            one.validate()
    except TaskError as error:
        raise ConfigError(in_keys(str(error))) from error
    return run


def _algorithm(values: Mapping[str, Any]) -> Algorithm:
    return algorithm(values.get("algorithm", RunConfig.algorithm))


def _environment(values: dict[str, Any]) -> EnvConfig | GymEnvConfig:
    """The environment that `values` say, whose keys are taken out of them."""
    env = values.pop("env", {})
    if isinstance(env, Mapping) and "id" in env:
        return build(GymEnvConfig, env, "config.env")
    if not isinstance(env, Mapping):
        raise ConfigError(f"config.env is {env!r}: it must hold keys, such as config.env.route.")
    parts: dict[str, Any] = {}
    if "sim" in values:
        parts["simulator"] = build(SimulatorConfig, values.pop("sim"), "config.sim")
    if "scenario" in values:
        parts["scenario"] = convert(str, values.pop("scenario"), "config.scenario")
    return build(EnvConfig, {**env, **parts}, "config.env")


def parse_saved(saved: Mapping[str, Any]) -> RunConfig:
    """The typed configuration that a run saved, maybe of an earlier version.

    Raises:
      ConfigError: it lacks a key whose value from before is unknown, or has one that there is no more.
    """
    return parse(migration.completed(saved, keys_of(saved)))


def changed_keys(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys in which a saved configuration and another differ, with both values; not those that a resumed run may
    change. Either may be of an earlier version.

    Raises:
      ConfigError: one of them lacks a key whose value from before is unknown.
    """
    before, now = (dict(leaves(migration.completed(values, keys_of(values)))) for values in (saved, wanted))
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return {
        name: (before.get(name), now.get(name))
        for name in changed
        if name.partition(".")[0] not in CHANGEABLE_ON_RESUME
    }
