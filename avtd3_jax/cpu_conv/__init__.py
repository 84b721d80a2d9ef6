"""A convolutional stack on a CPU at the speed of its matrix units, as a JAX operation with its own gradient.

XLA's convolutions on a CPU reach a fifth to a half of what the machine can multiply; these kernels, compiled at run
time by LLVM for the processor at hand, reach most of it. On other devices the stack is made of XLA's convolutions.
"""

from avtd3_jax.cpu_conv.operation import conv_stack, supports

__all__ = ["conv_stack", "supports"]
