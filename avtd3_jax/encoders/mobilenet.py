"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), torchvision's, on grey frames.

Without BatchNorm and without the average over all places, for the reasons given in `resnet`.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from avtd3_jax.encoders.initializers import branch_end, kaiming_normal, linear_normal
from avtd3_jax.encoders.luma import standardised
from avtd3_jax.pixels import scaled

# The paper's table 2: expansion, features, blocks, stride of the first of them.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST_FEATURES, LAST_FEATURES = 32, 1280


class MobileNetV2(nn.Module):
    """torchvision's `mobilenet_v2.features`, for frames in [0, 1]."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """uint8 [B, S, H, W] -> [B, h, w, 1280]; 84x84 gives 3x3."""
        x = scaled(image, self.dtype)

        def conv(
            x: jax.Array,
            name: str,
            features: int,
            kernel: int = 1,
            stride: int = 1,
            *,
            groups: int = 1,
            init: Initializer = kaiming_normal,
        ) -> jax.Array:
            return nn.Conv(
                features,
                (kernel, kernel),
                stride,
                padding=kernel // 2,
                feature_group_count=groups,
                kernel_init=init,
                dtype=self.dtype,
                name=name,
            )(x)

        blocks = _blocks()
        added = branch_end(sum(block.residual for block in blocks))
        x = nn.relu6(conv(standardised(x), "features_0", FIRST_FEATURES, 3, 2))
        self.sow("intermediates", "first_layer", x)
        for block in blocks:
            width, y = x.shape[-1] * block.expansion, x
            if block.expansion > 1:
                y = nn.relu6(conv(y, f"{block.name}_expand", width, init=linear_normal))
            y = nn.relu6(conv(y, f"{block.name}_depthwise", width, 3, block.stride, groups=width))
            y = conv(y, f"{block.name}_project", block.features, init=added if block.residual else kaiming_normal)
            x = x + y if block.residual else y
        return nn.relu6(conv(x, f"features_{len(blocks) + 1}", LAST_FEATURES, init=linear_normal))


@dataclass(frozen=True)
class _Block:
    """An inverted residual block; `residual` where its output has its input's shape."""

    name: str
    expansion: int
    features: int
    stride: int
    residual: bool


def _blocks() -> list[_Block]:
    blocks: list[_Block] = []
    for expansion, features, count, first_stride in STAGES:
        for i in range(count):
            blocks.append(
                _Block(f"features_{len(blocks) + 1}", expansion, features, first_stride if i == 0 else 1, i > 0)
            )
    return blocks


def torchvision_names() -> dict[str, tuple[str, str]]:
    """Parameter's name -> names of the convolution and of its BatchNorm in torchvision's state dict."""
    blocks = _blocks()
    names = {name: (f"{name}.0", f"{name}.1") for name in ("features_0", f"features_{len(blocks) + 1}")}
    for block in blocks:
        layers = [f"{block.name}_{part}" for part in ("expand", "depthwise")[block.expansion == 1 :]]
        for i, layer in enumerate(layers):
            names[layer] = f"{block.name}.conv.{i}.0", f"{block.name}.conv.{i}.1"
        i = len(layers)
        names[f"{block.name}_project"] = f"{block.name}.conv.{i}", f"{block.name}.conv.{i + 1}"
    return {layer: (conv.replace("_", "."), norm.replace("_", ".")) for layer, (conv, norm) in names.items()}
