"""The three products of a convolution on one image, as LLVM IR for this machine's vector registers.

All arrays are float32, NHWC without the N, kernels [kernel, kernel, C, F] (HWIO); convolutions are VALID. A product is
tiled so that its accumulators stay in registers while the inner loop does nothing but multiply and add: a tile is some
pixels (or kernel rows) by two vectors of channels (Goto and van de Geijn 2008, doi:10.1145/1356052.1356053; the direct
form without a patch matrix is Georganas et al. 2018, arXiv:1808.05567). Every trip count is a constant.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
POINTER = ir.PointerType()
VECTORS = 2  # channel vectors a tile
FUSED = ("contract",)  # lets a multiplication and an addition become one instruction where there is one


@dataclass(frozen=True)
class Layer:
    """Shape of one VALID convolution: [height, width, channels] -> [out_height, out_width, features]."""

    height: int
    width: int
    channels: int
    features: int
    kernel: int
    stride: int

    @property
    def out_height(self) -> int:
        return (self.height - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width - self.kernel) // self.stride + 1

    @property
    def in_size(self) -> int:
        return self.height * self.width * self.channels

    @property
    def out_size(self) -> int:
        return self.out_height * self.out_width * self.features

    @property
    def kernel_size(self) -> int:
        return self.kernel**2 * self.channels * self.features


@dataclass(frozen=True)
class Registers:
    """The vector registers to fill: `lanes` floats each, and how many pixels' accumulators fit beside the operands."""

    lanes: int
    pixels: int


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


class Tile:
    """Accumulators of `rows` by VECTORS vectors: total[row] += left[row] * right, one rank-one step at a time."""

    def __init__(self, emitter: Emitter, rows: int) -> None:
        self.emitter = emitter
        self.rows = rows
        self.totals = [[emitter.variable(emitter.vector) for _ in range(VECTORS)] for _ in range(rows)]

    def set(self, row: int, column: int, value: ir.Value) -> None:
        self.emitter.builder.store(value, self.totals[row][column])

    def get(self, row: int, column: int) -> ir.Value:
        return self.emitter.builder.load(self.totals[row][column], typ=self.emitter.vector)

    def step(self, left: Sequence[ir.Value], right: ir.Value) -> None:
        """left: one pointer a row, to the row's scalar; right: pointer to the VECTORS vectors."""
        emitter = self.emitter
        lanes = emitter.registers.lanes
        vectors = [emitter.load(emitter.at(right, column * lanes)) for column in range(VECTORS)]
        for row, pointer in enumerate(left):
            scalar = emitter.splat(emitter.load(pointer, F32))
            for column, vector in enumerate(vectors):
                self.set(row, column, emitter.multiply_add(scalar, vector, self.get(row, column)))


def split(count: int, most: int) -> list[tuple[int, int]]:
    """(start, size) of the fewest parts of at most `most`, as even as can be."""
    parts = -(-count // most)
    sizes = [count // parts + (part < count % parts) for part in range(parts)]
    return [(sum(sizes[:part]), size) for part, size in enumerate(sizes)]


def forward(module: ir.Module, name: str, layer: Layer, registers: Registers) -> ir.Function:
    """name(x, kernel, bias, y): y = relu(conv(x, kernel) + bias)."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), name)
    x, kernel, bias, y = function.args
    emitter = Emitter(function, registers)
    block = VECTORS * registers.lanes
    row_in = layer.width * layer.channels
    run = layer.kernel * layer.channels  # floats of a kernel row, contiguous in x and in the kernel
    rows = max(1, min(layer.out_height, registers.pixels // layer.out_width))  # of y in a tile
    groups = [(0, layer.out_height // rows, rows), (layer.out_height // rows * rows, 1, layer.out_height % rows)]
    with emitter.loop(layer.features, block) as feature:
        for first, repeats, rows in (group for group in groups if group[2]):
            with emitter.loop(repeats) as repeat:
                for start, size in split(layer.out_width, registers.pixels // rows):
                    pixels = [(first + row, start + column) for row in range(rows) for column in range(size)]
                    tile = Tile(emitter, len(pixels))
                    for column in range(VECTORS):
                        value = emitter.load(emitter.at(bias, (feature, 1), column * registers.lanes))
                        for pixel in range(len(pixels)):
                            tile.set(pixel, column, value)
                    with emitter.loop(layer.kernel) as kernel_row, emitter.loop(run) as k:
                        left = [
                            emitter.at(
                                x,
                                layer.stride * (row * row_in + column * layer.channels),
                                (repeat, rows * layer.stride * row_in),
                                (kernel_row, row_in),
                                (k, 1),
                            )
                            for row, column in pixels
                        ]
                        right = emitter.at(
                            kernel, (kernel_row, run * layer.features), (k, layer.features), (feature, 1)
                        )
                        tile.step(left, right)
                    for pixel, (row, column) in enumerate(pixels):
                        for half in range(VECTORS):
                            value = tile.get(pixel, half)
                            pointer = emitter.at(
                                y,
                                (row * layer.out_width + column) * layer.features,
                                (repeat, rows * layer.out_width * layer.features),
                                (feature, 1),
                                half * registers.lanes,
                            )
                            emitter.store(emitter.positive(value, value), pointer)
    emitter.finish()
    return function


def input_gradient(module: ir.Module, name: str, layer: Layer, registers: Registers) -> ir.Function:
    """name(dy, kernel_t, dx): dx += the gradient; kernel_t is [kernel, kernel, F, C]."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 3), name)
    dy, kernel_t, dx = function.args
    emitter = Emitter(function, registers)
    block = VECTORS * registers.lanes
    row_in = layer.width * layer.channels
    tap_size = layer.features * layer.channels
    with (
        emitter.loop(layer.kernel) as kernel_row,
        emitter.loop(layer.kernel) as kernel_column,
        emitter.loop(layer.channels, block) as channel,
        emitter.loop(layer.out_height) as out_row,
    ):
        for start, size in split(layer.out_width, registers.pixels):
            tile = Tile(emitter, size)
            targets = [
                [
                    emitter.at(
                        dx,
                        (out_row, layer.stride * row_in),
                        (kernel_row, row_in),
                        (kernel_column, layer.channels),
                        (start + row) * layer.stride * layer.channels,
                        (channel, 1),
                        column * registers.lanes,
                    )
                    for column in range(VECTORS)
                ]
                for row in range(size)
            ]
            for row in range(size):
                for column in range(VECTORS):
                    tile.set(row, column, emitter.load(targets[row][column]))
            with emitter.loop(layer.features) as feature:
                left = [
                    emitter.at(
                        dy,
                        (out_row, layer.out_width * layer.features),
                        (start + pixel) * layer.features,
                        (feature, 1),
                    )
                    for pixel in range(size)
                ]
                right = emitter.at(
                    kernel_t,
                    (kernel_row, layer.kernel * tap_size),
                    (kernel_column, tap_size),
                    (feature, layer.channels),
                    (channel, 1),
                )
                tile.step(left, right)
            for row in range(size):
                for column in range(VECTORS):
                    emitter.store(tile.get(row, column), targets[row][column])
    emitter.finish()
    return function


def kernel_gradient(module: ir.Module, name: str, layer: Layer, registers: Registers) -> ir.Function:
    """name(x, dy, dkernel, dbias): both += their gradients."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), name)
    x, dy, dkernel, dbias = function.args
    emitter = Emitter(function, registers)
    block = VECTORS * registers.lanes
    row_in = layer.width * layer.channels
    run = layer.kernel * layer.channels
    rows = -(-run // -(-run // registers.pixels))  # as many as fit, in tiles as even as can be; the last may be smaller
    groups = [(0, run // rows, rows), (run // rows * rows, 1, run % rows)]
    with emitter.loop(layer.features, block) as feature, emitter.loop(layer.kernel) as kernel_row:
        for first, repeats, rows in (group for group in groups if group[2]):
            with emitter.loop(repeats) as repeat:
                k = ((repeat, rows), first)
                tile = Tile(emitter, rows)
                for row in range(rows):
                    for column in range(VECTORS):
                        tile.set(row, column, emitter.zero())
                with emitter.loop(layer.out_height) as out_row, emitter.loop(layer.out_width) as out_column:
                    left = [
                        emitter.at(
                            x,
                            (out_row, layer.stride * row_in),
                            (kernel_row, row_in),
                            (out_column, layer.stride * layer.channels),
                            *k,
                            row,
                        )
                        for row in range(rows)
                    ]
                    right = emitter.at(
                        dy, (out_row, layer.out_width * layer.features), (out_column, layer.features), (feature, 1)
                    )
                    tile.step(left, right)
                for row in range(rows):
                    for column in range(VECTORS):
                        target = emitter.at(
                            dkernel,
                            (kernel_row, run * layer.features),
                            (repeat, rows * layer.features),
                            (first + row) * layer.features,
                            (feature, 1),
                            column * registers.lanes,
                        )
                        emitter.store(emitter.builder.fadd(emitter.load(target), tile.get(row, column)), target)
    with emitter.loop(layer.features, registers.lanes) as feature:
        total = emitter.variable(emitter.vector)
        target = emitter.at(dbias, (feature, 1))
        emitter.builder.store(emitter.load(target), total)
        with emitter.loop(layer.out_height * layer.out_width) as pixel:
            value = emitter.load(emitter.at(dy, (pixel, layer.features), (feature, 1)))
            emitter.builder.store(emitter.builder.fadd(emitter.builder.load(total, typ=emitter.vector), value), total)
        emitter.store(emitter.builder.load(total, typ=emitter.vector), target)
    emitter.finish()
    return function
