"""MLPs with ReLU on a CPU, an ensemble of them in one call: outputs, and gradients of parameters and input."""

from avtd3_jax.cpu.mlp.operation import mlp, supports

__all__ = ["mlp", "supports"]
