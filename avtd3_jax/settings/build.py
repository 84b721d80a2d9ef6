"""From nested values to frozen, typed dataclasses and back: what a file says becomes what the program reads."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
from ml_collections import ConfigDict, FieldReference, FrozenConfigDict
from ml_collections.config_dict import RequiredValueError

from avtd3_jax.errors import ConfigError

T = TypeVar("T")
_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def build(cls: type[T], values: Any, where: str = "config") -> T:
    """Makes the frozen dataclass `cls` of `values`, recursively; what they do not name has its default.

    Args:
      cls: a dataclass whose own checks raise ConfigError with a sentence that begins with the field's name.
      values: nested mappings of plain data, see `plain`.
      where: dotted name of what is built.

    Raises:
      ConfigError: a key is unknown, has no value, or one that is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {values!r}: it must hold the keys {', '.join(settable(cls))}.")
    fields = settable(cls)
    if unknown := sorted(set(values) - set(fields)):
        raise ConfigError(f"{where}.{unknown[0]} is no key: the keys of {where} are {', '.join(fields)}.")
    if missing := [name for name, f in fields.items() if name not in values and not has_default(f)]:
        raise ConfigError(f"{where}.{missing[0]} is missing and has no default: give it a value.")
    hints = typing.get_type_hints(cls)
    converted = {name: convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**converted)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error


def settable(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass that a configuration can set, by name: all but those marked as following from others.

    A field is marked so by `field(..., metadata={"follows": KEY})`.
    """
    return {f.name: f for f in dataclasses.fields(cls) if "follows" not in f.metadata}


def has_default(field: "dataclasses.Field[Any]") -> bool:
    """Whether the field need not be given."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def as_values(config: Any) -> Any:
    """The nested plain values that `build` makes the dataclass of: JSON data, tuples as lists."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {name: as_values(getattr(config, name)) for name in settable(type(config))}
    return [as_values(v) for v in config] if isinstance(config, tuple) else config


def plain(value: Any) -> Any:
    """`value` as JSON data, as far as it is any: ml_collections' dicts, references and placeholders (None), paths,
    numpy's scalars and arrays, tuples."""
    if isinstance(value, FrozenConfigDict | ConfigDict):
        return {str(key): plain(v) for key, v in value.items(preserve_field_references=True)}
    if isinstance(value, FieldReference):
        try:
            return plain(value.get())
        except RequiredValueError:
            return None
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type `hint`. Raises ConfigError, which names `where`."""
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(typing.cast(type, hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if (value is None and type(None) in args) or any(
            dataclasses.is_dataclass(a) and type(value) is a for a in args
        ):
            return value
        (hint,) = [a for a in args if a is not type(None)]
        return convert(hint, value, where)
    if value is None:
        raise ConfigError(f"{where} has no value: give it one, in the file or by --{where}=VALUE.")
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where} is {value!r}: choose one of {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"{where} is {value!r}: it must be a finite number.")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {value!r}: it must be {_KINDS[hint]}.")
    return value


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    any_length = args[-1] is Ellipsis
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(args)):
        wanted = "one or more values" if any_length else f"{len(args)} values"
        raise ConfigError(f"{where} is {value!r}: give {wanted}, such as (0.1, 0.4).")
    kinds = [args[0]] * len(value) if any_length else args
    return tuple(convert(kind, v, f"{where}[{i}]") for i, (kind, v) in enumerate(zip(kinds, value, strict=True)))
