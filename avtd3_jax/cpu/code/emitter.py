"""Code for this machine's vector registers, written as LLVM IR."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from llvmlite import binding as llvm
from llvmlite import ir

from avtd3_jax.cpu.code.tile_permission import tiles_permitted

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
POINTER = ir.PointerType()
FUSED = ("contract",)  # lets a multiplication and an addition become one instruction where there is one


@dataclass(frozen=True)
class Registers:
    """The vector registers to fill.

    lanes: floats in each.
    pixels: how many pixels' accumulators fit beside the operands.
    bfloat16: there is an instruction that multiplies pairs of bfloat16 and adds them to a float32 (VDPBF16PS).
    tiles: how products in bfloat16 are computed in tiles (`tiles.Kind`); "" for vectors alone.
    """

    lanes: int
    pixels: int
    bfloat16: bool = False
    tiles: str = ""

    @property
    def bits(self) -> int:
        return 32 * self.lanes

    @property
    def kind(self) -> str:
        """Part of the name of a function that is compiled for them."""
        return f"{self.lanes}_lanes" + "_of_pairs" * self.bfloat16 + f"_tiles_{self.tiles}" * bool(self.tiles)


@cache
def registers() -> Registers:
    """This machine's vector registers."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        bfloat16 = features.get("avx512bf16", False)
        return Registers(lanes=16, pixels=14, bfloat16=bfloat16, tiles=_tiles(features) if bfloat16 else "")
    if features.get("avx"):
        return Registers(lanes=8, pixels=6)
    return Registers(lanes=4, pixels=6)


def _tiles(features: Mapping[str, bool]) -> str:
    if not (features.get("amx-tile") and features.get("amx-bf16")):
        return ""
    if tiles_permitted():
        return "instructions"
    warnings.warn(
        "This processor has AMX, and the kernel does not let this process use it: products in bfloat16 are computed by "
        "AVX512_BF16, which is slower.",
        stacklevel=2,
    )
    return ""


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Emitter:
    """An IR builder with the few shapes of code that the kernels are made of. Indices are i64, in elements.

    A word is what 32 bits of a product's operand hold: a float32, or with `pairs` two bfloat16, whose two products
    are added. Sums are float32 either way.
    """

    def __init__(self, function: ir.Function, registers: Registers, *, pairs: bool = False) -> None:
        self.registers = registers
        self.per_word = 2 if pairs else 1
        self.vector = ir.VectorType(F32, registers.lanes)
        self.word: ir.Type = I32 if pairs else F32
        self.words = ir.VectorType(self.word, registers.lanes)
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

    def memory(self, nbytes: int) -> ir.Value:
        """So many bytes on the stack."""
        typed = self.variable(ir.ArrayType(I8, nbytes))
        return self._entry.inttoptr(self._entry.ptrtoint(typed, I64), POINTER)

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
        return self.builder.load(pointer, typ=kind, align=4 if kind in (F32, self.vector, self.word, self.words) else 1)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        """A vector to a pointer aligned to one float."""
        self.builder.store(value, pointer, align=4)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """A vector of copies."""
        kind = ir.VectorType(scalar.type, self.registers.lanes)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, I32(0))
        mask = ir.Constant(ir.VectorType(I32, self.registers.lanes), [0] * self.registers.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)

    def multiply_add(self, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
        """a * b + total, of vectors of words; of a pair, the sum of both products."""
        builder = self.builder
        if self.per_word == 1:
            return builder.fadd(total, builder.fmul(a, b, flags=FUSED), flags=FUSED)
        if self.registers.bfloat16:
            pairs = ir.VectorType(BFloat(), 2 * self.registers.lanes)
            name = f"llvm.x86.avx512bf16.dpbf16ps.{self.registers.bits}"
            return builder.call(
                _intrinsic(builder.module, name, self.vector, self.vector, pairs, pairs),
                [total, builder.bitcast(a, pairs), builder.bitcast(b, pairs)],
            )
        for half in (self.second, self.first):  # the order of the instruction
            total = builder.fadd(total, builder.fmul(half(a), half(b), flags=FUSED), flags=FUSED)
        return total

    def first(self, pairs: ir.Value) -> ir.Value:
        """The pairs' first numbers, as floats."""
        return self.builder.bitcast(self.builder.shl(pairs, self.bits(16)), self.vector)

    def second(self, pairs: ir.Value) -> ir.Value:
        """The pairs' second numbers, as floats."""
        return self.builder.bitcast(self.builder.and_(pairs, self.bits(0xFFFF0000)), self.vector)

    def bits(self, value: int) -> ir.Value:
        """A vector of one 32-bit integer."""
        return ir.Constant(ir.VectorType(I32, self.registers.lanes), [value] * self.registers.lanes)

    def rounded(self, value: ir.Value) -> ir.Value:
        """A vector of floats as bfloat16, in i16: to nearest, and to even where two are as near."""
        builder, lanes = self.builder, self.registers.lanes
        short = ir.VectorType(I16, lanes)
        if self.registers.bfloat16:
            narrow = ir.VectorType(BFloat(), lanes)
            name = f"llvm.x86.avx512bf16.cvtneps2bf16.{self.registers.bits}"
            return builder.bitcast(builder.call(_intrinsic(builder.module, name, narrow, self.vector), [value]), short)
        bits = builder.bitcast(value, ir.VectorType(I32, lanes))
        odd = builder.and_(builder.lshr(bits, self.bits(16)), self.bits(1))
        bits = builder.add(bits, builder.add(odd, self.bits(0x7FFF)))
        return builder.trunc(builder.lshr(bits, self.bits(16)), short)

    def paired(self, first: ir.Value, second: ir.Value) -> ir.Value:
        """Words of two vectors of i16."""
        words, builder = ir.VectorType(I32, self.registers.lanes), self.builder
        return builder.or_(builder.zext(first, words), builder.shl(builder.zext(second, words), self.bits(16)))

    def neighbours(self, pointer: ir.Value) -> ir.Value:
        """Two vectors of floats, rounded, as one of words: neighbours are pairs."""
        lanes = self.registers.lanes
        low, high = (self.rounded(self.load(self.at(pointer, half * lanes))) for half in range(2))
        mask = ir.Constant(ir.VectorType(I32, 2 * lanes), list(range(2 * lanes)))
        return self.builder.bitcast(self.builder.shuffle_vector(low, high, mask), ir.VectorType(I32, lanes))

    def transposed(self, rows: list[ir.Value]) -> list[ir.Value]:
        """As many vectors as they have lanes, transposed: perfect shuffles, log2(lanes) times."""
        lanes, half = self.registers.lanes, self.registers.lanes // 2
        low, high = (
            ir.Constant(ir.VectorType(I32, lanes), [lane // 2 + lanes * (lane % 2) + start for lane in range(lanes)])
            for start in (0, half)
        )
        for _ in range(lanes.bit_length() - 1):
            rows = [
                self.builder.shuffle_vector(rows[number], rows[number + half], mask)
                for number in range(half)
                for mask in (low, high)
            ]
        return rows

    def total(self, value: ir.Value) -> ir.Value:
        """The sum of a vector's floats: halves are added to each other until one is left."""
        lanes = self.registers.lanes
        distance = lanes // 2
        while distance:
            mask = ir.Constant(ir.VectorType(I32, lanes), [(lane + distance) % lanes for lane in range(lanes)])
            value = self.builder.fadd(value, self.builder.shuffle_vector(value, value, mask))
            distance //= 2
        return self.builder.extract_element(value, I32(0))

    def zero(self) -> ir.Value:
        """A vector of zeros."""
        return ir.Constant(self.vector, [0.0] * self.registers.lanes)

    def positive(self, value: ir.Value, where: ir.Value) -> ir.Value:
        """`value` where `where` > 0, else 0."""
        return self.builder.select(self.builder.fcmp_ordered(">", where, self.zero()), value, self.zero())


def _intrinsic(module: ir.Module, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)
