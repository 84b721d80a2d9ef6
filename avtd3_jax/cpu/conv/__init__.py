"""A convolutional stack on a CPU at the speed of its matrix units, as a JAX operation with its own gradient.

XLA's convolutions on a CPU stay far below what the machine can multiply; these kernels, compiled at run time by LLVM
for the processor at hand, come near it (benchmarks/README.md). Lowered for another device, the stack is XLA's own.
"""

from avtd3_jax.cpu.conv.operation import conv_stack, convolution, supports
from avtd3_jax.cpu.conv.program import DTYPES, Dtype

__all__ = ["DTYPES", "Dtype", "conv_stack", "convolution", "supports"]
