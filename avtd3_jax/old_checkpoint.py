"""Policies from checkpoints of before checksums: they can be evaluated, not resumed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from avtd3_jax import orbax_items
from avtd3_jax.array_files import DamagedError

_ADDED_KEYS = {"lr_decay_updates": 0, "lr_final_fraction": 1.0}  # of the configuration's agent
REMOVED_KEYS = ("checkpoint_replay",)  # of the configuration, which older runs have


def is_old(checkpoint: Path) -> bool:
    """Whether the directory of a checkpoint is one of these."""
    return (checkpoint / "_CHECKPOINT_METADATA").exists()


def read_extras(checkpoint: Path) -> dict[str, Any]:
    """What was saved beside the arrays, its configuration with today's keys. Raises DamagedError."""
    try:
        extras = json.loads((checkpoint / "extras" / "metadata").read_text())["extras"]
        extras["config"] = {name: v for name, v in extras["config"].items() if name not in REMOVED_KEYS}
        extras["config"]["agent"] = {**_ADDED_KEYS, **extras["config"]["agent"]}
    except (OSError, ValueError, KeyError) as error:
        raise DamagedError(f"{checkpoint / 'extras'} cannot be read ({error})") from error
    return extras


def read_params(checkpoint: Path) -> dict[str, np.ndarray]:
    """The online parameters by path. Raises DamagedError where orbax cannot read them; there is no checksum."""
    return orbax_items.read_item(checkpoint / "params", seals=None)
