"""Image encoders by name.

Each is a Flax module that takes uint8 [B, S, H, W], S stacked grey frames, and gives its last feature maps
[B, h, w, F]. It sows the first convolution's maps as "first_layer" into the collection "intermediates", for whoever
asks to look.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import flax.linen as nn

from avtd3_jax.encoders import check, mobilenet, resnet
from avtd3_jax.encoders.conv_stack import NATURE, SMALL, ConvStack, cells
from avtd3_jax.encoders.impala import Impala
from avtd3_jax.encoders.mobilenet import MobileNetV2
from avtd3_jax.encoders.resnet import ResNet18


@dataclass(frozen=True)
class ImageEncoder:
    """One encoder.

    module: makes it; takes `dtype`.
    first_conv: name of the first convolution among its parameters.
    cells: (offset, stride) in pixels of its input: the last maps' cell i looks at around offset + stride * i.
    torchvision: parameter's name -> torchvision's names of the convolution and of the BatchNorm after it; empty where
      torchvision has no such network.
    """

    module: Callable[..., nn.Module]
    first_conv: str
    cells: tuple[float, float]
    torchvision: Mapping[str, tuple[str, str]]


ENCODERS: dict[str, ImageEncoder] = {
    "nature": ImageEncoder(partial(ConvStack, NATURE), "Conv_0", cells(NATURE), {}),
    "small": ImageEncoder(partial(ConvStack, SMALL), "Conv_0", cells(SMALL), {}),
    # Convolutions padded by half of their odd kernels: the first cell looks at the first pixel.
    "impala": ImageEncoder(Impala, "section0_conv", (0.0, 8.0), {}),
    "resnet18": ImageEncoder(ResNet18, "conv1", (0.0, 32.0), resnet.torchvision_names()),
    "mobilenet_v2": ImageEncoder(MobileNetV2, "features_0", (0.0, 32.0), mobilenet.torchvision_names()),
}


def image_encoder(name: str) -> ImageEncoder:
    """The encoder `name`; raises ConfigError with the names there are for an unknown one."""
    check(name)
    return ENCODERS[name]
