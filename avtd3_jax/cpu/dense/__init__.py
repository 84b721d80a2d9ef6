"""A dense layer's three products in bfloat16 on a CPU, whose own XLA computes them no faster than in float32."""

from avtd3_jax.cpu.dense.operation import dense, supports

__all__ = ["dense", "supports"]
