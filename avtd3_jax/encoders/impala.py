"""The residual encoder of IMPALA (Espeholt et al. 2018, arXiv:1802.01561, figure 3, the larger one)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from avtd3_jax.encoders.initializers import branch_end, kaiming_normal, linear_normal
from avtd3_jax.pixels import scaled

FEATURES = (16, 32, 32)
BLOCKS = 2  # per section


class Impala(nn.Module):
    """Three sections, each a 3x3 convolution, a 3x3/2 max pool and two residual blocks; ReLU at the end.

    As in the paper, but for the pool's padding: one pixel on each side, so that no side of the picture is favoured.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """uint8 [B, S, H, W] -> [B, h, w, 32]; 84x84 gives 11x11."""
        x = scaled(image, self.dtype)

        def conv(x: jax.Array, name: str, features: int, init: Initializer) -> jax.Array:
            return nn.Conv(features, (3, 3), padding=1, kernel_init=init, dtype=self.dtype, name=name)(x)

        for section, features in enumerate(FEATURES):
            x = conv(x, f"section{section}_conv", features, linear_normal)
            if section == 0:
                self.sow("intermediates", "first_layer", x)
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
            for block in range(BLOCKS):
                name = f"section{section}_block{block}_conv"
                y = conv(nn.relu(x), f"{name}0", features, kaiming_normal)
                x = x + conv(nn.relu(y), f"{name}1", features, branch_end(BLOCKS * len(FEATURES)))
        return nn.relu(x)
