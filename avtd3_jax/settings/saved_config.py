"""Configurations that earlier versions saved, read as today's: a run outlives the version that began it."""

from collections.abc import Mapping
from typing import Any

# Keys that have come since, at the values that change nothing.
_ADDED = {"agent": {"lr_decay_updates": 0, "lr_final_fraction": 1.0}}
_REMOVED = ("checkpoint_replay",)


def as_of_today(saved: Mapping[str, Any]) -> dict[str, Any]:
    """`saved`, a configuration's nested values, with every key that there is now and none that there is no more."""
    values = {name: value for name, value in saved.items() if name not in _REMOVED}
    return {**values, **{part: {**added, **values[part]} for part, added in _ADDED.items() if part in values}}
