"""A policy as a folder of two files: what acts, as safetensors, and the configuration that it learned with, as JSON.

Both are data: nothing in them is executed. A changed byte is seen when they are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from avtd3_jax.agent.interface import Params
from avtd3_jax.checkpoints import array_files
from avtd3_jax.checkpoints.array_files import DamagedError
from avtd3_jax.errors import CheckpointError

_BOX = Path(__file__).parent
DRIVER = _BOX / "town01_drive"  # the best driver that comes with the package
_INDEX, _PARAMETERS = "policy.json", "parameters.safetensors"


@dataclass(frozen=True)
class StoredPolicy:
    """A policy's folder, read.

    step: environment step of the run that it was taken at.
    config: nested values of the run's configuration.
    arrays: parameters by path, such as "actor/mlp/Dense_0/kernel".
    """

    folder: Path
    step: int
    config: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def params(self, template: Params) -> Params:
        """The parameters on the device, in the tree of `template`, the agent's acting parameters.

        Raises:
          CheckpointError: they are of another architecture.
        """
        wanted = flatten_dict(template, sep="/")
        if differing := sorted(
            name for name in {*wanted, *self.arrays} if _shape(wanted.get(name)) != _shape(self.arrays.get(name))
        ):
            raise CheckpointError(
                f"The policy in {self.folder} is of another architecture than its configuration makes: {differing[0]} "
                f"is {_shape(self.arrays.get(differing[0]))}, wanted {_shape(wanted.get(differing[0]))}."
            )
        tree: Params = unflatten_dict({name: jnp.asarray(array) for name, array in self.arrays.items()}, sep="/")
        return {**{group: {} for group in template}, **tree}  # a group without parameters is in no file


def named_policy(name: str) -> Path:
    """For argparse: the folder that `name` is the path of, or else of the policy in the box with this name."""
    boxed = _BOX / name
    return boxed if Path(name).name == name and not Path(name).exists() and is_policy(boxed) else Path(name)


def in_the_box(folder: Path) -> bool:
    """Whether `folder` comes with the package: results do not go there."""
    return folder.resolve().parent == _BOX.resolve()


def is_policy(folder: Path) -> bool:
    """Whether `folder` holds a policy, and not a run."""
    return (folder / _INDEX).is_file()


def write_policy(folder: Path, params: Params, step: int, config: Mapping[str, Any]) -> int:
    """Writes a policy to `folder`, which is made where there is none; returns the bytes of its parameters.

    Args:
      params: the agent's acting parameters.
      step: environment step of the run.
      config: nested values of the run's configuration, JSON-able.

    Raises:
      OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(array) for name, array in flatten_dict(params, sep="/").items()}
    seal = array_files.write_arrays(folder / _PARAMETERS, arrays)
    array_files.write_sealed_json(folder / _INDEX, {"step": step, "config": config, "parameters": seal})
    return seal["bytes"]


def read_policy(folder: Path) -> StoredPolicy:
    """The policy in `folder`. Raises CheckpointError where a file is missing or has changed."""
    try:
        index = array_files.read_sealed_json(folder / _INDEX)
        arrays = array_files.read_arrays(folder / _PARAMETERS, index["parameters"])
    except DamagedError as error:
        raise CheckpointError(f"The policy in {folder} cannot be used: {error}. Get it anew.") from error
    return StoredPolicy(folder, index["step"], index["config"], arrays)


def _shape(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype}{list(array.shape)}"
