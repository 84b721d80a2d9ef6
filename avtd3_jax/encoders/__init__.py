"""Image encoders. Their names are here, and nothing of JAX: settings are read, and refused, before it is imported."""

from avtd3_jax.errors import ConfigError

NAMES = ("nature", "small", "impala", "resnet18", "mobilenet_v2")
PRETRAINED = ("resnet18", "mobilenet_v2")  # those that torchvision has ImageNet weights for


def check(name: str, weights: str = "") -> None:
    """Raises ConfigError for an unknown encoder, or where there can be no ImageNet `weights` for it.

    The file of the weights is looked at by `torchvision_weights.load` alone.
    """
    if name not in NAMES:
        raise ConfigError(f"encoder is {name!r}: choose one of {', '.join(NAMES)}.")
    if weights and name not in PRETRAINED:
        raise ConfigError(
            f"encoder_weights is {weights!r}, but there are no ImageNet weights for the encoder {name!r}: leave it "
            f"empty, or choose {' or '.join(PRETRAINED)}."
        )
