"""Encoders, actor and critics as Flax modules: float32 parameters, compute in float32 or bfloat16."""

from collections.abc import Callable
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from avtd3_jax import cpu_conv

kaiming_normal = nn.initializers.kaiming_normal()
# Variance 1 / (3 * fan_in), as torch.nn.Linear: outputs start well inside tanh's linear part.
output_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")

Dense = partial(nn.Dense, kernel_init=kaiming_normal)


NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # features, kernel, stride


class NatureCNN(nn.Module):
    """Convolutions of Mnih et al. 2015 (doi:10.1038/nature14236): 8x8/4 32, 4x4/2 64, 3x3/1 64, ReLU."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """uint8 [B, C, H, W] -> [B, h * w * 64]; 84x84 gives 7 * 7 * 64 = 3136."""
        channels = image.shape[1]
        weights = []
        for number, (features, kernel, _) in enumerate(NATURE):
            weights.append(ConvWeights((kernel, kernel, channels, features), name=f"Conv_{number}")())
            channels = features
        strides = tuple(stride for _, _, stride in NATURE)
        if self.dtype == jnp.float32 and cpu_conv.supports(image.shape[1:], NATURE):
            x = cpu_conv.conv_stack(image, tuple(weights), strides)
        else:
            # Transposed while it is still uint8: a quarter of the bytes to move.
            x = image.transpose(0, 2, 3, 1).astype(self.dtype) / 255.0
            for (kernel, bias), stride in zip(weights, strides, strict=True):
                x = nn.relu(convolve(x, kernel.astype(self.dtype), stride) + bias.astype(self.dtype)[None, None, None])
        return x.reshape(x.shape[0], -1)


class ConvWeights(nn.Module):
    """Parameters of one convolution, named and initialised as Flax's own `nn.Conv` has them."""

    shape: tuple[int, int, int, int]

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", kaiming_normal, self.shape)
        return kernel, self.param("bias", nn.initializers.zeros, (self.shape[-1],))


def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


IMAGE_ENCODERS: dict[str, Callable[..., nn.Module]] = {"nature": NatureCNN}


class Encoder(nn.Module):
    """An observation as one feature vector: the image's features, then the vector as it is.

    The image's features are Dense(512) and ReLU, or, with `trunk_width` > 0, the narrow trunk of SAC-AE and DrQ in its
    place: Dense(trunk_width), LayerNorm, tanh (Yarats et al. 2021, arXiv:1910.01741 and 2004.13649).
    Without an image there is nothing to learn here, and the module has no parameters.
    """

    image_encoder: str = "nature"
    trunk_width: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        """uint8 [B, S, H, W] (or None) and float32 [B, D] (or None) -> [B, 512 or trunk_width, + D]."""
        parts = []
        if image is not None:
            chex.assert_rank(image, 4)
            chex.assert_type(image, jnp.uint8)
            x = IMAGE_ENCODERS[self.image_encoder](dtype=self.dtype, name="cnn")(image)
            if self.trunk_width:
                x = Dense(self.trunk_width, dtype=self.dtype, name="trunk")(x)
                x = nn.tanh(nn.LayerNorm(dtype=jnp.float32, name="trunk_norm")(x)).astype(self.dtype)
            else:
                x = nn.relu(Dense(512, dtype=self.dtype, name="dense")(x))
            parts.append(x)
        if vector is not None:
            chex.assert_rank(vector, 2)
            parts.append(vector.astype(self.dtype))
        return jnp.concatenate(parts, axis=-1)


class MLP(nn.Module):
    """256-256 with ReLU, then a linear output."""

    outputs: int
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, F] -> [B, outputs] float32."""
        for width in self.hidden:
            x = nn.relu(Dense(width, dtype=self.dtype)(x))
        return nn.Dense(self.outputs, kernel_init=output_init, dtype=self.dtype)(x).astype(jnp.float32)


class Actor(nn.Module):
    """Deterministic policy: tanh of an MLP."""

    action_size: int
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[B, F] -> [B, A] float32 in [-1, 1]."""
        return nn.tanh(MLP(self.action_size, self.hidden, self.dtype, name="mlp")(features))


class TwinCritic(nn.Module):
    """`num_critics` independent Q functions, their parameters stacked on a leading axis."""

    num_critics: int = 2
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, action: jax.Array) -> jax.Array:
        """[B, F] and [B, A] -> [num_critics, B] float32."""
        ensemble = nn.vmap(
            MLP,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=0,
            axis_size=self.num_critics,
        )
        x = jnp.concatenate([features, action.astype(self.dtype)], axis=-1)
        return ensemble(1, self.hidden, self.dtype, name="mlp")(x)[..., 0]
