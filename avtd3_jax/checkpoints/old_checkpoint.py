"""Policies from checkpoints of before checksums: they can be evaluated, not resumed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from avtd3_jax.checkpoints import orbax_items
from avtd3_jax.checkpoints.array_files import DamagedError


def is_old(checkpoint: Path) -> bool:
    """Whether the directory of a checkpoint is one of these."""
    return (checkpoint / "_CHECKPOINT_METADATA").exists()


def read_extras(checkpoint: Path) -> dict[str, Any]:
    """What was saved beside the arrays. Raises DamagedError."""
    try:
        extras: dict[str, Any] = json.loads((checkpoint / "extras" / "metadata").read_text())["extras"]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedError(f"{checkpoint / 'extras'} cannot be read ({error})") from error
    return extras


def read_params(checkpoint: Path) -> dict[str, np.ndarray]:
    """The online parameters by path. Raises DamagedError where orbax cannot read them; there is no checksum."""
    return orbax_items.read_item(checkpoint / "params", seals=None)
