"""python -m avtd3_jax.settings.reference: writes docs/configuration.md, every key, from the dataclasses."""

import argparse
import inspect
import itertools
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avtd3_jax.settings.build import as_values, has_default
from avtd3_jax.settings.keys import NOT_SET, Key
from avtd3_jax.settings.run_config import keys_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
_HEAD = """\
# Configuration

<!-- Written by `python -m avtd3_jax.settings.reference` from the dataclasses; change them, not this page. -->

Every setting is a key. `--config FILE` names a Python file with a function `get_config`, or the `config.json` of a run.
`FILE:TEXT` calls `get_config` with that text.
What the file leaves out has the default below. The command line sets any key on top of it:

| option | |
| --- | --- |
| `--config.KEY=VALUE` | one key, such as `--config.agent.gamma=0.9` |
| `--config.KEY[0]=VALUE` | one value of several, such as `--config.exploration.std[0]=0.3` |
| `--config.debug`, `--noconfig.debug` | a key that is True or False |

An unknown key, a value of another type and a value that cannot be are refused.
"""
_TITLES = {
    "": "The run",
    "agent": "The agent",
    "exploration": "Exploration",
    "replay": "The replay",
    "monitor": "The live page",
    "fleet": "Where environments live",
    "hosts": "Several hosts",
    "sim": "The simulator",
    "env": "The driving task",
}
_TYPES = {str: "text", int: "integer", float: "number", bool: "True or False"}


def attributes(cls: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each field, in their sections "Attributes"."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        text = inspect.getdoc(base) if base.__doc__ else None
        section = re.search(r"^Attributes:\n((?:  .*\n?|\n)*)", f"{text}\n", re.MULTILINE)
        for entry in re.findall(r"^  ((?:\w+, )*\w+): ((?:.*\n?)(?:^    .*\n?)*)", section[1] if section else "", re.M):
            found |= dict.fromkeys(entry[0].split(", "), " ".join(entry[1].split()))
    return found


def page() -> str:
    """The text of docs/configuration.md."""
    driving, other = _both()
    parts = [_HEAD]
    for group, found in itertools.groupby(sorted(driving.values(), key=_group_order), key=_group):
        title = _TITLES.get(group) or f"The driving task: `{group}`"
        parts.append(f"## {title}\n\n{_table(list(found))}")
    parts.append(
        "## An environment of Gymnasium's registry\n\n"
        "A configuration with the key `env.id` trains this environment; `sim`, `scenario` and the other keys of `env`\n"
        f"do not exist then.\n\n{_table([key for name, key in other.items() if name not in driving])}"
    )
    reasons = "".join(f"| `{name}` | {reason.replace('config.', '')} |\n" for name, reason in NOT_SET.items())
    parts.append(f"## What cannot be set\n\n| name | why |\n| --- | --- |\n{reasons}")
    return "\n".join(parts)


def _both() -> tuple[Mapping[str, Key], Mapping[str, Key]]:
    """The keys of a run in the driving task, and in an environment of Gymnasium's."""
    return keys_of({}), keys_of({"env": {"id": "any"}})


def _group(key: Key) -> str:
    return "" if key.name == "scenario" else key.name.rpartition(".")[0]


def _group_order(key: Key) -> int:
    group = _group(key)
    return list(_TITLES).index(group) if group in _TITLES else len(_TITLES)


def _table(found: Sequence[Key]) -> str:
    return "".join(["| key | type | default | meaning |\n| --- | --- | --- | --- |\n", *map(_row, found)])


def _row(key: Key) -> str:
    default = f"`{_value(key)!r}`" if has_default(key.field) else "none"
    meaning = attributes(key.owner)[key.field.name].replace("|", r"\|")
    return f"| `{key.name}` | {_type(key.hint)} | {default} | {meaning} |\n"


def _value(key: Key) -> Any:
    value = as_values(key.field.default)
    return tuple(value) if isinstance(value, list) else value


def _type(hint: Any) -> str:
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{value!r}`" for value in args)
    if typing.get_origin(hint) is tuple:
        return f"several: {_type(args[0])}"
    return _TYPES[hint]


def undescribed() -> Iterator[str]:
    """Fields that no docstring speaks of."""
    driving, other = _both()
    for key in {**driving, **other}.values():
        if key.field.name not in attributes(key.owner):
            yield f"{key.owner.__name__}.{key.field.name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m avtd3_jax.settings.reference",
        description=(__doc__ or "").split("\n")[0],
        epilog="example: python -m avtd3_jax.settings.reference --check",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is not current")
    check = parser.parse_args(arguments).check
    if missing := list(undescribed()):
        print(f"reference: no docstring says what {', '.join(missing)} means: add it to Attributes.", file=sys.stderr)
        return 1
    if check:
        if PAGE.read_text() != page():
            print(f"reference: {PAGE} is not current: run python -m avtd3_jax.settings.reference.", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(page())
    print(f"written to {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
