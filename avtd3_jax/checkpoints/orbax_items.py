"""Trees of arrays as orbax items, trusted as other files are: whole or not there, and a changed byte is seen.

Orbax and nothing else reads an item back: `ocp.StandardCheckpointer().restore(CHECKPOINT / "params")`. It is imported
when it is first used, half a second of a command's start that only its writing thread waits for. Of several hosts the
first one's items are orbax's; the others keep theirs in a safetensors file each.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from avtd3_jax.checkpoints import array_files
from avtd3_jax.checkpoints.array_files import DamagedError, Seal

Seals = dict[str, Seal]  # by the name of a file within the item

_LATER_HOSTS = "arrays.safetensors"  # of a host that is not the first one of several


def write_item(path: Path, arrays: Mapping[str, np.ndarray]) -> Seals:
    """Writes arrays, named by their place in a tree ("actor/Dense_0/kernel"), durably. Raises OSError."""
    if jax.process_index() > 0:  # orbax writes arrays of the host's memory on the first host alone
        path.mkdir(parents=True, exist_ok=True)
        return {_LATER_HOSTS: array_files.write_arrays(path / _LATER_HOSTS, arrays)}
    import orbax.checkpoint as ocp

    tree = flax.traverse_util.unflatten_dict({tuple(name.split("/")): array for name, array in arrays.items()})
    try:
        with _alone(ocp) as writer:
            writer.save(path, args=ocp.args.StandardSave(tree), force=True)
    except OSError:
        raise
    except Exception as error:  # what its storage trips over, a full disk among others, has many names
        raise OSError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    return {str(file.relative_to(path)): array_files.sealed(file) for file in sorted(path.rglob("*")) if file.is_file()}


def read_item(path: Path, seals: Seals | None) -> dict[str, np.ndarray]:
    """The arrays by path; None reads an item that has no seals. Raises DamagedError."""
    if (path / _LATER_HOSTS).exists():
        return array_files.read_arrays(path / _LATER_HOSTS, (seals or {}).get(_LATER_HOSTS))
    import orbax.checkpoint as ocp

    for name, seal in (seals or {}).items():
        array_files.check(path / name, seal)
    try:
        with _alone(ocp) as reader:
            tree = reader.restore(path)
    except Exception as error:  # damage surfaces as whatever orbax or its storage trips over
        raise DamagedError(f"{path} cannot be read ({error})") from error
    leaves: list[tuple[Any, Any]] = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(where, simple=True, separator="/"): np.asarray(leaf) for where, leaf in leaves}


def _alone(ocp: Any) -> Any:
    """Orbax's checkpointer, which does not wait for other hosts: each has a run directory of its own."""
    if jax.process_count() == 1:
        return ocp.Checkpointer(ocp.StandardCheckpointHandler())
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
