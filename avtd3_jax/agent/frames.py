"""Observation stacks out of the packed frames of a batch."""

import jax
import jax.numpy as jnp

from avtd3_jax.replay.batch import Batch


def split_frames(batch: Batch) -> tuple[jax.Array | None, jax.Array | None]:
    """The stacks of obs and of next_obs out of the packed frames, each uint8 [B, S, H, W]; None without an image."""
    frames = batch.frames
    if frames is None:
        return None, None
    width, n_step = frames.shape[1], batch.reward.shape[1]
    stack = max(width - n_step, width // 2)
    # Cut out of flat rows: one piece a transition instead of one a line of a picture.
    flat, size = frames.reshape(frames.shape[0], -1), frames[0, 0].size

    def window(first: int) -> jax.Array:
        return flat[:, first * size : (first + stack) * size].reshape(-1, stack, *frames.shape[2:])

    next_image = window(width - stack)
    if n_step < stack:
        # A choice among the few places where next_obs can begin: cheaper on a CPU than gathering whole frames.
        for steps in range(1, n_step):
            ends_here = (batch.steps == steps)[:, None, None, None]
            next_image = jnp.where(ends_here, window(steps), next_image)
    return window(0), next_image
