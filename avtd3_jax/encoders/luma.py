"""Grey frames for networks that were made for ImageNet's pictures."""

import jax

# Means over red, green and blue of the constants that torchvision's weights were trained with.
MEAN, STD = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3


def standardised(x: jax.Array) -> jax.Array:
    """Frames in [0, 1] with ImageNet's mean and deviation taken out; the zeros of a padding then are a mid grey."""
    return (x - MEAN) / STD
