"""A stack of convolutions, forward and backward, compiled for this machine: the handlers that XLA calls.

One image goes through all layers before the next one starts, so everything between frames and parameters stays in a
core's own cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir

from avtd3_jax.cpu.code import engine, handler
from avtd3_jax.cpu.code.emitter import F32, I8, I32, I64, POINTER, Emitter, Registers, registers
from avtd3_jax.cpu.code.handler import ResultAxis
from avtd3_jax.cpu.conv import kernels
from avtd3_jax.cpu.conv.kernels import Layer


def fits(layers: Sequence[Layer]) -> bool:
    """Whether the kernels can compute these layers: no output is empty, and features fill whole vectors."""
    block = kernels.VECTORS * registers().lanes
    plane = layers[0].height * layers[0].width
    sizes = [size for layer in layers for size in (layer.out_height, layer.out_width)]
    return plane >= registers().lanes and min(sizes) > 0 and all(layer.features % block == 0 for layer in layers)


@dataclass(frozen=True)
class Targets:
    """Names of the registered custom calls."""

    forward: str  # keeps every layer's output
    features: str  # keeps the last layer's alone
    backward: str


def targets(layers: tuple[Layer, ...]) -> Targets:
    """Compiles the layers for this machine and registers them with XLA, once a process."""
    return _targets(layers, registers())


@cache
def _targets(layers: tuple[Layer, ...], registers: Registers) -> Targets:
    shape = "_".join(f"{x.height}x{x.width}x{x.channels}k{x.kernel}s{x.stride}f{x.features}" for x in layers)
    names = Targets(
        *(f"avtd3_conv_{kind}_{registers.lanes}_lanes_{shape}" for kind in ("forward", "features", "backward"))
    )
    module = ir.Module("conv_stack")
    stack = _Stack(module, layers, registers)
    handler.define(module, names.forward, stack.forward(names.forward + "_chunk", keep=True), ResultAxis(len(layers)))
    handler.define(module, names.features, stack.forward(names.features + "_chunk", keep=False), ResultAxis(1))
    handler.define(module, names.backward, stack.backward(names.backward + "_chunk"), ResultAxis(2 * len(layers)))
    engine.register(module, (names.forward, names.features, names.backward))
    return names


class _Stack:
    """The chunk functions of a stack of layers."""

    def __init__(self, module: ir.Module, layers: Sequence[Layer], registers: Registers) -> None:
        self.module = module
        self.layers = layers
        self.registers = registers
        self._convert = self._define_convert()
        self._mask = self._define_mask()
        self._forward = [
            kernels.forward(module, f"forward{number}", layer, registers) for number, layer in enumerate(layers)
        ]
        self._kernel_gradient = [
            kernels.kernel_gradient(module, f"kernel_gradient{number}", layer, registers)
            for number, layer in enumerate(layers)
        ]
        self._input_gradient = {
            number: kernels.input_gradient(module, f"input_gradient{number}", layer, registers)
            for number, layer in enumerate(layers)
            if number
        }

    def forward(self, name: str, *, keep: bool) -> ir.Function:
        """Operands: frames, then kernel and bias of every layer. Results: kept outputs, then a scratch a chunk.

        keep: every layer's output is a result; otherwise the last one alone.
        """
        layers = self.layers
        emitter, args, results, chunk, image = self._images(name)
        builder = emitter.builder
        frames = handler.data(builder, args, 0)
        scratch = self._row(emitter, handler.data(builder, results, len(layers) if keep else 1), chunk, keep=keep)
        with image() as number:
            builder.call(self._convert, [emitter.at(frames, (number, layers[0].in_size), size=1), scratch])
            x, offset = scratch, layers[0].in_size
            for index, layer in enumerate(layers):
                if keep or index == len(layers) - 1:
                    y = handler.data(builder, results, index if keep else 0)
                    y = emitter.at(y, (number, layer.out_size))
                else:
                    y, offset = emitter.at(scratch, offset), offset + layer.out_size
                weights = [handler.data(builder, args, 1 + 2 * index + part) for part in range(2)]
                builder.call(self._forward[index], [x, *weights, y])
                x = y
        return self._end(emitter)

    def backward(self, name: str) -> ir.Function:
        """Operands: frames, every layer's output, gradient of the last, transposed kernels of all layers but the first.

        Results: gradients of kernel and bias of every layer, one of each a chunk, then a scratch a chunk.
        """
        layers, last = self.layers, len(self.layers) - 1
        emitter, args, results, chunk, image = self._images(name)
        builder = emitter.builder
        memset = handler.external(self.module, "memset", POINTER, POINTER, I32, I64)

        def clear(pointer: ir.Value, floats: int) -> None:
            builder.call(memset, [pointer, I32(0), I64(4 * floats)])

        scratch = self._row(emitter, handler.data(builder, results, 2 * len(layers)), chunk, keep=False)
        frames = handler.data(builder, args, 0)
        outputs = [handler.data(builder, args, 1 + index) for index in range(len(layers))]
        gradient = handler.data(builder, args, 1 + len(layers))
        transposed = {index: handler.data(builder, args, 1 + len(layers) + index) for index in range(1, len(layers))}
        sums = []
        for index, layer in enumerate(layers):
            sizes = (layer.kernel_size, layer.features)
            pair = [handler.data(builder, results, 2 * index + part) for part in range(2)]
            sums.append([emitter.at(base, (chunk, size)) for base, size in zip(pair, sizes, strict=True)])
            for target, size in zip(sums[-1], sizes, strict=True):
                clear(target, size)
        # scratch: the converted frames, then the gradient of every layer's output
        starts = [layers[0].in_size + sum(layer.out_size for layer in layers[:index]) for index in range(len(layers))]
        gradients = [emitter.at(scratch, start) for start in starts]
        with image() as number:
            builder.call(self._convert, [emitter.at(frames, (number, layers[0].in_size), size=1), scratch])
            for index in range(last, -1, -1):
                layer = layers[index]
                y = emitter.at(outputs[index], (number, layer.out_size))
                source = emitter.at(gradient, (number, layer.out_size)) if index == last else gradients[index]
                builder.call(self._mask, [source, y, gradients[index], I64(layer.out_size)])
                x = emitter.at(outputs[index - 1], (number, layer.in_size)) if index else scratch
                builder.call(self._kernel_gradient[index], [x, gradients[index], *sums[index]])
                if index:
                    clear(gradients[index - 1], layer.in_size)
                    builder.call(
                        self._input_gradient[index], [gradients[index], transposed[index], gradients[index - 1]]
                    )
        return self._end(emitter)

    def _row(self, emitter: Emitter, base: ir.Value, chunk: ir.Value, *, keep: bool) -> ir.Value:
        return emitter.at(base, (chunk, scratch_size(self.layers, keep=keep)))

    def _images(self, name: str) -> tuple[Emitter, ir.Value, ir.Value, ir.Value, Any]:
        """A chunk function's beginning, and the loop over the chunk's images (at least one)."""
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, chunk, chunks, batch = function.args
        emitter = Emitter(function, self.registers)
        builder = emitter.builder
        first = builder.sdiv(builder.mul(chunk, batch), chunks)
        end = builder.sdiv(builder.mul(builder.add(chunk, I64(1)), batch), chunks)

        return emitter, args, results, chunk, lambda: emitter.loop(end, first=first)

    @staticmethod
    def _end(emitter: Emitter) -> ir.Function:
        emitter.finish()
        return emitter.builder.function

    def _define_convert(self) -> ir.Function:
        """convert(frames, x): uint8 [C, H, W] -> float32 [H, W, C] in [0, 1]."""
        layer, lanes = self.layers[0], self.registers.lanes
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 2), "convert")
        frames, x = function.args
        emitter = Emitter(function, self.registers)
        builder = emitter.builder
        plane, channels = layer.height * layer.width, layer.channels
        wide = ir.VectorType(F32, lanes * channels)
        scale = ir.Constant(wide, [1.0 / 255.0] * (lanes * channels))

        def block(pixel: ir.Value) -> None:
            rows = [
                emitter.load(emitter.at(frames, (pixel, 1), channel * plane, size=1), ir.VectorType(I8, lanes))
                for channel in range(channels)
            ]
            joined, width = rows, lanes
            while len(joined) > 1:  # pairs of vectors into vectors of twice the width, until one is left
                if len(joined) % 2:
                    joined.append(ir.Constant(joined[0].type, ir.Undefined))
                mask = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
                joined = [builder.shuffle_vector(a, b, mask) for a, b in zip(joined[::2], joined[1::2], strict=True)]
                width *= 2
            order = [channel * lanes + lane for lane in range(lanes) for channel in range(channels)]
            mask = ir.Constant(ir.VectorType(I32, len(order)), order)
            pixels = builder.shuffle_vector(joined[0], ir.Constant(joined[0].type, ir.Undefined), mask)
            emitter.store(builder.fmul(builder.uitofp(pixels, wide), scale), emitter.at(x, (pixel, channels)))

        with emitter.loop(plane // lanes) as number:
            block(builder.mul(number, I64(lanes)))
        if plane % lanes:
            block(I64(plane - lanes))  # overlaps the block before
        return self._end(emitter)

    def _define_mask(self) -> ir.Function:
        """mask(dy, y, out, size): out = dy where y > 0, else 0; `out` may be `dy`."""
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64]), "mask")
        dy, y, out, size = function.args
        emitter = Emitter(function, self.registers)
        with emitter.loop(size, self.registers.lanes) as index:
            value = emitter.load(emitter.at(dy, (index, 1)))
            where = emitter.load(emitter.at(y, (index, 1)))
            emitter.store(emitter.positive(value, where), emitter.at(out, (index, 1)))
        return self._end(emitter)


def scratch_size(layers: Sequence[Layer], *, keep: bool) -> int:
    """Floats of one chunk's scratch: the converted frames and, unless they are results, every layer's output."""
    return layers[0].in_size + (0 if keep else sum(layer.out_size for layer in layers))
