"""Plain stacks of convolutions: no padding, a bias, ReLU after each."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from avtd3_jax.encoders.initializers import kaiming_normal

Layers = tuple[tuple[int, int, int], ...]  # features, kernel, stride

# Mnih et al. 2015 (doi:10.1038/nature14236).
NATURE: Layers = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
# Nature's receptive field (36 pixels) with 32 features in each layer and a stride of 2 in the last one as well: half of
# the multiplications, and a sixth of the features, so a sixth of the dense layer behind it.
SMALL: Layers = ((32, 8, 4), (32, 4, 2), (32, 3, 2))


class ConvStack(nn.Module):
    """Convolutions of `layers`, one after the other; parameters Conv_0, Conv_1, ... with kernel and bias each."""

    layers: Layers
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] in [0, 1] -> [B, h, w, F]; 84x84 gives 7x7x64 with NATURE, 4x4x32 with SMALL."""
        for i, (features, kernel, stride) in enumerate(self.layers):
            x = nn.Conv(
                features, (kernel, kernel), stride, padding="VALID", kernel_init=kaiming_normal, dtype=self.dtype
            )(x)
            x = nn.relu(x)
            if i == 0:
                self.sow("intermediates", "first_layer", x)
        return x


def cells(layers: Layers) -> tuple[float, float]:
    """(offset, stride) in input pixels: the centre of the last maps' first cell, and the distance to the next."""
    offset, stride = 0.0, 1.0
    for _, kernel, step in layers:
        offset += stride * (kernel - 1) / 2
        stride *= step
    return offset, stride
