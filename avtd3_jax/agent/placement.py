"""Where a learner's arrays lie when several devices compute: the batch split between them, everything else on each.

The compiler does the rest: it sees how the arrays lie, computes on each device what its part of the batch needs, and
adds the gradients up (https://docs.jax.dev/en/latest/sharded-computation.html).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from avtd3_jax.errors import ConfigError

T = TypeVar("T")
_AXIS = "batch"


class Placement:
    """A mesh of one axis, along which the batch is split."""

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        self.mesh = Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self.split = NamedSharding(self.mesh, PartitionSpec(_AXIS))

    @property
    def size(self) -> int:
        return int(self.mesh.size)

    @property
    def devices(self) -> list[jax.Device]:
        return list(self.mesh.devices.flat)

    def tracing(self) -> AbstractContextManager[Any]:
        """In it programs are traced for the mesh: a kernel that the compiler cannot split learns of it there."""
        return jax.sharding.set_mesh(self.mesh)

    def shard(self, batch: T) -> T:
        """A batch, its leaves' first axes split over the devices; of several hosts each gives its own part of it."""
        if jax.process_count() == 1:
            return jax.device_put(batch, self.split)
        return jax.tree.map(lambda part: jax.make_array_from_process_local_data(self.split, part), batch)


def put(array: np.ndarray, sharding: Sharding) -> jax.Array:
    """The array as it is to lie. Of several hosts each puts its own; `jax.device_put` would have them compare first."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def place(devices: str, batch_size: int, platform: str) -> Placement | None:
    """The first so many devices, or "all" of them; None for a lone one.

    Args:
      devices: a number, or "all".
      batch_size: of the whole batch, which is split evenly.
      platform: "cpu" or "gpu".

    Raises:
      ConfigError: there are not so many, or the batch cannot be split evenly.
    """
    found = jax.devices(platform)
    if devices != "all" and int(devices) > len(found):
        raise ConfigError(f"config.devices is {devices} and there are {len(found)} here: lower it, or say all.")
    chosen = found if devices == "all" else found[: int(devices)]
    if batch_size % len(chosen):
        raise ConfigError(
            f"config.batch_size is {batch_size} and {len(chosen)} devices share a batch: make it a multiple, such as "
            f"{batch_size + -batch_size % len(chosen)}."
        )
    return Placement(chosen) if len(chosen) > 1 else None


def tracing(placement: Placement | None) -> AbstractContextManager[Any]:
    """`placement.tracing()`; nothing where there is none."""
    return nullcontext() if placement is None else placement.tracing()


def lying_whole(placement: Placement | None) -> dict[str, Any]:
    """What tells `jax.jit` that results lie whole on each device: a compiled update takes what another one gave."""
    return {} if placement is None else {"out_shardings": placement.whole}


def on_one_device(tree: T) -> T:
    """Arrays that lie whole on several devices, as they lie on the first of them: one is enough to act."""

    def leaf(array: Any) -> Any:
        several = isinstance(array, jax.Array) and len(array.sharding.device_set) > 1
        return array.addressable_data(0) if several else array

    return jax.tree.map(leaf, tree)
