"""The product as a differentiable JAX function."""

import jax
import jax.numpy as jnp

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.cpu.dense import program

FEWEST = 16  # rows: with fewer, arranging the kernel takes longer than multiplying by it


def supports(batch: int, inputs: int, outputs: int) -> bool:
    """Whether there are kernels for [batch, inputs] times [inputs, outputs] in bfloat16, should a CPU compute.

    There are none for a batch over several devices: the compiler could not split it.
    """
    if not jax.sharding.get_abstract_mesh().empty:
        return False
    fits = batch >= FEWEST and batch % 2 == 0 and inputs % program.block() == outputs % program.block() == 0
    return fits and registers().bfloat16 and handler.interface_known()


@jax.custom_vjp
def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel with operands in bfloat16: by these kernels on a CPU, by XLA anywhere else.

    Args:
      x: bfloat16 [B, K].
      kernel: float32 [K, N]; rounded to bfloat16 for the product.

    Returns:
      float32 [B, N]; the gradient that comes back is rounded to bfloat16, and the kernel's is float32.

    Raises:
      TypeError: an operand is of another type: the kernels would read other numbers.
    """
    if (x.dtype, kernel.dtype) != (jnp.bfloat16, jnp.float32):
        raise TypeError(f"x is {x.dtype} and the kernel {kernel.dtype}: they must be bfloat16 and float32.")
    size = (x.shape[0], x.shape[1], kernel.shape[1])

    def own(x: jax.Array, kernel: jax.Array) -> jax.Array:
        results = (_array((size[0], size[2]), jnp.float32), _panels(size[2], size[1]))
        return jax.ffi.ffi_call(program.targets(size).forward, results)(x, kernel)[0]

    def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return (x @ kernel.astype(jnp.bfloat16)).astype(jnp.float32)

    return jax.lax.platform_dependent(x, kernel, cpu=own, default=by_xla)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return dense(x, kernel), (x, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    batch, inputs, outputs = size = (x.shape[0], x.shape[1], kernel.shape[1])

    def own(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        of_input, of_kernel = program.targets(size).input_gradient, program.targets(size).kernel_gradient
        dx = jax.ffi.ffi_call(of_input, (_array(x.shape, jnp.bfloat16), _panels(inputs, outputs)))(dy, kernel)[0]
        columns = program.block()
        pairs = dy.reshape(batch // 2, 2, outputs // columns, columns).transpose(2, 0, 3, 1)
        results = (_array(kernel.shape, jnp.float32), _panels(inputs, batch))
        return dx, jax.ffi.ffi_call(of_kernel, results)(x, pairs)[0]

    def by_xla(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        return dy @ kernel.astype(jnp.bfloat16).T, (x.T @ dy).astype(jnp.float32)

    return jax.lax.platform_dependent(x, kernel, gradient.astype(jnp.bfloat16), cpu=own, default=by_xla)


dense.defvjp(_forward, _backward)


def _array(shape: tuple[int, ...], dtype: jnp.dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _panels(columns: int, summed: int) -> jax.ShapeDtypeStruct:
    """The scratch of all chunks: one block of `columns` each, by `summed` numbers in pairs."""
    return _array((columns, summed // 2), jnp.float32)
