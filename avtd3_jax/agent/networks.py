"""Encoder, actor and critics as Flax modules: float32 parameters, compute in float32 or bfloat16."""

from functools import partial
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from avtd3_jax.cpu import dense, mlp
from avtd3_jax.cpu.conv import Dtype
from avtd3_jax.encoders.initializers import kaiming_normal
from avtd3_jax.encoders.registry import image_encoder
from avtd3_jax.errors import InputError

# Variance 1 / (3 * fan_in), as torch.nn.Linear: outputs start well inside tanh's linear part.
output_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")

IMAGE_FEATURES = 512  # of the dense layer behind the image encoder, where no trunk takes its place
COLUMN_HIDDEN = (64,)

Dense = partial(nn.Dense, kernel_init=kaiming_normal)


class FeaturesDense(nn.Module):
    """`Dense` by `avtd3_jax.cpu.dense`, where that has kernels for it; the same parameters."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, K] -> [B, features]."""
        kernel = self.param("kernel", kaiming_normal, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        if self.dtype == jnp.bfloat16 and dense.supports(x.shape[0], x.shape[1], self.features):
            return (dense.dense(x.astype(self.dtype), kernel) + bias[None]).astype(self.dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return jax.lax.dot_general(x, kernel, (((1,), (0,)), ((), ()))) + bias[None]


class Encoder(nn.Module):
    """An observation as one feature vector: the image's features, then the vector as it is.

    The image's features are Dense(512) and ReLU of the image encoder's last maps, or, with `trunk_width` > 0, the
    narrow trunk of SAC-AE and DrQ in its place: Dense(trunk_width), LayerNorm, tanh (Yarats et al. 2021,
    arXiv:1910.01741 and 2004.13649).
    With `columns` > 0 a head with one set of weights looks at each column of those maps, beside which column it is and
    the vector, and gives so many numbers of it: features that are told what to mean, by a loss (see `td3`).
    Without an image there is nothing to learn here, and the module has no parameters.
    """

    image_encoder: str = "nature"
    trunk_width: int = 0
    dtype: jnp.dtype = jnp.float32
    columns: int = 0

    def setup(self) -> None:
        self.cnn = image_encoder(self.image_encoder).module(dtype=self.dtype)
        if self.columns:
            self.column_head = MLP(self.columns, COLUMN_HIDDEN, self.dtype)
        if self.trunk_width:
            self.trunk = Dense(self.trunk_width, dtype=self.dtype)
            self.trunk_norm = nn.LayerNorm(dtype=jnp.float32)
        else:
            self.dense = FeaturesDense(IMAGE_FEATURES, dtype=self.dtype)

    def __call__(self, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        """uint8 [B, S, H, W] (or None) and float32 [B, D] (or None) -> [B, 512 or trunk_width, + w * columns, + D]."""
        return self.features_of_maps(None if image is None else self.maps(image), vector)

    def maps(self, image: jax.Array) -> jax.Array:
        """uint8 [B, S, H, W] -> the image encoder's last feature maps [B, h, w, F].

        Raises:
          InputError: the picture is too small for the encoder.
        """
        chex.assert_rank(image, 4)
        chex.assert_type(image, jnp.uint8)
        maps = self.cnn(image)
        if 0 in maps.shape:
            raise InputError(f"Images of {image.shape[2]}x{image.shape[3]} are too small for {self.image_encoder!r}.")
        return cast(jax.Array, maps)

    def features_of_maps(self, maps: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        """The second half of the call: what becomes of the maps."""
        parts = []
        if maps is not None:
            x = maps.reshape(maps.shape[0], -1)
            if self.trunk_width:
                x = nn.tanh(self.trunk_norm(self.trunk(x))).astype(self.dtype)
            else:
                x = nn.relu(self.dense(x))
            parts.append(x)
            if self.columns:
                parts.append(self._of_columns(maps, vector))
        if vector is not None:
            chex.assert_rank(vector, 2)
            parts.append(vector.astype(self.dtype))
        return jnp.concatenate(parts, axis=-1)

    def _of_columns(self, maps: jax.Array, vector: jax.Array | None) -> jax.Array:
        """[B, h, w, F] and [B, D] (or None) -> [B, w * columns], from the left."""
        batch, _, width, _ = maps.shape
        columns = maps.transpose(0, 2, 1, 3).reshape(batch, width, -1)
        parts = [columns, jnp.broadcast_to(jnp.eye(width, dtype=columns.dtype), (batch, width, width))]
        if vector is not None:
            parts.append(jnp.broadcast_to(vector.astype(columns.dtype)[:, None], (batch, width, vector.shape[1])))
        told = self.column_head(jnp.concatenate(parts, axis=-1).reshape(batch * width, -1))
        return told.reshape(batch, -1).astype(self.dtype)


class MLP(nn.Module):
    """256-256 with ReLU, then a linear output; with `layer_norm`, a LayerNorm before every ReLU."""

    outputs: int
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, F] -> [B, outputs] float32."""
        for width in self.hidden:
            x = Dense(width, dtype=self.dtype)(x)
            if self.layer_norm:
                x = nn.LayerNorm(dtype=jnp.float32)(x).astype(self.dtype)
            x = nn.relu(x)
        return nn.Dense(self.outputs, kernel_init=output_init, dtype=self.dtype)(x).astype(jnp.float32)


def _own_layers(module: nn.Module, x: jax.Array, hidden: tuple[int, ...], outputs: int, dtype: Any) -> Any:
    """(kernel, bias) of every layer of `module`'s "mlp", where `avtd3_jax.cpu.mlp` has kernels for it; else None."""
    if module.is_initializing() or not mlp.supports(x.shape[0], hidden, outputs, dtype):
        return None
    params = module.variables["params"]["mlp"]
    layers = [params[f"Dense_{number}"] for number in range(len(hidden) + 1)]
    return tuple((layer["kernel"], layer["bias"]) for layer in layers)


def _name(dtype: Any) -> Dtype:
    return cast(Dtype, jnp.dtype(dtype).name)


class Actor(nn.Module):
    """Deterministic policy: tanh of an MLP."""

    action_size: int
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32

    def __call__(self, features: jax.Array) -> jax.Array:
        """[B, F] -> [B, A] float32 in [-1, 1]."""
        return nn.tanh(self.logits(features))

    @nn.compact
    def logits(self, features: jax.Array) -> jax.Array:
        """[B, F] -> [B, A] float32, the action before its tanh."""
        layers = _own_layers(self, features, self.hidden, self.action_size, self.dtype)
        if layers is not None:
            one = jax.tree.map(lambda leaf: leaf[None], layers)
            return mlp.mlp(features.astype(self.dtype), one, _name(self.dtype))[0]
        return MLP(self.action_size, self.hidden, self.dtype, name="mlp")(features)


class CriticEnsemble(nn.Module):
    """`num_critics` independent Q functions, their parameters stacked on a leading axis.

    With `layer_norm` Q cannot grow without bound away from the actions that the replay holds (Ball et al. 2023,
    arXiv:2302.02948).
    """

    num_critics: int = 2
    hidden: tuple[int, ...] = (256, 256)
    dtype: jnp.dtype = jnp.float32
    layer_norm: bool = False

    @nn.compact
    def __call__(self, features: jax.Array, action: jax.Array, privileged: jax.Array | None = None) -> jax.Array:
        """[B, F], [B, A] and [B, K] (or None) -> [num_critics, B] float32."""
        parts = [features, action] if privileged is None else [features, action, privileged]
        x = jnp.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        layers = None if self.layer_norm else _own_layers(self, x, self.hidden, 1, self.dtype)
        if layers is not None:
            return mlp.mlp(x, layers, _name(self.dtype))[..., 0]
        ensemble = nn.vmap(
            MLP,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=0,
            axis_size=self.num_critics,
        )
        return ensemble(1, self.hidden, self.dtype, self.layer_norm, name="mlp")(x)[..., 0]
