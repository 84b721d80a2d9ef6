"""Configuration files and what the command line changes in them: the one way by which every command reads settings.

A file is Python with a function `get_config`, by the convention of ml_collections, or a run's own config.json. What it
leaves out has the default. FILE.py:ARGUMENT calls `get_config` with that text.
"""

import ast
import inspect
import json
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import avtd3_jax
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings import migration
from avtd3_jax.settings.build import plain
from avtd3_jax.settings.keys import Key, refuse_unknown
from avtd3_jax.settings.run_config import RunConfig, keys_of, parse

Changes = Mapping[str, Any]  # key, or key[index], without "config." -> value

_SHIPPED = Path(avtd3_jax.__file__).parent / "configs"  # in a checkout, a link to its configs/

_OPTION = re.compile(r"--?(no)?config\.([^=\s]+)(?:=(.*))?", re.DOTALL)
_KEY = re.compile(r"([\w.]+?)(?:\[(\d+)\])?")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def load(path: Path, changes: Changes | None = None) -> RunConfig:
    """The configuration of a file, with changes to it.

    Args:
      path: of the file, or the name of one that comes with the package, such as town01; ":" and an argument may follow.
      changes: values of keys; a text from the command line is read as the key's type.

    Raises:
      ConfigError: in one plain sentence, what is wrong with the file or with which key.
    """
    return with_changes(_read(path), changes or {})


def with_changes(values: dict[str, Any], changes: Changes) -> RunConfig:
    """The configuration of nested plain values, with changes to it, as in `load`."""
    known = keys_of(values)
    for name, value in typed(changes, known).items():
        key, index = _parts(name, known)
        if index is None:
            migration.put(values, key.name, value)
        else:
            _set_item(values, key, index, value)
    return parse(values)


def typed(changes: Changes, known: Mapping[str, Key]) -> dict[str, Any]:
    """Changes with the texts of a command line read as the types of their keys; a text that is none stays one.

    Raises:
      ConfigError: there is no such key.
    """
    read = {}
    for name, value in changes.items():
        key, index = _parts(name, known)
        if isinstance(value, str):
            read[name] = _literal(value) if index is not None else _of_type(key.hint, value)
        else:
            read[name] = plain(value)
    return read


def split_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, str | bool]]:
    """Command-line arguments without those that set configuration keys, and what those set, the last one of each.

    --config.KEY=VALUE, --config.KEY VALUE, and for a key that is on or off --config.KEY and --noconfig.KEY.
    """
    rest: list[str] = []
    changes: dict[str, str | bool] = {}
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*rest, argument, *waiting], changes
        found = _OPTION.fullmatch(argument)
        if found is None:
            rest.append(argument)
            continue
        no, name, text = found.groups()
        if no and text is not None:
            raise ConfigError(f"{argument} says no and gives a value: leave one of them out.")
        if text is None and not no and waiting and not waiting[0].startswith("--"):
            text = waiting.pop(0)
        changes.pop(name, None)  # what comes last is set last
        changes[name] = not no if text is None else text
    return rest, changes


def _read(path: Path) -> dict[str, Any]:
    """The nested plain values of a file, or of the shipped one of that name."""
    path, argument = _found(path)
    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(f"{path} is no JSON ({error}): give a run's config.json, or a Python file.") from error
        return migration.completed(_mapping(values, str(path)), keys_of(values))
    function = runpy.run_path(str(path)).get("get_config")
    if not callable(function):
        raise ConfigError(f"{path} has no function get_config: let it return the configuration, see configs/town01.py.")
    try:
        inspect.signature(function).bind(*argument)
    except TypeError as error:
        form = f"{path.name} alone" if argument else f"{path.name}:ARGUMENT"
        raise ConfigError(f"get_config of {path} cannot be called so ({error}): give --config {form}.") from error
    return _mapping(plain(function(*argument)), f"what get_config of {path} returns")


def _found(path: Path) -> tuple[Path, list[str]]:
    """The file that is meant, and the argument for its `get_config`, if there is one."""
    shipped = {file.stem: file for file in _SHIPPED.glob("*.py")}
    name, colon, argument = str(path).rpartition(":")
    for meant, given in ((str(path), []), (name, [argument] if colon else [])):
        if Path(meant).is_file() or meant in shipped:
            return (Path(meant) if Path(meant).is_file() else shipped[meant]), given
    raise ConfigError(
        f"there is no file {path}: give a configuration file, such as configs/town01.py, or the name of one of "
        f"the package's: {', '.join(sorted(shipped))}."
    )


def _mapping(values: Any, what: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{what} is {values!r}: it must be a mapping of keys to values.")
    return values


def _parts(name: str, known: Mapping[str, Key]) -> tuple[Key, int | None]:
    """The key that a change is for, and the index of its value that is changed; None for all of it."""
    found = _KEY.fullmatch(name)
    if found is None:
        raise ConfigError(f"config.{name} is no key: write config.KEY or config.KEY[INDEX].")
    key, index = found.groups()
    refuse_unknown([key], known)
    return known[key], None if index is None else int(index)


def _set_item(values: dict[str, Any], key: Key, index: int, value: Any) -> None:
    held: Any = values
    for part in key.name.split("."):
        held = held.get(part) if isinstance(held, Mapping) else None
    held = plain(key.field.default) if held is None else held
    if not isinstance(held, list):
        raise ConfigError(f"config.{key.name}[{index}] is not there: config.{key.name} is one value, {held!r}.")
    if index >= len(held):
        raise ConfigError(f"config.{key.name}[{index}] is not there: config.{key.name} has {len(held)}, from [0] on.")
    migration.put(values, key.name, [*held[:index], value, *held[index + 1 :]])


def _of_type(hint: Any, text: str) -> Any:
    """A command line's text as the key's type, as far as it is one; `parse` refuses what is not."""
    if hint is bool:
        return _BOOLEANS.get(text.lower(), text)
    args = getattr(hint, "__args__", ())
    if hint is str or (all(isinstance(a, str) for a in args) and args):
        return text
    value = _literal(text)
    if getattr(hint, "__origin__", None) is tuple:
        return plain(value if isinstance(value, list | tuple) else (value,))
    return value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
