"""The three products of a convolution on one image, as LLVM IR for this machine's vector registers.

Arrays are NHWC without the N, kernels [kernel, kernel, C, F] (HWIO); convolutions are VALID. Operands are words
(`Emitter`): float32 one by one, or pairs of bfloat16 along the axis that a product sums over. Sums are float32. A
product is tiled so that its accumulators stay in registers while the inner loop does nothing but multiply and add: a
tile is some pixels (or kernel rows) by two vectors of channels (Goto and van de Geijn 2008,
doi:10.1145/1356052.1356053; the direct form without a patch matrix is Georganas et al. 2018, arXiv:1808.05567). Every
trip count is a constant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from avtd3_jax.cpu.code.emitter import F32, I32, POINTER, Emitter, Registers

VECTORS = 2  # channel vectors a tile


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
        vectors = [emitter.load(emitter.at(right, column * lanes), emitter.words) for column in range(VECTORS)]
        for row, pointer in enumerate(left):
            scalar = emitter.splat(emitter.load(pointer, emitter.word))
            for column, vector in enumerate(vectors):
                self.set(row, column, emitter.multiply_add(scalar, vector, self.get(row, column)))


def split(count: int, most: int) -> list[tuple[int, int]]:
    """(start, size) of the fewest parts of at most `most`, as even as can be."""
    parts = -(-count // most)
    sizes = [count // parts + (part < count % parts) for part in range(parts)]
    return [(sum(sizes[:part]), size) for part, size in enumerate(sizes)]


def forward(module: ir.Module, name: str, layer: Layer, registers: Registers, *, pairs: bool = False) -> ir.Function:
    """name(x, kernel, bias, y): y = relu(conv(x, kernel) + bias).

    pairs: of neighbours in a row of the kernel, which is [kernel, kernel * C / 2, F, 2]; y is rounded to bfloat16.
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), name)
    x, kernel, bias, y = function.args
    emitter = Emitter(function, registers, pairs=pairs)
    block = VECTORS * registers.lanes
    channels = layer.channels // emitter.per_word
    row_in = layer.width * channels
    run = layer.kernel * channels  # words of a kernel row, contiguous in x and in the kernel
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
                                layer.stride * (row * row_in + column * channels),
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
                            place = (
                                (row * layer.out_width + column) * layer.features,
                                (repeat, rows * layer.out_width * layer.features),
                                (feature, 1),
                                half * registers.lanes,
                            )
                            value = emitter.positive(value, value)
                            if pairs:
                                emitter.builder.store(emitter.rounded(value), emitter.at(y, *place, size=2), align=2)
                            else:
                                emitter.store(value, emitter.at(y, *place))
    emitter.finish()
    return function


def input_gradient(
    module: ir.Module, name: str, layer: Layer, registers: Registers, *, pairs: bool = False
) -> ir.Function:
    """name(dy, kernel_t, dx): dx, float32, += the gradient; kernel_t is [kernel, kernel, F, C].

    pairs: of features; kernel_t is [kernel, kernel, F / 2, C, 2].
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 3), name)
    dy, kernel_t, dx = function.args
    emitter = Emitter(function, registers, pairs=pairs)
    block = VECTORS * registers.lanes
    row_in = layer.width * layer.channels
    features = layer.features // emitter.per_word
    tap_size = features * layer.channels
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
            with emitter.loop(features) as feature:
                left = [
                    emitter.at(
                        dy,
                        (out_row, layer.out_width * features),
                        (start + pixel) * features,
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


def kernel_gradient(
    module: ir.Module, name: str, layer: Layer, registers: Registers, *, pairs: bool = False
) -> ir.Function:
    """name(x, dy, dkernel, dbias): both, float32, += their gradients.

    pairs: of two images; x and dy have a pair where they would have a number.
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), name)
    x, dy, dkernel, dbias = function.args
    emitter = Emitter(function, registers, pairs=pairs)
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
    one = emitter.splat(I32(0x3F803F80) if pairs else F32(1.0))
    with emitter.loop(layer.features, registers.lanes) as feature:
        total = emitter.variable(emitter.vector)
        target = emitter.at(dbias, (feature, 1))
        emitter.builder.store(emitter.load(target), total)
        with emitter.loop(layer.out_height * layer.out_width) as pixel:
            value = emitter.load(emitter.at(dy, (pixel, layer.features), (feature, 1)), emitter.words)
            before = emitter.builder.load(total, typ=emitter.vector)
            emitter.builder.store(emitter.multiply_add(value, one, before), total)
        emitter.store(emitter.builder.load(total, typ=emitter.vector), target)
    emitter.finish()
    return function
