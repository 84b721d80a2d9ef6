"""Code for this machine's vector registers, written as LLVM IR."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from llvmlite import binding as llvm
from llvmlite import ir

I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
POINTER = ir.PointerType()
FUSED = ("contract",)  # lets a multiplication and an addition become one instruction where there is one


@dataclass(frozen=True)
class Registers:
    """The vector registers to fill: `lanes` floats each, and how many pixels' accumulators fit beside the operands."""

    lanes: int
    pixels: int

    @property
    def bits(self) -> int:
        return 32 * self.lanes


@cache
def registers() -> Registers:
    """This machine's vector registers."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Registers(lanes=16, pixels=14)
    if features.get("avx"):
        return Registers(lanes=8, pixels=6)
    return Registers(lanes=4, pixels=6)


class Emitter:
    """An IR builder with the few shapes of code that the kernels are made of. Indices are i64, in elements."""

    def __init__(self, function: ir.Function, registers: Registers) -> None:
        self.registers = registers
        self.vector = ir.VectorType(F32, registers.lanes)
        self._entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.builder = ir.IRBuilder(function.append_basic_block("body"))
        self._body = self.builder.block

    def finish(self) -> None:
        """Closes the function, which returns nothing."""
        self.builder.ret_void()
        self._entry.branch(self._body)

    def variable(self, kind: ir.Type) -> ir.Value:
        """A local variable; the optimiser turns it into a register."""
        return self._entry.alloca(kind)

    @contextmanager
    def loop(self, stop: int | ir.Value, step: int = 1, *, first: ir.Value | None = None) -> Iterator[ir.Value]:
        """for index in range(first or 0, stop, step), run at least once."""
        builder = self.builder
        end = stop if isinstance(stop, ir.Value) else I64(stop)
        index = self.variable(I64)
        builder.store(I64(0) if first is None else first, index)
        body = builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(body)
        builder.position_at_end(body)
        value = builder.load(index, typ=I64)
        yield value
        following = builder.add(value, I64(step))
        builder.store(following, index)
        builder.cbranch(builder.icmp_signed("<", following, end), body, after)
        builder.position_at_end(after)

    def at(self, base: ir.Value, *terms: int | tuple[ir.Value, int], size: int = 4) -> ir.Value:
        """Pointer to the element at the sum of constants and of (index, factor) pairs."""
        offset: ir.Value = I64(sum(term for term in terms if isinstance(term, int)))
        for term in terms:
            if not isinstance(term, int):
                offset = self.builder.add(offset, self.builder.mul(term[0], I64(term[1])))
        return self.builder.gep(base, [self.builder.mul(offset, I64(size))], source_etype=I8)

    def load(self, pointer: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        """A vector (or `kind`) at a pointer aligned to one element."""
        kind = kind or self.vector
        return self.builder.load(pointer, typ=kind, align=4 if kind in (F32, self.vector) else 1)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        """A vector to a pointer aligned to one float."""
        self.builder.store(value, pointer, align=4)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """A vector of copies."""
        one = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, I32(0))
        mask = ir.Constant(ir.VectorType(I32, self.registers.lanes), [0] * self.registers.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), mask)

    def multiply_add(self, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
        """a * b + total."""
        return self.builder.fadd(total, self.builder.fmul(a, b, flags=FUSED), flags=FUSED)

    def zero(self) -> ir.Value:
        """A vector of zeros."""
        return ir.Constant(self.vector, [0.0] * self.registers.lanes)

    def positive(self, value: ir.Value, where: ir.Value) -> ir.Value:
        """`value` where `where` > 0, else 0."""
        return self.builder.select(self.builder.fcmp_ordered(">", where, self.zero()), value, self.zero())
