"""Configurations that earlier versions saved, read as today's: a run outlives the version that began it.

A key that has come since is declared with the value that every run before it had, beside its default:

    smoothness: float = field(default=0.5, metadata={"before": 0.0})
"""

from collections.abc import Mapping
from typing import Any

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.build import as_values, plain
from avtd3_jax.settings.keys import Key, leaves


def completed(saved: Mapping[str, Any], known: Mapping[str, Key]) -> dict[str, Any]:
    """The nested values of a saved configuration with each key that it lacks at its value from before that key.

    Raises:
      ConfigError: there is no such value.
    """
    values = dict(plain(saved))
    present = dict(leaves(values))
    for name, key in known.items():
        if name in present:
            continue
        if "before" not in key.field.metadata:
            raise ConfigError(
                f"config.{name} is missing in the saved configuration, and {key.owner.__name__}.{key.field.name} does "
                'not say what it was before there was such a key: declare that with metadata={"before": VALUE}.'
            )
        put(values, name, as_values(key.field.metadata["before"]))
    return values


def put(values: dict[str, Any], name: str, value: Any) -> None:
    """Sets the dotted `name` in nested dictionaries, which are copied on the way and made where there are none."""
    first, _, rest = name.partition(".")
    if not rest:
        values[first] = value
        return
    values[first] = dict(values.get(first, {}))
    put(values[first], rest, value)
