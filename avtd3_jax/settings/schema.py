"""The settings of a run that are neither the agent's nor the environment's: exploration, replay, schedule.

Here and in the other configuration classes lies every default value, and nowhere else. A class checks its own values
and says in a ConfigError, which begins with the field's name, what is wrong.
"""

import dataclasses
import re

from avtd3_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ExplorationConfig:
    """How actions are drawn before the policy has learned, and the noise on it afterwards.

    Attributes:
      mean: centre of the exploration actions, per action dimension, or one value for all. The default is steer, then
        throttle (> 0) or brake, and leans forward: uniform throttle and brake cancel out and the car stays parked.
      std: their standard deviation, likewise.
      correlation: of consecutive actions (first-order autoregression); white noise averages out within a car's inertia.
      policy_noise: standard deviation of the Gaussian noise added to the policy's action while learning (TD3: 0.1).
    """

    mean: tuple[float, ...] = (0.0, 0.4)
    std: tuple[float, ...] = (0.1, 0.4)
    correlation: float = 0.9
    policy_noise: float = 0.1

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty: give one value, or one per action dimension.")
        if len(self.mean) != len(self.std) and min(len(self.mean), len(self.std)) > 1:
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}: give one each, or one per action dimension."
            )
        if not 0.0 <= self.correlation < 1.0:
            raise ConfigError(f"correlation is {self.correlation}: choose a value in [0, 1).")
        if min(self.std) < 0.0:
            raise ConfigError(f"std is {self.std}: a standard deviation must not be negative.")
        if self.policy_noise < 0.0:
            raise ConfigError(f"policy_noise is {self.policy_noise}: it must not be negative.")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Where transitions wait, how they are sampled, and how they come to the learner.

    Attributes:
      capacity: transitions held.
      prefetch: batches prepared ahead on the device (0: sampled on demand).
      n_step: rewards in a TD target before it bootstraps, fewer at an episode's end; 1 in TD3, 3 in DrQ-v2. With 3,
        each of three seeds learned route 0 sooner than with 1 (results/README.md, ablations).
      gather_threads: threads that copy a batch's frames; on a CPU one is enough, a GPU can ask for more.
      device_resident: hold the frames on the device too, so that only their indices travel.
    """

    capacity: int = 100_000
    prefetch: int = 0
    n_step: int = 3
    gather_threads: int = 1
    device_resident: bool = False

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ConfigError(f"capacity is {self.capacity}: it must hold at least one batch.")
        if self.prefetch < 0:
            raise ConfigError(f"prefetch is {self.prefetch}: give 0 or more batches.")
        for name in ("n_step", "gather_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """The live page of a run, to look at with a browser.

    Attributes:
      port: where it is served while the run lasts (0: no such page).
      host: address that it is served at; the default can be reached from this machine alone.
      pictures_per_s: pictures of each environment in a second, at most.
    """

    port: int = dataclasses.field(default=0, metadata={"before": 0})
    host: str = dataclasses.field(default="127.0.0.1", metadata={"before": "127.0.0.1"})
    pictures_per_s: float = dataclasses.field(default=2.0, metadata={"before": 2.0})

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}: it must be 0 (no page) to 65535.")
        if not self.host:
            raise ConfigError("host is empty: give 127.0.0.1, or 0.0.0.0 for every network of this machine.")
        if not 0.1 <= self.pictures_per_s <= 10.0:
            raise ConfigError(f"pictures_per_s is {self.pictures_per_s}: it must be 0.1 to 10.")


@dataclasses.dataclass(frozen=True)
class HostsConfig:
    """Several hosts that learn one policy: each runs the command, with its own number and its own run directory.

    Attributes:
      count: hosts; each has its own environments and replay, makes `total_steps` steps, and gives its part of
        every batch.
      number: of this host, from 0. The first one alone evaluates; other ones draw other episodes.
      coordinator: HOST:PORT of the first one, where they meet.
      start_timeout_s: within which all hosts have to be there.
    """

    count: int = dataclasses.field(default=1, metadata={"before": 1})
    number: int = dataclasses.field(default=0, metadata={"before": 0})
    coordinator: str = dataclasses.field(default="", metadata={"before": ""})
    start_timeout_s: float = dataclasses.field(default=600.0, metadata={"before": 600.0})

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count is {self.count}: it must be at least 1.")
        if not 0 <= self.number < self.count:
            raise ConfigError(f"number is {self.number}: it must be 0 to {self.count - 1}, one less than hosts.count.")
        if (self.count > 1) != bool(self.coordinator):
            raise ConfigError(
                f"coordinator is {self.coordinator!r} and hosts.count {self.count}: give HOST:PORT of the first host "
                "where there are several, and nothing for one."
            )
        if self.coordinator and not re.fullmatch(r".+:\d{1,5}", self.coordinator):
            raise ConfigError(f"coordinator is {self.coordinator!r}: it must be HOST:PORT, such as 10.0.0.1:7777.")
        if not self.start_timeout_s >= 1.0:
            raise ConfigError(f"start_timeout_s is {self.start_timeout_s}: it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """What happens at which environment step.

    Attributes:
      total_steps: environment steps (decisions) of the run.
      exploration_steps: steps before the first update; actions come from the exploration policy. A thousand is enough
        to begin with: a policy that fails sees more of what matters.
      updates_per_step: TD3 updates per environment step once learning.
      updates_per_dispatch: updates that are computed as one executable, once so many are due; 1, or a multiple of the
        policy delay. 8 or so pays on a GPU, where dispatching an update costs as much as computing it.
      overlap: act with the parameters from before the update under way, one dispatch old, so that the environment
        need not wait for it; False for the latest, which does wait (lock-step). Either way one seed gives one run.
      batch_size: transitions per update. On a CPU, many small updates beat few large ones.
      log_every: steps between two TensorBoard points of the learner.
      eval_every: steps between evaluations, made at an episode's end (0: none).
      eval_episodes: episodes of each.
      checkpoint_every: steps between checkpoints, written at the next episode's end: 1 for one after every episode, 0
        for none but the last. What a signal or an error ends is saved up to its last whole episode, whatever this says.
      checkpoints_kept: older ones are removed.
      debug_every: steps between two looks inside the network with debug=True.
      warn_window: steps over which training looks for a saturated policy and a parked car.
    """

    total_steps: int = 15_000
    exploration_steps: int = 1_000
    updates_per_step: float = 1.0
    updates_per_dispatch: int = 1
    overlap: bool = False
    batch_size: int = 64
    log_every: int = 100
    eval_every: int = 1_000
    eval_episodes: int = 5
    checkpoint_every: int = 1
    checkpoints_kept: int = 3
    debug_every: int = 200
    warn_window: int = 1_000

    def __post_init__(self) -> None:
        at_least_one = ("total_steps", "updates_per_dispatch", "batch_size", "log_every", "eval_episodes")
        for name in (*at_least_one, "checkpoints_kept", "debug_every", "warn_window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("exploration_steps", "eval_every", "checkpoint_every", "updates_per_step"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must not be negative.")
