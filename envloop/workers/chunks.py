"""Many steps as one message: of a stack of frames each step sends the newest alone, and the stacks are rebuilt."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envloop.errors import TaskError
from envloop.workers.messages import Observation

_ALONE = ""  # the name of an observation that is one array


def packed(before: Observation, observations: Sequence[Observation]) -> dict[str, NDArray[Any]]:
    """What each of the n `observations` that followed `before` shows for the first time.

    Arrays [n, ...] by name; of stacks of frames, uint8 [S, H, W], the newest frame each.

    Raises:
      TaskError: a stack does not go on with one frame where the last one ended.
    """
    made: dict[str, NDArray[Any]] = {}
    last = _parts(before)
    for name in last if observations else ():
        values = [_parts(observation)[name] for observation in observations]
        if _is_stack(values[0]):
            for old, new in zip([last[name], *values], values, strict=False):
                if old[1:].tobytes() != new[:-1].tobytes():
                    raise TaskError(
                        "The image stack does not go on with one frame where the last one ended; stack one frame each "
                        "step, oldest first, to act where the environments are (fleet.max_lag_updates)."
                    )
            values = [value[-1] for value in values]
        made[name] = np.stack(values)
    return made


def unpacked(before: Observation, parts: Mapping[str, NDArray[Any]]) -> list[Observation]:
    """The observations that `packed` was given; their stacks are views of one array."""
    columns: dict[str, Sequence[NDArray[Any]]] = {}
    for name, old in _parts(before).items() if parts else ():
        columns[name] = list(parts[name])
        if _is_stack(old):
            frames = np.concatenate([old[1:], parts[name]])
            columns[name] = [frames[i : i + len(old)] for i in range(len(parts[name]))]
    if _ALONE in columns:
        return list(columns[_ALONE])
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _parts(observation: Observation) -> dict[str, NDArray[Any]]:
    return dict(observation) if isinstance(observation, Mapping) else {_ALONE: np.asarray(observation)}


def _is_stack(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and array.dtype == np.uint8
