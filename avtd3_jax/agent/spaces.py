"""Shapes that the learner takes from Gymnasium spaces: an image stack, a vector, or both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from avtd3_jax.errors import InputError

GREY_STACK = (
    "one grey channel a frame, frames stacked oldest first: wrap the environment in gymnasium.wrappers."
    "GrayscaleObservation, ResizeObservation and FrameStackObservation(stack_size=4, padding_type='reset')"
)
_EXACT = 2**24  # integers up to here are float32 numbers

PRIVILEGED, EXPERT = "privileged", "expert"  # the keys of what no policy reads
_KEYS = ("image", "vector", PRIVILEGED, EXPERT)

Observation = dict[str, np.ndarray]  # keys "image" and/or "vector", maybe those two; one observation or a batch


@dataclass(frozen=True)
class ObsSpec:
    """What one observation holds.

    image: (stack, height, width) of a uint8 frame stack, oldest first, or None.
    vector: length of a float32 vector, or None.
    privileged: length of a float32 vector of what the simulator knows, or None. It is for losses alone: the replay
      holds it, critics and auxiliary heads may be told it, and a policy never is.
    expert: length of the float32 action that a scripted driver would take now, or None; for losses alone as well.
    """

    image: tuple[int, int, int] | None
    vector: int | None
    privileged: int | None = None
    expert: int | None = None

    @classmethod
    def from_space(cls, space: gymnasium.Space) -> "ObsSpec":
        """Spec of `Dict{"image": uint8 [S,H,W], "vector": float [D]}`, of either alone, or of such a plain Box.

        A Dict may have "privileged", float [K], and "expert", float [A], beside them.

        Raises:
          InputError: the space is anything else; the sentence names what to change.
        """
        if isinstance(space, spaces.Box):
            space = spaces.Dict({"vector" if len(space.shape) == 1 else "image": space})
        if not isinstance(space, spaces.Dict):
            raise InputError(
                f"The observation space {space} is not supported: use a Box, or a Dict with 'image' and/or 'vector'."
            )
        if set(space.spaces) - set(_KEYS) or not set(space.spaces) & {"image", "vector"}:
            raise InputError(
                f"The observation space has the keys {sorted(space.spaces)}: name them 'image' and/or 'vector', "
                "and flatten the rest into 'vector'."
            )
        numbers = {name: _vector_length(name, space.get(name)) for name in _KEYS[1:]}
        return cls(image=_image_shape(space.get("image")), **numbers)

    @cached_property
    def seen(self) -> "ObsSpec":
        """What a policy sees of it."""
        return replace(self, privileged=None, expert=None)

    def as_dict(self, observation: Any) -> Observation:
        """`observation` of the space (a dict or a plain array) as a dict of arrays, without a copy where possible.

        One observation, or a batch of them: shapes are not looked at.

        Raises:
          InputError: a part is missing, the image is not uint8, or the vector is not of real numbers.
        """
        if not isinstance(observation, Mapping):
            observation = {"vector" if self.image is None else "image": observation}
        arrays = {}
        for name in self.shapes:
            if name not in observation:
                raise InputError(f"The observation has no {name!r}, which its space has; it has {list(observation)}.")
            value = observation[name]
            arrays[name] = _as_image(value) if name == "image" else as_float32(f"observation's {name}", value)
        return arrays

    def single(self, observation: Any) -> Observation:
        """As `as_dict`, of one observation alone. Raises InputError for any other shape than the space's."""
        arrays = self.as_dict(observation)
        for name, shape in self.shapes.items():
            if arrays[name].shape != shape:
                raise InputError(
                    f"The observation's {name} has the shape {list(arrays[name].shape)} and its space {list(shape)}: "
                    "the environment must give what its observation_space says."
                )
        return arrays

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each part, by name, without a batch axis."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.image is not None:
            shapes["image"] = self.image
        lengths = {"vector": self.vector, PRIVILEGED: self.privileged, EXPERT: self.expert}
        return shapes | {name: (length,) for name, length in lengths.items() if length is not None}

    def zeros(self, size: int) -> Observation:
        """`size` observations of zeros; without a batch axis for 1."""
        rows = (size,) if size > 1 else ()
        return {
            name: np.zeros((*rows, *shape), np.uint8 if name == "image" else np.float32)
            for name, shape in self.shapes.items()
        }

    def batched(self, observation: Any) -> tuple[Observation, bool]:
        """`observation` with a leading batch axis, and whether that axis was added here."""
        arrays = self.as_dict(observation)
        single = all(arrays[name].shape == shape for name, shape in self.shapes.items())
        if single:
            arrays = {name: array[None] for name, array in arrays.items()}
        for name, shape in self.shapes.items():
            if arrays[name].shape[1:] != shape:
                raise InputError(
                    f"The observation's {name} has the shape {list(arrays[name].shape)}; "
                    f"the policy was built for {list(shape)}, with or without a batch axis before it."
                )
        return arrays, single


@dataclass(frozen=True)
class ActionSpec:
    """Length of a float32 action in [-1, 1]."""

    size: int

    @classmethod
    def from_space(cls, space: gymnasium.Space) -> "ActionSpec":
        """Spec of a `Box(-1, 1, (A,))`; raises InputError with the fix for any other space."""
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise InputError(f"The action space {space} is not supported: TD3 acts in a one-dimensional Box.")
        if not (np.all(space.low == -1.0) and np.all(space.high == 1.0)):
            raise InputError(
                f"The action space {space} is not [-1, 1]: wrap the environment in "
                "gymnasium.wrappers.RescaleAction(env, -1.0, 1.0)."
            )
        return cls(size=int(space.shape[0]))

    def single(self, action: Any) -> np.ndarray:
        """`action` as float32 [A]. Raises InputError where it is anything else than A numbers."""
        array = as_float32("action", action)
        if array.shape != (self.size,):
            raise InputError(f"The action has the shape {list(array.shape)}: the action space has [{self.size}].")
        return array


def as_float32(name: str, value: Any) -> np.ndarray:
    """`value` as float32, without a copy where it is.

    Raises:
      InputError: it is not an array of real numbers, or of integers that float32 does not have. `name` says of what.
    """
    array = np.asarray(value)
    if array.dtype == np.float32:
        return array
    if array.dtype.kind not in "fiu":
        raise InputError(f"The {name} is of dtype {array.dtype}: give numbers, of float32 at best.")
    if array.dtype.kind in "iu" and array.size and max(abs(int(array.max())), abs(int(array.min()))) > _EXACT:
        raise InputError(
            f"The {name} holds integers of dtype {array.dtype} beyond {_EXACT:,}, which float32 rounds: scale them."
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        return array.astype(np.float32)


def _as_image(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype != np.uint8:
        raise InputError(
            f"The observation's image is of dtype {array.dtype}: give uint8 grey values from 0 to 255, before any "
            "scaling; the network scales them itself."
        )
    return array


def _image_shape(space: gymnasium.Space | None) -> tuple[int, int, int] | None:
    if space is None:
        return None
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        raise InputError(
            f"The image space {space} must be a uint8 Box of shape [stack, height, width]: give grey values from 0 to "
            "255, before any scaling; the network scales them itself."
        )
    # A stack is never longer than a frame is wide; where the last axis is the shorter one, it holds colours.
    if len(space.shape) != 3 or space.shape[0] > space.shape[2]:
        raise InputError(
            f"The image space has the shape {list(space.shape)} and must be a uint8 Box of shape "
            f"[stack, height, width], {GREY_STACK}."
        )
    stack, height, width = space.shape
    return int(stack), int(height), int(width)


def _vector_length(name: str, space: gymnasium.Space | None) -> int | None:
    if space is None:
        return None
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        raise InputError(f"The {name} space {space} must be a one-dimensional Box of floats.")
    return int(space.shape[0])
