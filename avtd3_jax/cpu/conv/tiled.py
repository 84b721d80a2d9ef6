"""Products of a convolution in AMX's tiles: a line of pixels by 32 channels, where words fill tiles.

The gradient of the kernel is not among them: there pairs lie across what a tile takes along a row.
"""

from llvmlite import ir

from avtd3_jax.cpu.code.emitter import POINTER, Emitter, Registers
from avtd3_jax.cpu.code.tiles import WORDS, TiledProduct
from avtd3_jax.cpu.conv import kernels
from avtd3_jax.cpu.conv.kernels import VECTORS, Layer


def forward(module: ir.Module, name: str, layer: Layer, registers: Registers, *, pairs: bool = True) -> ir.Function:
    """`kernels.forward` of pairs, by tiles where they fit."""
    run = layer.kernel * layer.channels // 2  # words of a kernel row, contiguous in x and in the kernel
    if not _fits(layer, registers, run):
        return kernels.forward(module, name, layer, registers, pairs=pairs)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4), name)
    x, kernel, bias, y = function.args
    emitter = Emitter(function, registers, pairs=True)
    block, channels = TiledProduct.COLUMNS, layer.channels // 2
    row_in = layer.width * channels
    sums, product = emitter.memory(4 * TiledProduct.MOST_ROWS * block), TiledProduct(emitter, layer.out_width)
    product.begin()
    with emitter.loop(layer.features, block) as feature, emitter.loop(layer.out_height) as out_row:
        product.clear()
        with emitter.loop(layer.kernel) as kernel_row, emitter.loop(run, WORDS) as k:
            left = emitter.at(x, (out_row, layer.stride * row_in), (kernel_row, row_in), (k, 1))
            right = emitter.at(kernel, (kernel_row, run * layer.features), (k, layer.features), (feature, 1))
            product.step(left, layer.stride * channels, right, layer.features)
        product.put(sums, block)
        with emitter.loop(layer.out_width) as column:
            for half in range(VECTORS):
                start = emitter.load(emitter.at(bias, (feature, 1), half * registers.lanes))
                value = emitter.load(emitter.at(sums, (column, block), half * registers.lanes))
                value = emitter.builder.fadd(value, start)
                place = (out_row, layer.out_width * layer.features), (column, layer.features), (feature, 1)
                target = emitter.at(y, *place, half * registers.lanes, size=2)
                emitter.builder.store(emitter.rounded(emitter.positive(value, value)), target, align=2)
    product.end()
    emitter.finish()
    return function


def input_gradient(
    module: ir.Module, name: str, layer: Layer, registers: Registers, *, pairs: bool = True
) -> ir.Function:
    """`kernels.input_gradient` of pairs, by tiles where they fit."""
    features = layer.features // 2
    if not _fits(layer, registers, features):
        return kernels.input_gradient(module, name, layer, registers, pairs=pairs)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 3), name)
    dy, kernel_t, dx = function.args
    emitter = Emitter(function, registers, pairs=True)
    row_in, tap_size = layer.width * layer.channels, features * layer.channels
    product = TiledProduct(emitter, layer.out_width)
    product.begin()
    with (
        emitter.loop(layer.kernel) as kernel_row,
        emitter.loop(layer.kernel) as kernel_column,
        emitter.loop(layer.channels, TiledProduct.COLUMNS) as channel,
        emitter.loop(layer.out_height) as out_row,
    ):
        place = (out_row, layer.stride * row_in), (kernel_row, row_in), (kernel_column, layer.channels), (channel, 1)
        target = emitter.at(dx, *place)
        product.get(target, layer.stride * layer.channels)
        with emitter.loop(features, WORDS) as feature:
            left = emitter.at(dy, (out_row, layer.out_width * features), (feature, 1))
            tap = (kernel_row, layer.kernel * tap_size), (kernel_column, tap_size)
            right = emitter.at(kernel_t, *tap, (feature, layer.channels), (channel, 1))
            product.step(left, features, right, layer.channels)
        product.put(target, layer.stride * layer.channels)
    product.end()
    emitter.finish()
    return function


def _fits(layer: Layer, registers: Registers, words: int) -> bool:
    """Whether sums of so many words, contiguous for a pixel, fill tiles, and a line of pixels fits into them."""
    wide = VECTORS * registers.lanes == TiledProduct.COLUMNS
    return bool(registers.tiles) and wide and words % WORDS == 0 and layer.out_width <= TiledProduct.MOST_ROWS
