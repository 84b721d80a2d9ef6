"""The chunk functions of a stack of convolutions in bfloat16, with sums in float32.

The processor's instruction multiplies pairs and adds both products to a float32. What forms a pair differs from product
to product: neighbours in a pixel's channels forward, two features in the gradient of the input, and the same element of
two images in that of the kernel, which are therefore taken through the layers together. Frames are the whole numbers 0
to 255, which bfloat16 holds exactly: the division by 255 is left to the first kernel.
"""

from collections.abc import Sequence

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import F32, I16, I32, I64, POINTER, Emitter
from avtd3_jax.cpu.conv import tiled
from avtd3_jax.cpu.conv.kernels import Layer
from avtd3_jax.cpu.conv.stack import Stack


class Bfloat16Stack(Stack):
    """The chunk functions of a stack of layers."""

    PAIRS = True
    FORWARD, INPUT_GRADIENT = staticmethod(tiled.forward), staticmethod(tiled.input_gradient)

    @classmethod
    def backward_words(cls, layers: Sequence[Layer]) -> int:
        """Words of one chunk's scratch: `_buffers`."""
        return sum(cls._buffers(layers))

    @classmethod
    def _buffers(cls, layers: Sequence[Layer]) -> tuple[int, ...]:
        """Words for a layer's input of both images, the same of its output's gradient, that gradient of each image, and
        the gradient of each image's input, in float32."""
        most_in, most_out = (max(getattr(layer, size) for layer in layers) for size in ("in_size", "out_size"))
        inputs = max((layer.in_size for layer in layers[1:]), default=0)
        return most_in, most_out, most_out // 2, most_out // 2, inputs, inputs

    def backward(self, name: str) -> ir.Function:
        """Operands: frames, every layer's output, gradient of the last, transposed kernels of all layers but the first.

        Results: gradients of kernel and bias of every layer, one of each a chunk, then a scratch a chunk.
        """
        layers, last = self.layers, len(self.layers) - 1
        emitter, args, results, chunk, end, image = self._images(name, step=2)
        builder = emitter.builder
        scratch = emitter.at(handler.data(builder, results, 2 * len(layers)), (chunk, self.backward_words(layers)))
        sizes = self._buffers(layers)
        x, dy, *rest = (emitter.at(scratch, sum(sizes[:number])) for number in range(len(sizes)))
        of_output, of_input = rest[:2], rest[2:]
        convert, zipped = self._define_convert_two(name + "_convert"), self._define_zip(name + "_zip")
        mask = [self._define_mask_of(name + f"_mask{number}", rounded=number == 0) for number in range(2)]
        frames, *operands = (handler.data(builder, args, number) for number in range(1 + 2 * len(layers)))
        outputs, gradient, transposed = operands[: len(layers)], operands[len(layers)], operands[len(layers) :]
        sums = self._cleared_sums(emitter, results, chunk)
        with image() as number:
            after = builder.add(number, I64(1))
            alone = builder.icmp_signed("==", after, end)
            images = (number, builder.select(alone, number, after))

            def of_images(base: ir.Value, count: int, size: int = 2) -> list[ir.Value]:
                return [emitter.at(base, (image, count), size=size) for image in images]

            for index in range(last, -1, -1):
                layer, out_size = layers[index], I64(layers[index].out_size)
                sources = of_images(gradient, layer.out_size) if index == last else of_input
                for source, y, target in zip(
                    sources, of_images(outputs[index], layer.out_size), of_output, strict=True
                ):
                    builder.call(mask[index == last], [source, y, target, out_size])
                with builder.if_then(alone):  # its neighbour is itself, and does not count
                    self._clear(emitter, of_output[1], I64(2 * layer.out_size))
                builder.call(zipped, [*of_output, dy, out_size])
                if index:
                    builder.call(zipped, [*of_images(outputs[index - 1], layer.in_size), x, I64(layer.in_size)])
                else:
                    builder.call(convert, [*of_images(frames, layer.in_size, 1), x])
                builder.call(self._kernel_gradient[index], [x, dy, *sums[index]])
                if index:
                    for source, target in zip(of_output, of_input, strict=True):
                        self._clear(emitter, target, I64(4 * layer.in_size))
                        builder.call(self._input_gradient[index], [source, transposed[index], target])
        return self._end(emitter)

    def _define_convert(self, name: str) -> ir.Function:
        """name(frames, x): uint8 [C, H, W] -> bfloat16 [H, W, C or C + 1], the same numbers."""
        layer, lanes = self.layers[0], self.registers.lanes
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 2), name)
        frames, x = function.args
        emitter = Emitter(function, self.registers)
        channels = self.padded(self.layers)[0].channels
        for pixel in self._blocks(emitter, layer.height * layer.width):
            bits = self._upper_half(emitter, self._interleaved(emitter, frames, pixel, channels))
            numbers = emitter.builder.trunc(bits, ir.VectorType(I16, lanes * channels))
            emitter.builder.store(numbers, emitter.at(x, (pixel, channels), size=2), align=2)
        return self._end(emitter)

    def _define_convert_two(self, name: str) -> ir.Function:
        """name(frames, more, x): uint8 [C, H, W] of two images -> bfloat16 [H, W, C, 2], the same numbers."""
        layer = self.layers[0]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 3), name)
        *images, x = function.args
        emitter = Emitter(function, self.registers)
        builder, channels = emitter.builder, layer.channels
        for pixel in self._blocks(emitter, layer.height * layer.width):
            first, second = (
                self._upper_half(emitter, self._interleaved(emitter, frames, pixel, channels)) for frames in images
            )
            shift = ir.Constant(second.type, [16] * second.type.count)
            words = builder.or_(first, builder.shl(second, shift))
            builder.store(words, emitter.at(x, (pixel, channels)), align=4)
        return self._end(emitter)

    @staticmethod
    def _upper_half(emitter: Emitter, numbers: ir.Value) -> ir.Value:
        """uint8 -> the bfloat16 of the same number, in the lower half of an i32."""
        builder, count = emitter.builder, numbers.type.count
        bits = builder.bitcast(builder.uitofp(numbers, ir.VectorType(F32, count)), ir.VectorType(I32, count))
        return builder.lshr(bits, ir.Constant(bits.type, [16] * count))

    def _define_mask_of(self, name: str, *, rounded: bool) -> ir.Function:
        """name(dy, y, out, size): out = dy where y > 0, else 0; in bfloat16, but `rounded` takes a float32 dy."""
        lanes = self.registers.lanes
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64]), name)
        dy, y, out, size = function.args
        emitter = Emitter(function, self.registers)
        builder, short = emitter.builder, ir.VectorType(I16, lanes)
        nothing = ir.Constant(short, [0] * lanes)
        with emitter.loop(size, lanes) as index:
            if rounded:
                value = emitter.rounded(emitter.load(emitter.at(dy, (index, 1))))
            else:
                value = builder.load(emitter.at(dy, (index, 1), size=2), typ=short, align=2)
            where = builder.load(emitter.at(y, (index, 1), size=2), typ=short, align=2)
            positive = builder.icmp_signed(">", where, nothing)  # as of the floats: the first bit is the sign of both
            builder.store(builder.select(positive, value, nothing), emitter.at(out, (index, 1), size=2), align=2)
        return self._end(emitter)

    def _define_zip(self, name: str) -> ir.Function:
        """name(a, b, out, size): out[i] = (a[i], b[i])."""
        lanes = self.registers.lanes
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER] * 3 + [I64]), name)
        a, b, out, size = function.args
        emitter = Emitter(function, self.registers)
        builder, short, words = emitter.builder, ir.VectorType(I16, lanes), ir.VectorType(I32, lanes)
        with emitter.loop(size, lanes) as index:
            first, second = (
                builder.zext(builder.load(emitter.at(base, (index, 1), size=2), typ=short, align=2), words)
                for base in (a, b)
            )
            pairs = builder.or_(first, builder.shl(second, emitter.bits(16)))
            builder.store(pairs, emitter.at(out, (index, 1)), align=4)
        return self._end(emitter)
