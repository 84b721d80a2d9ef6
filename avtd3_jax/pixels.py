"""What an image encoder's first layer sees."""

import jax
import jax.numpy as jnp


def scaled(image: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """uint8 [B, S, H, W] -> [B, H, W, S] in [0, 1]."""
    # Transposed while it is still uint8: a quarter of the bytes to move.
    return image.transpose(0, 2, 3, 1).astype(dtype) / 255.0
