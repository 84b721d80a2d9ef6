"""ResNet-18 (He et al. 2016, arXiv:1512.03385), torchvision's, on grey frames.

It has no BatchNorm: as at inference, every one is folded into the convolution before it, which gets a bias. Statistics
of a batch from a replay of a moving policy are of little use, and frozen ones are two constants a channel that fold
without a remainder. So there is nothing to keep beside the parameters, and all of them are trained. The average over
all places before the classifier is left out with it: where something is matters when driving.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from avtd3_jax.encoders.initializers import branch_end, kaiming_normal, linear_normal
from avtd3_jax.encoders.luma import standardised
from avtd3_jax.pixels import scaled

FEATURES = (64, 128, 256, 512)
BLOCKS = 2  # per stage


class ResNet18(nn.Module):
    """torchvision's `resnet18` up to and with layer4, for frames in [0, 1]."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """uint8 [B, S, H, W] -> [B, h, w, 512]; 84x84 gives 3x3."""
        x = scaled(image, self.dtype)

        def conv(
            x: jax.Array, name: str, features: int, kernel: int, stride: int = 1, init: Initializer = kaiming_normal
        ) -> jax.Array:
            return nn.Conv(
                features,
                (kernel, kernel),
                stride,
                padding=kernel // 2,
                kernel_init=init,
                dtype=self.dtype,
                name=name,
            )(x)

        x = nn.relu(conv(standardised(x), "conv1", 64, 7, 2))
        self.sow("intermediates", "first_layer", x)
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for name, features, stride in _blocks():
            y = nn.relu(conv(x, f"{name}_conv1", features, 3, stride))
            y = conv(y, f"{name}_conv2", features, 3, init=branch_end(BLOCKS * len(FEATURES)))
            if x.shape != y.shape:
                x = conv(x, f"{name}_downsample", features, 1, stride, linear_normal)
            x = nn.relu(x + y)
        return x


def _blocks() -> list[tuple[str, int, int]]:
    """Name, features and stride of every residual block."""
    return [
        (f"layer{stage}_{block}", features, 2 if stage > 1 and block == 0 else 1)
        for stage, features in enumerate(FEATURES, 1)
        for block in range(BLOCKS)
    ]


def torchvision_names() -> dict[str, tuple[str, str]]:
    """Parameter's name -> names of the convolution and of its BatchNorm in torchvision's state dict."""
    names = {"conv1": ("conv1", "bn1")}
    for name, _, stride in _blocks():
        theirs = name.replace("_", ".")
        for i in (1, 2):
            names[f"{name}_conv{i}"] = f"{theirs}.conv{i}", f"{theirs}.bn{i}"
        if stride > 1:
            names[f"{name}_downsample"] = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
    return names
