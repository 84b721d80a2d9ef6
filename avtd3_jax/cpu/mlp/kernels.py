"""What the chunk functions of an ensemble of MLPs on one input share, as LLVM IR.

Operands of products are words (`Emitter`): float32, or pairs of bfloat16 along the axis that a product sums over. Sums
are float32. A block is two vectors of columns. Three layouts:
  panel  [K / block, N words, block]  a kernel, arranged once a call: a step of a product is two whole vectors.
  rows   [N / block, B, block as words]  hidden values or their gradients, pairs along the features.
  zipped [N / block, B as words, block]  the same, pairs along the batch; in float32 it is one with `rows`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import I64, Emitter, Registers
from avtd3_jax.cpu.code.tiles import WORDS, TiledProduct
from avtd3_jax.cpu.conv.kernels import VECTORS, Tile, split

Loops = Sequence[tuple[int, int, int]]  # of a product's sum: steps, and the words between them left and right


@dataclass(frozen=True)
class Shape:
    """An ensemble: widths are those of the input, of every hidden layer and of the output."""

    batch: int
    members: int
    widths: tuple[int, ...]

    @property
    def hidden(self) -> tuple[int, ...]:
        return self.widths[1:-1]


@dataclass(frozen=True)
class Job:
    """`count` calls of chunk function `function`, which gets (number // per, number % per) for number and chunks."""

    function: ir.Function
    count: int
    per: int


class Kernels:
    """What writes chunk functions of one ensemble. Hidden layers are counted from 0."""

    def __init__(self, module: ir.Module, shape: Shape, registers: Registers, *, pairs: bool) -> None:
        self.module, self.shape, self.registers, self.pairs = module, shape, registers, pairs
        self.per = 2 if pairs else 1
        self.block = VECTORS * registers.lanes
        self.word_block = self.block // self.per

    def words(self, count: int) -> int:
        """Words of so many numbers."""
        return -(-count // self.per)

    def forward_place(self, layer: int) -> int:
        """Where a hidden layer's panel begins among a member's; of one layer more than there are: how long they are."""
        widths = self.shape.widths
        return sum(self.words(widths[number]) * widths[number + 1] for number in range(layer))

    def backward_place(self, layer: int) -> int:
        """Likewise of the transposed kernels, of all hidden layers but the first."""
        hidden = self.shape.hidden
        return sum(self.words(hidden[number]) * hidden[number - 1] for number in range(1, layer))

    def input_panel_words(self) -> int:
        """Words of the first layer's transposed kernel, of a member."""
        return self.words(self.shape.hidden[0]) * self.block * -(-self.shape.widths[0] // self.block)

    def dispatch(self, name: str, phases: Sequence[Sequence[Job]]) -> tuple[ir.Function, int, list[int]]:
        """A chunk function that does the jobs of all phases, its number of chunks, and the barriers between phases."""
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, number, _, batch = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        begin, barriers = 0, []
        for phase in phases:
            barriers.append(begin)
            for job in phase:
                inside = builder.icmp_unsigned("<", builder.sub(number, I64(begin)), I64(job.count))
                with builder.if_then(inside):
                    local = builder.sub(number, I64(begin))
                    parts = [builder.sdiv(local, I64(job.per)), builder.srem(local, I64(job.per))]
                    builder.call(job.function, [args, results, *parts, batch])
                begin += job.count
        builder.ret_void()
        return function, begin, [barrier for barrier in barriers if barrier]

    def _begin(self, name: str) -> tuple[Emitter, ir.Value, ir.Value, ir.Value, ir.Value]:
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, number, chunks, _ = function.args
        return Emitter(function, self.registers, pairs=self.pairs), args, results, number, chunks

    @staticmethod
    def _end(emitter: Emitter) -> ir.Function:
        emitter.finish()
        return emitter.builder.function

    @staticmethod
    def _scratch(emitter: Emitter, results: ir.Value, result: int, member: ir.Value, words: int) -> ir.Value:
        """A member's part of a result of so many words each."""
        return emitter.at(handler.data(emitter.builder, results, result), (member, words))

    def _zipped(self, emitter: Emitter, frame_list: ir.Value, first: int, layer: int, member: ir.Value) -> ir.Value:
        """A member's values of a hidden layer, of buffers `first` on."""
        words = self.shape.batch * self.shape.hidden[layer] // self.per
        return emitter.at(handler.data(emitter.builder, frame_list, first + layer), (member, words))

    def _both(
        self, emitter: Emitter, results: ir.Value, first: int, layer: int, member: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """Likewise of results, `zipped` and as `rows`, which follow those of all layers."""
        zipped = self._zipped(emitter, results, first, layer, member)
        if not self.pairs:
            return zipped, zipped
        return zipped, self._zipped(emitter, results, first + len(self.shape.hidden), layer, member)

    def _block_loops(self, width: int, block: int) -> Loops:
        """The sum over a hidden layer's features, on the left in `rows`."""
        blocks, words = width // self.block, self.word_block
        return (blocks, self.shape.batch * words, words * block), (words, 1, block)

    def _sums(
        self,
        emitter: Emitter,
        rows: int,
        left: ir.Value,
        of_row: int,
        panel: ir.Value,
        loops: Loops,
        start: Sequence[ir.Value],
    ) -> Iterator[tuple[ir.Value, list[list[ir.Value]]]]:
        """start + the sum of left[row] * panel over nested loops, for so many rows: some rows at a time, in loops.

        Yields the first row and the values, two vectors a row.
        """
        if not self._by_tiles(loops):
            for row, size in self._rows_of_tiles(emitter, rows):
                base = emitter.at(left, (row, of_row))
                yield row, self._values(self._product(emitter, size, base, of_row, panel, loops, start))
            return
        sums, most = emitter.memory(4 * TiledProduct.MOST_ROWS * self.block), TiledProduct.MOST_ROWS
        for first, repeats, size in ((0, rows // most, most), (rows // most * most, 1, rows % most)):
            if not (repeats and size):
                continue
            product, piece = TiledProduct(emitter, size), math.gcd(size, 8)
            product.begin()
            with emitter.loop(repeats) as repeat:
                row = emitter.builder.add(I64(first), emitter.builder.mul(repeat, I64(size)))
                product.clear()
                self._add_up(emitter, product, loops, emitter.at(left, (row, of_row)), of_row, panel)
                product.put(sums, self.block)
                with emitter.loop(size, piece) as number:
                    yield (
                        emitter.builder.add(row, number),
                        [
                            [
                                emitter.builder.fadd(
                                    emitter.load(
                                        emitter.at(
                                            sums, (number, self.block), line * self.block, half * self.registers.lanes
                                        )
                                    ),
                                    start[half],
                                )
                                for half in range(VECTORS)
                            ]
                            for line in range(piece)
                        ],
                    )
            product.end()

    def _by_tiles(self, loops: Loops) -> bool:
        """Whether a sum is computed in tiles: their words are to be full, and contiguous on the left."""
        steps, of_left, of_right = loops[-1]
        fits = steps % WORDS == 0 and (of_left, of_right) == (1, TiledProduct.COLUMNS)
        return self.pairs and bool(self.registers.tiles) and fits

    def _add_up(
        self, emitter: Emitter, product: TiledProduct, loops: Loops, left: ir.Value, of_row: int, right: ir.Value
    ) -> None:
        (steps, of_left, of_right), *inner = loops
        with emitter.loop(steps, 1 if inner else WORDS) as step:
            left, right = emitter.at(left, (step, of_left)), emitter.at(right, (step, of_right))
            if inner:
                self._add_up(emitter, product, inner, left, of_row, right)
            else:
                product.step(left, of_row, right)

    def _rows_of_tiles(self, emitter: Emitter, rows: int) -> Iterator[tuple[ir.Value, int]]:
        """First rows and sizes of tiles of registers that cover so many rows, in loops."""
        parts = split(rows // self.per, self.registers.pixels // self.per)
        for first, repeats, size in grouped([(start * self.per, size * self.per) for start, size in parts]):
            with emitter.loop(repeats) as repeat:
                yield emitter.builder.add(I64(first), emitter.builder.mul(repeat, I64(size))), size

    def _product(
        self,
        emitter: Emitter,
        rows: int,
        left: ir.Value,
        of_row: int,
        panel: ir.Value,
        loops: Loops,
        start: Sequence[ir.Value],
    ) -> Tile:
        """start + the sum of left[row] * panel over nested loops."""
        tile = Tile(emitter, rows)
        for row in range(rows):
            for column, value in enumerate(start):
                tile.set(row, column, value)

        def nest(loops: Loops, left: ir.Value, right: ir.Value) -> None:
            if not loops:
                tile.step([emitter.at(left, row * of_row) for row in range(rows)], right)
                return
            (steps, of_left, of_right), *inner = loops
            with emitter.loop(steps) as step:
                nest(inner, emitter.at(left, (step, of_left)), emitter.at(right, (step, of_right)))

        nest(loops, left, panel)
        return tile

    @staticmethod
    def _values(tile: Tile) -> list[list[ir.Value]]:
        return [[tile.get(row, column) for column in range(VECTORS)] for row in range(tile.rows)]


def grouped(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(start, size) of parts in a row -> (first, how many, size) of each run of equal ones."""
    groups: list[tuple[int, int, int]] = []
    for start, size in parts:
        if groups and groups[-1][2] == size:
            groups[-1] = (groups[-1][0], groups[-1][1] + 1, size)
        else:
            groups.append((start, 1, size))
    return groups
