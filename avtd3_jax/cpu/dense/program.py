"""The products of a dense layer in pairs of bfloat16: the handlers that XLA calls.

A chunk of work is a block of the columns of the result, or of the rows of the kernel: it rounds and pairs its part of
the float32 kernel into a panel that stays in a cache of its core, and multiplies all rows of the other operand by it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from llvmlite import ir

from avtd3_jax.cpu.code import engine, handler
from avtd3_jax.cpu.code.emitter import I16, I64, Emitter, Registers, registers
from avtd3_jax.cpu.code.tiles import WORDS, TiledProduct
from avtd3_jax.cpu.conv.kernels import VECTORS, Tile

Size = tuple[int, int, int]  # batch, inputs, outputs


@dataclass(frozen=True)
class Targets:
    """Names of the registered custom calls."""

    forward: str
    input_gradient: str
    kernel_gradient: str


def block() -> int:
    """Columns of a chunk: inputs and outputs of a layer are to be multiples of it."""
    return VECTORS * registers().lanes


def targets(size: Size) -> Targets:
    """Compiles the products for this machine and registers them with XLA, once a process."""
    with engine.ALONE:
        return _targets(size, registers())


@cache
def _targets(size: Size, registers: Registers) -> Targets:
    kind = f"{registers.kind}_{'x'.join(map(str, size))}"
    names = Targets(*(f"avtd3_dense_{part}_{kind}" for part in ("forward", "input_gradient", "kernel_gradient")))

    def build(module: ir.Module) -> None:
        products = _Products(module, size, registers)
        columns = VECTORS * registers.lanes
        for name, chunk, count in (
            (names.forward, products.forward, size[2] // columns),
            (names.input_gradient, products.input_gradient, size[1] // columns),
            (names.kernel_gradient, products.kernel_gradient, size[1] // columns),
        ):
            handler.define(module, name, chunk(name + "_chunk"), count)

    engine.register((names.forward, names.input_gradient, names.kernel_gradient), build)
    return names


class _Products:
    """The chunk functions of a layer."""

    def __init__(self, module: ir.Module, size: Size, registers: Registers) -> None:
        self.module, self.registers = module, registers
        self.batch, self.inputs, self.outputs = size
        self.columns = VECTORS * registers.lanes

    def _chunk(self, name: str) -> tuple[Emitter, Callable[[int], ir.Value], Callable[[int], ir.Value], ir.Value]:
        """A chunk function's beginning: its operands, results, and number."""
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, chunk, _, _ = function.args
        emitter = Emitter(function, self.registers, pairs=True)

        def of(frame_list: ir.Value) -> Callable[[int], ir.Value]:
            return lambda number: handler.data(emitter.builder, frame_list, number)

        return emitter, of(args), of(results), chunk

    def forward(self, name: str) -> ir.Function:
        """Operands: x [B, K] bfloat16, kernel [K, N] float32. Results: y [B, N] float32, a panel a chunk."""
        emitter, operand, result, chunk = self._chunk(name)
        x, kernel, y = operand(0), operand(1), result(0)
        panel = emitter.at(result(1), (chunk, self.inputs // 2 * self.columns))
        lanes = self.registers.lanes
        with emitter.loop(self.inputs // 2) as pair:
            for half in range(VECTORS):
                first, second = (
                    emitter.rounded(
                        emitter.load(
                            emitter.at(
                                kernel,
                                (pair, 2 * self.outputs),
                                row * self.outputs,
                                (chunk, self.columns),
                                half * lanes,
                            )
                        )
                    )
                    for row in range(2)
                )
                target = emitter.at(panel, (pair, self.columns), half * lanes)
                emitter.builder.store(emitter.paired(first, second), target, align=4)
        y = emitter.at(y, (chunk, self.columns))
        self._multiply(emitter, (x, self.inputs // 2, 1), panel, self.inputs // 2, self.batch, (y, self.outputs))
        return self._end(emitter)

    def input_gradient(self, name: str) -> ir.Function:
        """Operands: dy [B, N] bfloat16, kernel [K, N] float32. Results: dx [B, K] bfloat16, a panel a chunk."""
        emitter, operand, result, chunk = self._chunk(name)
        dy, kernel, dx = operand(0), operand(1), result(0)
        panel = emitter.at(result(1), (chunk, self.outputs // 2 * self.columns))
        lanes = self.registers.lanes
        with emitter.loop(self.outputs, 2 * lanes) as output:
            for half in range(VECTORS):
                rows = [
                    emitter.neighbours(
                        emitter.at(
                            kernel,
                            (chunk, self.columns * self.outputs),
                            (half * lanes + row) * self.outputs,
                            (output, 1),
                        ),
                    )
                    for row in range(lanes)
                ]
                for number, words in enumerate(emitter.transposed(rows)):
                    # Half as many words as outputs, each `columns` wide.
                    target = emitter.at(panel, (output, self.columns // 2), number * self.columns, half * lanes)
                    emitter.builder.store(words, target, align=4)
        dx = emitter.at(dx, (chunk, self.columns), size=2)
        left = (dy, self.outputs // 2, 1)
        self._multiply(emitter, left, panel, self.outputs // 2, self.batch, (dx, self.inputs), rounded=True)
        return self._end(emitter)

    def kernel_gradient(self, name: str) -> ir.Function:
        """Operands: x [B, K], dy [N / columns, B / 2, columns, 2], bfloat16. Results: [K, N] float32, panels."""
        emitter, operand, result, chunk = self._chunk(name)
        builder, lanes, pairs = emitter.builder, self.registers.lanes, self.batch // 2
        x, dy, dkernel = operand(0), operand(1), result(0)
        panel = emitter.at(result(1), (chunk, pairs * self.columns))
        short = ir.VectorType(I16, lanes)

        def words(pair: ir.Value, row: int, half: int) -> ir.Value:
            """Of pair number `pair + row`, columns from `half` vectors on."""
            place = (pair, 2 * self.inputs), (chunk, self.columns)
            first, second = (
                builder.load(
                    emitter.at(x, *place, (2 * row + other) * self.inputs, half * lanes, size=2), typ=short, align=2
                )
                for other in range(2)
            )
            return emitter.paired(first, second)

        in_rows = self._by_tiles(pairs)  # a tile takes the panel's columns as rows
        with emitter.loop(pairs, lanes if in_rows else 1) as pair:
            for half in range(VECTORS):
                if in_rows:
                    found = emitter.transposed([words(pair, row, half) for row in range(lanes)])
                    for number, vector in enumerate(found):
                        emitter.store(vector, emitter.at(panel, (half * lanes + number) * pairs, (pair, 1)))
                else:
                    emitter.store(words(pair, 0, half), emitter.at(panel, (pair, self.columns), half * lanes))
        left = (panel, pairs, 1) if in_rows else (panel, 1, self.columns)
        with emitter.loop(self.outputs // self.columns) as part:
            right = emitter.at(dy, (part, pairs * self.columns))
            target = emitter.at(dkernel, (chunk, self.columns * self.outputs), (part, self.columns))
            self._multiply(emitter, left, right, pairs, self.columns, (target, self.outputs))
        return self._end(emitter)

    def _multiply(
        self,
        emitter: Emitter,
        left: tuple[ir.Value, int, int],
        panel: ir.Value,
        steps: int,
        rows: int,
        out: tuple[ir.Value, int],
        *,
        rounded: bool = False,
    ) -> None:
        """out[row] = sum of left[row, step] * panel[step]; `left` and `out` come with the strides of their axes."""
        base, of_row, of_step = left
        if self._by_tiles(steps) and of_step == 1:
            self._multiply_tiles(emitter, (base, of_row), panel, steps, rows, out, rounded=rounded)
            return
        target, of_target = out
        lanes, most = self.registers.lanes, self.registers.pixels
        size = -(-rows // -(-rows // most))  # tiles as even as can be; the last may be smaller
        groups = [(0, rows // size, size), (rows // size * size, 1, rows % size)]
        for first, repeats, size in (group for group in groups if group[2]):
            with emitter.loop(repeats) as repeat:
                tile = Tile(emitter, size)
                for row in range(size):
                    for column in range(VECTORS):
                        tile.set(row, column, emitter.zero())
                with emitter.loop(steps) as step:
                    pointers = [
                        emitter.at(base, (repeat, size * of_row), (first + row) * of_row, (step, of_step))
                        for row in range(size)
                    ]
                    tile.step(pointers, emitter.at(panel, (step, self.columns)))
                for row in range(size):
                    for column in range(VECTORS):
                        place = ((repeat, size * of_target), (first + row) * of_target, column * lanes)
                        value = tile.get(row, column)
                        if rounded:
                            narrow = emitter.rounded(value)
                            emitter.builder.store(narrow, emitter.at(target, *place, size=2), align=2)
                        else:
                            emitter.store(value, emitter.at(target, *place))

    def _by_tiles(self, steps: int) -> bool:
        """Whether a sum of so many pairs is computed in tiles: they are to be full."""
        return bool(self.registers.tiles) and self.columns == TiledProduct.COLUMNS and steps % WORDS == 0

    def _multiply_tiles(
        self,
        emitter: Emitter,
        left: tuple[ir.Value, int],
        panel: ir.Value,
        steps: int,
        rows: int,
        out: tuple[ir.Value, int],
        *,
        rounded: bool,
    ) -> None:
        """`_multiply` where a row of `left` is contiguous."""
        (base, of_row), (target, of_target) = left, out
        lanes, most = self.registers.lanes, TiledProduct.MOST_ROWS
        sums = emitter.memory(4 * most * self.columns)
        for first, repeats, size in ((0, rows // most, most), (rows // most * most, 1, rows % most)):
            if not (repeats and size):
                continue
            product = TiledProduct(emitter, size)
            product.begin()
            with emitter.loop(repeats) as repeat:
                row = emitter.builder.add(I64(first), emitter.builder.mul(repeat, I64(size)))
                product.clear()
                with emitter.loop(steps, WORDS) as step:
                    start = emitter.at(base, (row, of_row), (step, 1))
                    product.step(start, of_row, emitter.at(panel, (step, self.columns)))
                if rounded:
                    product.put(sums, self.columns)
                    with emitter.loop(size) as number:
                        for column in range(VECTORS):
                            value = emitter.load(emitter.at(sums, (number, self.columns), column * lanes))
                            place = (row, of_target), (number, of_target), column * lanes
                            narrow = emitter.rounded(value)
                            emitter.builder.store(narrow, emitter.at(target, *place, size=2), align=2)
                else:
                    product.put(emitter.at(target, (row, of_target)), of_target)
            product.end()

    @staticmethod
    def _end(emitter: Emitter) -> ir.Function:
        emitter.finish()
        return emitter.builder.function
