"""Shapes that the learner takes from Gymnasium spaces: an image stack, a vector, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Observation = dict[str, np.ndarray]  # keys "image" and/or "vector", one observation or a batch of them


@dataclass(frozen=True)
class ObsSpec:
    """What one observation holds.

    image: (stack, height, width) of a uint8 frame stack, oldest first, or None.
    vector: length of a float32 vector, or None.
    """

    image: tuple[int, int, int] | None
    vector: int | None

    @classmethod
    def from_space(cls, space: gymnasium.Space) -> "ObsSpec":
        """Spec of `Dict{"image": uint8 [S,H,W], "vector": float [D]}`, of either alone, or of such a plain Box.

        Raises:
          ValueError: the space is anything else; the sentence names what to change.
        """
        if isinstance(space, spaces.Box):
            space = spaces.Dict({"vector" if len(space.shape) == 1 else "image": space})
        if not isinstance(space, spaces.Dict):
            raise ValueError(
                f"The observation space {space} is not supported: use a Box, or a Dict with 'image' and/or 'vector'."
            )
        unknown = sorted(set(space.spaces) - {"image", "vector"})
        if unknown or not space.spaces:
            raise ValueError(
                f"The observation space has the keys {sorted(space.spaces)}: name them 'image' and/or 'vector', "
                "and flatten the rest into 'vector'."
            )
        return cls(image=_image_shape(space.get("image")), vector=_vector_length(space.get("vector")))

    def as_dict(self, observation: Any) -> Observation:
        """`observation` of the space (a dict or a plain array) as a dict of arrays, without a copy where possible."""
        if not isinstance(observation, Mapping):
            observation = {"vector" if self.image is None else "image": observation}
        arrays = {}
        if self.image is not None:
            arrays["image"] = np.asarray(observation["image"], np.uint8)
        if self.vector is not None:
            arrays["vector"] = np.asarray(observation["vector"], np.float32)
        return arrays

    def zeros(self, size: int) -> Observation:
        """`size` observations of zeros; without a batch axis for 1."""
        shapes: dict[str, tuple[tuple[int, ...], type]] = {}
        if self.image is not None:
            shapes["image"] = (self.image, np.uint8)
        if self.vector is not None:
            shapes["vector"] = ((self.vector,), np.float32)
        rows = (size,) if size > 1 else ()
        return {name: np.zeros((*rows, *shape), dtype) for name, (shape, dtype) in shapes.items()}

    def batched(self, observation: Any) -> tuple[Observation, bool]:
        """`observation` with a leading batch axis, and whether that axis was added here."""
        arrays = self.as_dict(observation)
        shapes: dict[str, tuple[int, ...]] = {}
        if self.image is not None:
            shapes["image"] = self.image
        if self.vector is not None:
            shapes["vector"] = (self.vector,)
        single = all(arrays[name].shape == shape for name, shape in shapes.items())
        if single:
            arrays = {name: array[None] for name, array in arrays.items()}
        for name, shape in shapes.items():
            if arrays[name].shape[1:] != shape:
                raise ValueError(
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
        """Spec of a `Box(-1, 1, (A,))`; raises ValueError with the fix for any other space."""
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ValueError(f"The action space {space} is not supported: TD3 acts in a one-dimensional Box.")
        if not (np.all(space.low == -1.0) and np.all(space.high == 1.0)):
            raise ValueError(
                f"The action space {space} is not [-1, 1]: wrap the environment in "
                "gymnasium.wrappers.RescaleAction(env, -1.0, 1.0)."
            )
        return cls(size=int(space.shape[0]))


def _image_shape(space: gymnasium.Space | None) -> tuple[int, int, int] | None:
    if space is None:
        return None
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype != np.uint8:
        raise ValueError(f"The image space {space} must be a uint8 Box of shape [stack, height, width].")
    stack, height, width = space.shape
    return int(stack), int(height), int(width)


def _vector_length(space: gymnasium.Space | None) -> int | None:
    if space is None:
        return None
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"The vector space {space} must be a one-dimensional Box of floats.")
    return int(space.shape[0])
