"""Plain stacks of convolutions: no padding, a bias, ReLU after each."""

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from avtd3_jax.cpu import conv
from avtd3_jax.encoders.initializers import kaiming_normal
from avtd3_jax.pixels import scaled

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
    def __call__(self, image: jax.Array) -> jax.Array:
        """uint8 [B, S, H, W] -> [B, h, w, F]; 84x84 gives 7x7x64 with NATURE, 4x4x32 with SMALL."""
        _, channels, height, width = image.shape
        weights = []
        for number, (features, kernel, _) in enumerate(self.layers):
            weights.append(ConvWeights((kernel, kernel, channels, features), name=f"Conv_{number}")())
            channels = features
        looked_into = self.is_mutable_collection("intermediates") and not self.is_initializing()
        if self.has_own_kernels((image.shape[1], height, width)) and not looked_into:
            strides = tuple(stride for _, _, stride in self.layers)
            return conv.conv_stack(image, tuple(weights), strides, cast(conv.Dtype, jnp.dtype(self.dtype).name))
        x = scaled(image, self.dtype)
        for number, ((weight, bias), (_, _, stride)) in enumerate(zip(weights, self.layers, strict=True)):
            x = nn.relu(conv.convolution(x, weight.astype(self.dtype), bias.astype(self.dtype), stride))
            if number == 0:
                self.sow("intermediates", "first_layer", x)
        return x

    def has_own_kernels(self, image: tuple[int, int, int]) -> bool:
        """Whether a CPU computes images [S, H, W] by `avtd3_jax.cpu.conv`, and not by XLA's convolutions."""
        name = jnp.dtype(self.dtype).name
        return name in conv.DTYPES and conv.supports(image, self.layers, name)


class ConvWeights(nn.Module):
    """Parameters of one convolution, named and initialised as `nn.Conv` has them."""

    shape: tuple[int, int, int, int]

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        """Kernel [k, k, C, F] and bias [F]."""
        kernel = self.param("kernel", kaiming_normal, self.shape, jnp.float32)
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[-1:], jnp.float32)


def cells(layers: Layers) -> tuple[float, float]:
    """(offset, stride) in input pixels: the centre of the last maps' first cell, and the distance to the next."""
    offset, stride = 0.0, 1.0
    for _, kernel, step in layers:
        offset += stride * (kernel - 1) / 2
        stride *= step
    return offset, stride
