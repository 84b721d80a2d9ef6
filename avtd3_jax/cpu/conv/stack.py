"""The chunk functions of a stack of convolutions in float32.

One image goes through all layers before the next one starts, so everything between frames and parameters stays in a
core's own cache.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import F32, I8, I32, I64, POINTER, Emitter, Registers
from avtd3_jax.cpu.conv import kernels
from avtd3_jax.cpu.conv.kernels import Layer


class Stack:
    """The chunk functions of a stack of layers."""

    PAIRS = False  # whether a 32-bit word of an operand holds two numbers
    FORWARD, INPUT_GRADIENT = staticmethod(kernels.forward), staticmethod(kernels.input_gradient)

    def __init__(self, module: ir.Module, layers: Sequence[Layer], registers: Registers) -> None:
        self.module = module
        self.layers = layers
        self.registers = registers

        def each(make: Callable[..., ir.Function], layers: Sequence[Layer]) -> list[ir.Function]:
            named = enumerate(layers)
            return [make(module, f"{make.__name__}{n}", layer, registers, pairs=self.PAIRS) for n, layer in named]

        self._forward = each(self.FORWARD, self.padded(layers))
        self._kernel_gradient = each(kernels.kernel_gradient, layers)
        self._input_gradient = [None, *each(self.INPUT_GRADIENT, layers[1:])]

    @classmethod
    def padded(cls, layers: Sequence[Layer]) -> list[Layer]:
        """The layers as the forward pass has them: channels of a pixel fill whole words."""
        per_word = 1 + cls.PAIRS
        channels = -(-layers[0].channels // per_word) * per_word
        return [replace(layers[0], channels=channels), *layers[1:]]

    @classmethod
    def forward_words(cls, layers: Sequence[Layer], *, keep: bool) -> int:
        """Words of one chunk's scratch: the converted frames and, unless they are results, every layer's output."""
        numbers = cls.padded(layers)[0].in_size + (0 if keep else sum(layer.out_size for layer in layers))
        return numbers // (1 + cls.PAIRS)

    @classmethod
    def backward_words(cls, layers: Sequence[Layer]) -> int:
        """Likewise: the converted frames, and the gradient of every layer's output."""
        return cls.forward_words(layers, keep=False)

    def forward(self, name: str, *, keep: bool) -> ir.Function:
        """Operands: frames, then kernel and bias of every layer. Results: kept outputs, then a scratch a chunk.

        keep: every layer's output is a result; otherwise the last one alone.
        """
        layers = self.layers
        emitter, args, results, chunk, _, image = self._images(name)
        builder, size = emitter.builder, 4 // (1 + self.PAIRS)  # bytes of a number
        frames = handler.data(builder, args, 0)
        scratch = handler.data(builder, results, len(layers) if keep else 1)
        scratch = emitter.at(scratch, (chunk, self.forward_words(layers, keep=keep)))
        convert = self._define_convert(name + "_convert")
        with image() as number:
            builder.call(convert, [emitter.at(frames, (number, layers[0].in_size), size=1), scratch])
            x, offset = scratch, self.padded(layers)[0].in_size
            for index, layer in enumerate(layers):
                if keep or index == len(layers) - 1:
                    y = handler.data(builder, results, index if keep else 0)
                    y = emitter.at(y, (number, layer.out_size), size=size)
                else:
                    y, offset = emitter.at(scratch, offset, size=size), offset + layer.out_size
                weights = [handler.data(builder, args, 1 + 2 * index + part) for part in range(2)]
                builder.call(self._forward[index], [x, *weights, y])
                x = y
        return self._end(emitter)

    def backward(self, name: str) -> ir.Function:
        """Operands: frames, every layer's output, gradient of the last, transposed kernels of all layers but the first.

        Results: gradients of kernel and bias of every layer, one of each a chunk, then a scratch a chunk.
        """
        layers, last = self.layers, len(self.layers) - 1
        emitter, args, results, chunk, _, image = self._images(name)
        builder = emitter.builder
        scratch = emitter.at(handler.data(builder, results, 2 * len(layers)), (chunk, self.backward_words(layers)))
        convert, mask = self._define_convert(name + "_convert"), self._define_mask(name + "_mask")
        frames = handler.data(builder, args, 0)
        outputs = [handler.data(builder, args, 1 + index) for index in range(len(layers))]
        gradient = handler.data(builder, args, 1 + len(layers))
        transposed = {index: handler.data(builder, args, 1 + len(layers) + index) for index in range(1, len(layers))}
        sums = self._cleared_sums(emitter, results, chunk)
        # scratch: the converted frames, then the gradient of every layer's output
        starts = [layers[0].in_size + sum(layer.out_size for layer in layers[:index]) for index in range(len(layers))]
        gradients = [emitter.at(scratch, start) for start in starts]
        with image() as number:
            builder.call(convert, [emitter.at(frames, (number, layers[0].in_size), size=1), scratch])
            for index in range(last, -1, -1):
                layer = layers[index]
                y = emitter.at(outputs[index], (number, layer.out_size))
                source = emitter.at(gradient, (number, layer.out_size)) if index == last else gradients[index]
                builder.call(mask, [source, y, gradients[index], I64(layer.out_size)])
                x = emitter.at(outputs[index - 1], (number, layer.in_size)) if index else scratch
                builder.call(self._kernel_gradient[index], [x, gradients[index], *sums[index]])
                if index:
                    self._clear(emitter, gradients[index - 1], I64(4 * layer.in_size))
                    builder.call(
                        self._input_gradient[index], [gradients[index], transposed[index], gradients[index - 1]]
                    )
        return self._end(emitter)

    def _clear(self, emitter: Emitter, pointer: ir.Value, nbytes: ir.Value) -> None:
        memset = handler.external(self.module, "memset", POINTER, POINTER, I32, I64)
        emitter.builder.call(memset, [pointer, I32(0), nbytes])

    def _cleared_sums(self, emitter: Emitter, results: ir.Value, chunk: ir.Value) -> list[list[ir.Value]]:
        """The chunk's gradients of kernel and bias of every layer, set to zero."""
        sums = []
        for index, layer in enumerate(self.layers):
            sizes = (layer.kernel_size, layer.features)
            pair = [handler.data(emitter.builder, results, 2 * index + part) for part in range(2)]
            sums.append([emitter.at(base, (chunk, size)) for base, size in zip(pair, sizes, strict=True)])
            for target, size in zip(sums[-1], sizes, strict=True):
                self._clear(emitter, target, I64(4 * size))
        return sums

    def _images(self, name: str, step: int = 1) -> tuple[Emitter, ir.Value, ir.Value, ir.Value, ir.Value, Any]:
        """A chunk function's beginning: operands, results, chunk, end of its images, the loop over each `step`-th."""
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, chunk, chunks, batch = function.args
        emitter = Emitter(function, self.registers)
        builder = emitter.builder
        first = builder.sdiv(builder.mul(chunk, batch), chunks)
        end = builder.sdiv(builder.mul(builder.add(chunk, I64(1)), batch), chunks)

        return emitter, args, results, chunk, end, lambda: emitter.loop(end, step, first=first)

    @staticmethod
    def _end(emitter: Emitter) -> ir.Function:
        emitter.finish()
        return emitter.builder.function

    def _define_convert(self, name: str) -> ir.Function:
        """name(frames, x): uint8 [C, H, W] -> float32 [H, W, C] in [0, 1]."""
        layer, lanes = self.layers[0], self.registers.lanes
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 2), name)
        frames, x = function.args
        emitter = Emitter(function, self.registers)
        builder = emitter.builder
        plane, channels = layer.height * layer.width, layer.channels
        wide = ir.VectorType(F32, lanes * channels)
        scale = ir.Constant(wide, [1.0 / 255.0] * (lanes * channels))
        for pixel in self._blocks(emitter, plane):
            pixels = self._interleaved(emitter, frames, pixel, channels)
            emitter.store(builder.fmul(builder.uitofp(pixels, wide), scale), emitter.at(x, (pixel, channels)))
        return self._end(emitter)

    def _blocks(self, emitter: Emitter, plane: int) -> Iterator[ir.Value]:
        """The first pixels of blocks of as many as a vector has lanes, which cover a plane; the last may overlap."""
        lanes = self.registers.lanes
        with emitter.loop(plane // lanes) as number:
            yield emitter.builder.mul(number, I64(lanes))
        if plane % lanes:
            yield I64(plane - lanes)

    def _interleaved(self, emitter: Emitter, frames: ir.Value, pixel: ir.Value, channels: int) -> ir.Value:
        """A block of pixels of uint8 [C, H, W] as [lanes * channels]; channels that the frames do not have are 0."""
        layer, lanes, builder = self.layers[0], self.registers.lanes, emitter.builder
        kind = ir.VectorType(I8, lanes)
        joined = [
            emitter.load(emitter.at(frames, (pixel, 1), channel * layer.height * layer.width, size=1), kind)
            for channel in range(layer.channels)
        ]
        joined += [ir.Constant(kind, [0] * lanes)] * (channels - layer.channels)
        width = lanes
        while len(joined) > 1:  # pairs of vectors into vectors of twice the width, until one is left
            if len(joined) % 2:
                joined.append(ir.Constant(joined[0].type, ir.Undefined))
            mask = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
            joined = [builder.shuffle_vector(a, b, mask) for a, b in zip(joined[::2], joined[1::2], strict=True)]
            width *= 2
        order = [channel * lanes + lane for lane in range(lanes) for channel in range(channels)]
        mask = ir.Constant(ir.VectorType(I32, len(order)), order)
        return builder.shuffle_vector(joined[0], ir.Constant(joined[0].type, ir.Undefined), mask)

    def _define_mask(self, name: str) -> ir.Function:
        """name(dy, y, out, size): out = dy where y > 0, else 0; `out` may be `dy`."""
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64]), name)
        dy, y, out, size = function.args
        emitter = Emitter(function, self.registers)
        with emitter.loop(size, self.registers.lanes) as index:
            value = emitter.load(emitter.at(dy, (index, 1)))
            where = emitter.load(emitter.at(y, (index, 1)))
            emitter.store(emitter.positive(value, where), emitter.at(out, (index, 1)))
        return self._end(emitter)
