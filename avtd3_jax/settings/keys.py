"""Every key of a configuration, with its type, default and owner: read off the dataclasses.

A file says `sim` and `scenario` where the classes say `env.simulator` and `env.scenario`; everything else has one name.
"""

import dataclasses
import difflib
import functools
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.build import settable
from envloop.config import EnvConfig, GymEnvConfig

# What cannot be set, and why: it follows from other keys, or has another name.
NOT_SET = {
    "env.discount": "it follows from config.agent.gamma",
    "env.decision_s": "it follows from config.sim.fixed_delta_s and config.env.action_repeat",
    "env.pictures_per_s": "it follows from config.monitor",
    "env.reward.discount": "it follows from config.agent.gamma",
    "env.reward.decision_s": "it follows from config.sim.fixed_delta_s and config.env.action_repeat",
    "env.reward.limit_mps": "it follows from config.env.speed.limit_mps",
    "env.scenario": "its name is config.scenario",
    "env.simulator": "its name is config.sim",
}
_RENAMED = (("env.simulator", "sim"), ("env.scenario", "scenario"))


@dataclasses.dataclass(frozen=True)
class Key:
    """A key that can be set.

    Attributes:
      name: dotted, without "config.".
      owner: the dataclass that has it as its field.
      field: of the owner.
      hint: annotated type.
    """

    name: str
    owner: type
    field: "dataclasses.Field[Any]"
    hint: Any


@functools.cache
def keys(cls: type, agent: type, env: type) -> Mapping[str, Key]:
    """The keys of the run configuration class `cls` whose agent and environment have configurations of these classes.

    By name, in order.
    """
    return {key.name: key for key in _keys(cls, {"agent": agent, "env": env}, "")}


def _keys(cls: type, chosen: Mapping[str, type], where: str) -> Iterator[Key]:
    hints = typing.get_type_hints(cls)
    for name, field in settable(cls).items():
        dotted = in_file(f"{where}{name}")
        hint = chosen.get(dotted, hints[name])
        if dataclasses.is_dataclass(hint):
            yield from _keys(typing.cast(type, hint), chosen, f"{where}{name}.")
        else:
            yield Key(dotted, cls, field, hint)


def in_file(name: str) -> str:
    """What a file calls the field with this dotted name: "sim.town" for "env.simulator.town"."""
    for field, key in _RENAMED:
        if name == field or name.startswith(f"{field}."):
            return key + name.removeprefix(field)
    return name


def leaves(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested mappings; an empty mapping has none."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", value


def refuse_unknown(names: typing.Iterable[str], known: Mapping[str, Key]) -> None:
    """Raises ConfigError for the first of the dotted `names` that is not among `known`, and says what it may be."""
    for name in names:
        if name in known:
            continue
        parts = name.split(".")
        for depth in range(len(parts), 0, -1):
            if reason := NOT_SET.get(".".join(parts[:depth])):
                raise ConfigError(f"config.{name} cannot be set: {reason}.")
        inside = [key for key in known if key.startswith(f"{name}.")]
        if inside:
            raise ConfigError(f"config.{name} holds keys and no value: set one of them, such as config.{inside[0]}.")
        if name == "env.id":
            raise ConfigError(
                "config.env.id names an environment of Gymnasium's, and this file's is the driving task: begin with "
                "--config configs/gym.py."
            )
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise ConfigError(f"config.{name} is no key: did you mean config.{near[0]}? All are in docs/configuration.md.")


@functools.cache
def _env_paths() -> "re.Pattern[str]":
    """What a sentence of the environment's may call its fields: dotted names anywhere, simple ones at its beginning."""

    def paths(cls: type, where: str = "") -> Iterator[str]:
        for name, hint in typing.get_type_hints(cls).items():
            yield f"{where}{name}"
            if dataclasses.is_dataclass(hint):
                yield from paths(typing.cast(type, hint), f"{where}{name}.")

    names = [*paths(EnvConfig), *paths(GymEnvConfig)]
    dotted = "|".join(re.escape(name) for name in names if "." in name)
    return re.compile(rf"(?<![\w.])(?:{dotted}|discount)(?!\w)|^(?:{'|'.join(names)})(?!\w)")


def in_keys(sentence: str) -> str:
    """A sentence that names fields of an environment's configuration, with the names of the keys instead."""

    def key(found: "re.Match[str]") -> str:
        name = f"env.{found.group()}"
        return "config.agent.gamma" if name == "env.discount" else f"config.{in_file(name)}"

    return _env_paths().sub(key, sentence)
