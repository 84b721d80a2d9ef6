"""A batch of transitions, as the replay gives it and the learner takes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec


class Batch(NamedTuple):
    """A batch of B transitions of up to n steps each; an observation part that the space lacks is None.

    The first step is from obs by `action`, and next_obs follows the last. What a sum of n rewards is worth, and what
    follows it, is left to the learner: gamma is its own.

    frames: uint8 [B, S + min(n, S), H, W], oldest first; obs is [:, :S]. With n < S they are consecutive and next_obs
      begins at `steps`, else it is the last S; `split_frames` knows.
    vector, next_vector: float32 [B, D].
    action: float32 [B, A].
    reward: float32 [B, n], one per step, zero after the last.
    steps: int32 [B], how many steps lie between obs and next_obs: n, or fewer where the episode ends before.
    terminated: bool [B], after the last step; a time limit is not a termination.
    privileged, next_privileged: float32 [B, K], what the simulator knew at obs and at next_obs.
    expert: float32 [B, A], what a scripted driver would have done at obs.
    """

    frames: Any
    vector: Any
    next_vector: Any
    action: Any
    reward: Any
    steps: Any
    terminated: Any
    privileged: Any = None
    next_privileged: Any = None
    expert: Any = None


def make_batch(
    obs_spec: ObsSpec, action_spec: ActionSpec, size: int, make: Callable[..., Any], n_step: int = 1
) -> Batch:
    """A batch of `size` transitions of up to `n_step` steps of `make(shape, dtype)`: arrays, or their shapes alone."""
    image = obs_spec.image

    def numbers(length: int | None) -> Any:
        return None if length is None else make((size, length), np.dtype(np.float32))

    return Batch(
        frames=None
        if image is None
        else make((size, image[0] + min(n_step, image[0]), *image[1:]), np.dtype(np.uint8)),
        vector=numbers(obs_spec.vector),
        next_vector=numbers(obs_spec.vector),
        action=make((size, action_spec.size), np.dtype(np.float32)),
        reward=make((size, n_step), np.dtype(np.float32)),
        steps=make((size,), np.dtype(np.int32)),
        terminated=make((size,), np.dtype(np.bool_)),
        privileged=numbers(obs_spec.privileged),
        next_privileged=numbers(obs_spec.privileged),
        expert=numbers(obs_spec.expert),
    )
