"""Which type the networks multiply in, on the device at hand."""

import jax
import jax.numpy as jnp

from avtd3_jax.agent.config import Asked
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.encoders.conv_stack import ConvStack
from avtd3_jax.encoders.registry import image_encoder


def compute_dtype(asked: Asked, encoder: str, image: tuple[int, int, int] | None) -> str:
    """ "float32" or "bfloat16", for images [S, H, W] or none.

    "auto" is bfloat16 where a CPU has kernels of its own in it (`avtd3_jax.cpu.conv`), and float32 elsewhere. A CPU
    without bfloat16 instructions computes in float32 whatever is asked: it would have to take every number apart.
    """
    on_cpu = jax.default_backend() == "cpu"
    if asked == "auto":
        return "bfloat16" if on_cpu and has_own_kernels(encoder, image, "bfloat16") else "float32"
    return "float32" if asked == "bfloat16" and on_cpu and not registers().bfloat16 else asked


def has_own_kernels(encoder: str, image: tuple[int, int, int] | None, dtype: str) -> bool:
    """Whether a CPU computes this image encoder by kernels of ours, and not by XLA's."""
    module = image_encoder(encoder).module(dtype=jnp.dtype(dtype))
    return image is not None and isinstance(module, ConvStack) and module.has_own_kernels(image)


def described(asked: Asked, found: str) -> str:
    """What is computed in, in a line, and why it is not what was asked for."""
    if asked == "bfloat16" and found == "float32":
        return "float32: this processor has no bfloat16 instructions (AVX512_BF16), which compute_dtype asks for"
    return f"{found} (compute_dtype is 'auto')" if asked == "auto" else found
