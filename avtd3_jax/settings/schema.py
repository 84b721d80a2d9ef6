"""Run configuration: from an ml_collections file with command-line overrides to frozen, typed dataclasses.

Every key of the file must be a field of a dataclass and every field must be in the file, so an unknown key is an error;
that every field is used is a matter of the sources, and a test looks there.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from avtd3_jax.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Makes the frozen dataclass `cls` of `values`, recursively.

    Raises:
      ConfigError: a key is unknown, missing or of the wrong type, or the dataclass refuses a value.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise ConfigError(f"{where}.{unknown[0]} is read by nothing: remove it, or use one of {', '.join(fields)}.")
    if missing := sorted(set(fields) - set(values)):
        raise ConfigError(f"{where}.{missing[0]} is missing: add it to the config file.")
    converted = {name: _convert(hints[name], values[name], f"{where}.{name}") for name in fields}
    try:
        return cls(**converted)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (hint,) = [a for a in args if a is not type(None)]
        return _convert(hint, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where} is {value!r}: choose one of {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ConfigError(f"{where} is {value!r}: give {len(args)} values.")
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_convert(kind, v, f"{where}[{i}]") for i, (kind, v) in enumerate(zip(kinds, value, strict=True)))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} is {value!r}: it must be of type {hint.__name__}.")
    return value


@dataclasses.dataclass(frozen=True)
class ExplorationConfig:
    """How actions are drawn before the policy has learned, and the noise on it afterwards.

    Attributes:
      mean: centre of the exploration actions, per action dimension. Forward-leaning: uniform throttle and
        brake cancel out and the car stays parked (fault 6 of the original).
      std: their standard deviation, per action dimension.
      correlation: of consecutive actions (first-order autoregression); white noise averages out within a car's inertia.
      policy_noise: standard deviation of the Gaussian noise added to the policy's action while learning (TD3: 0.1).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    correlation: float
    policy_noise: float

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError("exploration.mean and exploration.std must have one value per action dimension.")
        if not 0.0 <= self.correlation < 1.0:
            raise ValueError(f"exploration.correlation is {self.correlation}: choose a value in [0, 1).")
        if min(self.std) < 0.0 or self.policy_noise < 0.0:
            raise ValueError("exploration.std and exploration.policy_noise must not be negative.")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """Where transitions wait, how they are sampled, and how they come to the learner.

    Attributes:
      capacity: transitions held.
      prefetch: batches prepared ahead on the device (0: sampled on demand).
      n_step: rewards in a TD target before it bootstraps, fewer at an episode's end; 1 in TD3, 3 in DrQ-v2.
      gather_threads: threads that copy a batch's frames; on a CPU one is enough, a GPU can ask for more.
      device_resident: hold the frames on the device too, so that only their indices travel.
    """

    capacity: int
    prefetch: int
    n_step: int
    gather_threads: int
    device_resident: bool

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"replay.capacity is {self.capacity}: it must hold at least one batch.")
        if self.prefetch < 0:
            raise ValueError(f"replay.prefetch is {self.prefetch}: give 0 or more batches.")
        for name in ("n_step", "gather_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"replay.{name} is {getattr(self, name)}: it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """What happens at which environment step.

    Attributes:
      total_steps: environment steps (decisions) of the run.
      exploration_steps: steps before the first update; actions come from the exploration policy.
      updates_per_step: TD3 updates per environment step once learning.
      updates_per_dispatch: updates that are computed as one executable, once so many are due; 1, or a multiple of the
        policy delay. More than 1 pays on a GPU, where dispatching an update costs as much as computing it.
      overlap: act with the parameters from before the update under way, one dispatch old, so that the environment
        need not wait for it; False for the latest, which does wait (lock-step). Either way one seed gives one run.
      batch_size: transitions per update.
      log_every: steps between two TensorBoard points of the learner.
      eval_every: steps between evaluations, made at an episode's end (0: none).
      eval_episodes: episodes of each.
      checkpoint_every: steps between checkpoints, written at the next episode's end: 1 for one after every episode, 0
        for none but the last. What a signal or an error ends is saved up to its last whole episode, whatever this says.
      checkpoints_kept: older ones are removed.
      debug_every: steps between two looks inside the network with debug=True.
      warn_window: steps over which training looks for a saturated policy and a parked car.
    """

    total_steps: int
    exploration_steps: int
    updates_per_step: float
    updates_per_dispatch: int
    overlap: bool
    batch_size: int
    log_every: int
    eval_every: int
    eval_episodes: int
    checkpoint_every: int
    checkpoints_kept: int
    debug_every: int
    warn_window: int

    def __post_init__(self) -> None:
        at_least_one = ("total_steps", "updates_per_dispatch", "batch_size", "log_every", "eval_episodes")
        for name in (*at_least_one, "checkpoints_kept", "debug_every", "warn_window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("exploration_steps", "eval_every", "checkpoint_every", "updates_per_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative.")
