"""A convolutional stack on a CPU at the speed of its matrix units, as a JAX operation with its own gradient.

XLA's convolutions on a CPU stay far below what the machine can multiply; these kernels, compiled at run time by LLVM
for the processor at hand, come near it (benchmarks/README.md). On other devices XLA's convolutions make the stack.
"""

from avtd3_jax.cpu.conv.operation import conv_stack, supports

__all__ = ["conv_stack", "supports"]
