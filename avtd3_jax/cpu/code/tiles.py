"""AMX: a core's eight tile registers of 16 rows by 64 bytes, and the product of two of them (TDPBF16PS).

What each instruction does is in Intel's manual (Software Developer's Manual, volume 2, and volume 1, chapter 18). Where
there is no such processor, the very same code is compiled with a small function in the place of each instruction, which
does that to tiles in memory: slow, and right where the instructions would be.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import F32, I8, I16, I32, I64, POINTER, Emitter, Registers

Kind = Literal["", "instructions", "interpreted"]
ROWS, WORDS = 16, 16  # of a tile, a word being 32 bits
_TILES, _BYTES, _CONFIG = 8, 1024, 64
_COLUMN_BYTES, _ROW_COUNTS = 16, 48  # where a configuration has them, two bytes and one byte a tile


class Tiles:
    """Emits a function's tile instructions. Tiles have numbers from 0 to 7; strides are in bytes."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._interpreted = emitter.registers.tiles == "interpreted"
        self._config = emitter.memory(_CONFIG)
        if self._interpreted:
            self._state = emitter.memory(_CONFIG + _TILES * _BYTES)

    def configure(self, shapes: Sequence[tuple[int, int]]) -> None:
        """Rows and words of a row of each tile; the tiles' contents are lost."""
        content = bytearray(_CONFIG)
        content[0] = 1  # the palette
        for number, (rows, words) in enumerate(shapes):
            content[_COLUMN_BYTES + 2 * number] = 4 * words
            content[_ROW_COUNTS + number] = rows
        kind = ir.VectorType(I8, _CONFIG)
        self._emitter.builder.store(ir.Constant(kind, list(content)), self._config, align=1)
        self._call("ldtilecfg", self._config)

    def release(self) -> None:
        """Ends their use: a core with tiles in use saves them at every switch of threads."""
        self._call("tilerelease")

    def zero(self, tile: int) -> None:
        self._call("tilezero", I8(tile))

    def load(self, tile: int, pointer: ir.Value, stride: int) -> None:
        self._call("tileloadd64", I8(tile), pointer, I64(stride))

    def store(self, tile: int, pointer: ir.Value, stride: int) -> None:
        self._call("tilestored64", I8(tile), pointer, I64(stride))

    def multiply(self, total: int, left: int, right: int) -> None:
        """total [m, n] += left [m, k pairs] times right [k, n pairs]."""
        self._call("tdpbf16ps", I8(total), I8(left), I8(right))

    def _call(self, name: str, *arguments: ir.Value) -> None:
        builder = self._emitter.builder
        if self._interpreted:
            types = [POINTER, *(argument.type for argument in arguments)]
            function = _interpreter(builder.module, name, types, self._emitter.registers)
            builder.call(function, [self._state, *arguments])
            return
        types = [argument.type for argument in arguments]
        builder.call(handler.external(builder.module, f"llvm.x86.{name}", ir.VoidType(), *types), arguments)


def _interpreter(module: ir.Module, name: str, types: Sequence[ir.Type], registers: Registers) -> ir.Function:
    """void name(state, arguments): the instruction; `state` is the configuration, then the tiles."""
    name = f"interpreted_{name}"
    known = module.globals.get(name)
    if known:
        return known
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), name)
    function.linkage = "internal"
    emitter = Emitter(function, registers)
    _MEANINGS[name.removeprefix("interpreted_")](emitter, *function.args)
    emitter.finish()
    return function


def _row(emitter: Emitter, state: ir.Value, tile: ir.Value, row: ir.Value) -> ir.Value:
    return emitter.at(state, _CONFIG, (emitter.builder.zext(tile, I64), _BYTES), (row, 4 * WORDS), size=1)


def _rows(emitter: Emitter, state: ir.Value, tile: ir.Value) -> ir.Value:
    builder = emitter.builder
    place = emitter.at(state, _ROW_COUNTS, (builder.zext(tile, I64), 1), size=1)
    return builder.zext(builder.load(place, typ=I8), I64)


def _column_bytes(emitter: Emitter, state: ir.Value, tile: ir.Value) -> ir.Value:
    builder = emitter.builder
    place = emitter.at(state, _COLUMN_BYTES, (builder.zext(tile, I64), 2), size=1)
    return builder.zext(builder.load(place, typ=I16, align=1), I64)


def _copy(emitter: Emitter, target: ir.Value, source: ir.Value, count: ir.Value) -> None:
    memcpy = handler.external(emitter.builder.module, "memcpy", POINTER, POINTER, POINTER, I64)
    emitter.builder.call(memcpy, [target, source, count])


def _clear(emitter: Emitter, target: ir.Value, count: int) -> None:
    memset = handler.external(emitter.builder.module, "memset", POINTER, POINTER, I32, I64)
    emitter.builder.call(memset, [target, I32(0), I64(count)])


def _ldtilecfg(emitter: Emitter, state: ir.Value, config: ir.Value) -> None:
    _copy(emitter, state, config, I64(_CONFIG))
    _clear(emitter, emitter.at(state, _CONFIG, size=1), _TILES * _BYTES)


def _tilerelease(emitter: Emitter, state: ir.Value) -> None:
    _clear(emitter, state, _CONFIG + _TILES * _BYTES)


def _tilezero(emitter: Emitter, state: ir.Value, tile: ir.Value) -> None:
    _clear(emitter, _row(emitter, state, tile, I64(0)), _BYTES)


def _tileloadd64(emitter: Emitter, state: ir.Value, tile: ir.Value, pointer: ir.Value, stride: ir.Value) -> None:
    _tilezero(emitter, state, tile)
    with emitter.loop(_rows(emitter, state, tile)) as row:
        source = emitter.builder.gep(pointer, [emitter.builder.mul(row, stride)], source_etype=I8)
        _copy(emitter, _row(emitter, state, tile, row), source, _column_bytes(emitter, state, tile))


def _tilestored64(emitter: Emitter, state: ir.Value, tile: ir.Value, pointer: ir.Value, stride: ir.Value) -> None:
    with emitter.loop(_rows(emitter, state, tile)) as row:
        target = emitter.builder.gep(pointer, [emitter.builder.mul(row, stride)], source_etype=I8)
        _copy(emitter, target, _row(emitter, state, tile, row), _column_bytes(emitter, state, tile))


def _tdpbf16ps(emitter: Emitter, state: ir.Value, total: ir.Value, left: ir.Value, right: ir.Value) -> None:
    """The products of the pairs' first and of their second numbers are summed apart, then added to the total.

    The instruction takes numbers too small to be normal for 0, which this does not.
    """
    builder = emitter.builder
    fma = handler.external(builder.module, "llvm.fma.f32", F32, F32, F32, F32)
    four = I64(4)
    depth = builder.udiv(_column_bytes(emitter, state, left), four)
    # Shapes that do not belong together are an error of the instruction: what comes out shows it.
    fits = builder.icmp_unsigned("==", depth, _rows(emitter, state, right))
    fits = builder.and_(fits, builder.icmp_unsigned("==", _rows(emitter, state, total), _rows(emitter, state, left)))
    columns = _column_bytes(emitter, state, total)
    fits = builder.and_(fits, builder.icmp_unsigned("==", columns, _column_bytes(emitter, state, right)))
    with emitter.loop(_rows(emitter, state, total)) as row, emitter.loop(builder.udiv(columns, four)) as column:
        sums = [emitter.variable(F32) for _ in range(2)]
        for each in sums:
            builder.store(F32(0.0), each)
        with emitter.loop(depth) as step:
            words = [
                builder.load(emitter.at(_row(emitter, state, tile, line), (place, 1)), typ=I32, align=4)
                for tile, line, place in ((left, row, step), (right, step, column))
            ]
            for number, each in enumerate(sums):
                a, b = (
                    builder.bitcast(builder.and_(word, I32(0xFFFF0000)) if number else builder.shl(word, I32(16)), F32)
                    for word in words
                )
                builder.store(builder.call(fma, [a, b, builder.load(each, typ=F32)]), each)
        place = emitter.at(_row(emitter, state, total, row), (column, 1))
        value = builder.fadd(builder.load(sums[0], typ=F32), builder.load(sums[1], typ=F32))
        value = builder.fadd(builder.load(place, typ=F32, align=4), value)
        builder.store(builder.select(fits, value, F32(float("nan"))), place, align=4)


_MEANINGS: dict[str, Callable[..., None]] = {
    "ldtilecfg": _ldtilecfg,
    "tilerelease": _tilerelease,
    "tilezero": _tilezero,
    "tileloadd64": _tileloadd64,
    "tilestored64": _tilestored64,
    "tdpbf16ps": _tdpbf16ps,
}


class TiledProduct:
    """Up to 32 rows by 32 columns of a product, in four tiles of sums, with their operands in the other four.

    left: rows of words, contiguous. right: steps of 32 words.
    """

    MOST_ROWS, COLUMNS = 2 * ROWS, 2 * WORDS

    def __init__(self, emitter: Emitter, rows: int) -> None:
        self._emitter, self._tiles = emitter, Tiles(emitter)
        self._heights = [min(ROWS, rows), *([rows - ROWS] if rows > ROWS else [])]

    def begin(self) -> None:
        """Once before products of so many rows, out of their loops."""
        second = self._heights[-1]
        sums = [(rows, WORDS) for rows in (self._heights[0], second) for _ in range(2)]
        self._tiles.configure([*sums, (self._heights[0], WORDS), (second, WORDS), (ROWS, WORDS), (ROWS, WORDS)])

    def end(self) -> None:
        self._tiles.release()

    def clear(self) -> None:
        for number in range(2 * len(self._heights)):
            self._tiles.zero(number)

    def step(self, left: ir.Value, of_row: int, right: ir.Value, of_step: int = COLUMNS) -> None:
        """16 steps of the sum; words from one row to the next on the left, from one step to the next on the right."""
        tiles, emitter = self._tiles, self._emitter
        for half in range(2):
            tiles.load(6 + half, emitter.at(right, half * WORDS), 4 * of_step)
        for number in range(len(self._heights)):
            tiles.load(4 + number, emitter.at(left, number * ROWS * of_row), 4 * of_row)
            for half in range(2):
                tiles.multiply(2 * number + half, 4 + number, 6 + half)

    def get(self, source: ir.Value, of_row: int) -> None:
        """The sums, from rows of float32 that are `of_row` floats apart."""
        for tile, place in self._places(source, of_row):
            self._tiles.load(tile, place, 4 * of_row)

    def put(self, target: ir.Value, of_row: int) -> None:
        """The sums, to such rows."""
        for tile, place in self._places(target, of_row):
            self._tiles.store(tile, place, 4 * of_row)

    def _places(self, base: ir.Value, of_row: int) -> list[tuple[int, ir.Value]]:
        return [
            (2 * number + half, self._emitter.at(base, number * ROWS * of_row + half * WORDS))
            for number in range(len(self._heights))
            for half in range(2)
        ]
