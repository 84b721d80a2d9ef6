"""Kernels as panels, and an input in pairs along the batch: what is arranged before products are computed."""

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import I16, I32, I64, Emitter
from avtd3_jax.cpu.conv.kernels import VECTORS
from avtd3_jax.cpu.mlp.kernels import Job, Kernels


class Arranging(Kernels):
    """The chunk functions that arrange operands."""

    def pack(self, name: str, layer: int, place: int) -> Job:
        """Kernel [C, K, N], operand 1 + 2 * layer, as panels of its own, word `place` on of each member's in the last
        result."""
        inputs, outputs = self.shape.widths[layer : layer + 2]
        emitter, args, results, member, part = self._begin(name)
        kernel = emitter.at(handler.data(emitter.builder, args, 1 + 2 * layer), (member, inputs * outputs))
        kernel = emitter.at(kernel, (part, self.block))
        panel = self._scratch(
            emitter, results, 1 + self.per * len(self.shape.hidden), member, self.forward_place(len(self.shape.hidden))
        )
        panel = emitter.at(panel, place, (part, self.words(inputs) * self.block))
        lanes = self.registers.lanes

        def vector(step: ir.Value, row: int, half: int) -> ir.Value:
            return emitter.load(emitter.at(kernel, (step, self.per * outputs), row * outputs, half * lanes))

        def put(step: ir.Value, *, whole: bool = True) -> None:
            for half in range(VECTORS):
                words = vector(step, 0, half)
                if self.pairs:
                    nothing = ir.Constant(ir.VectorType(I16, lanes), [0] * lanes)
                    second = emitter.rounded(vector(step, 1, half)) if whole else nothing
                    words = emitter.paired(emitter.rounded(words), second)
                emitter.store(words, emitter.at(panel, (step, self.block), half * lanes))

        if inputs // self.per:
            with emitter.loop(inputs // self.per) as step:
                put(step)
        if inputs % self.per:
            put(I64(inputs // self.per), whole=False)
        return Job(self._end(emitter), self.shape.members * (outputs // self.block), outputs // self.block)

    def transpose(self, name: str, layer: int, operand: int, result: int, place: int, size: int) -> Job:
        """Kernel [C, K, N], `operand`, as panels of its transpose, word `place` on of each member's `size` in `result`.

        Columns beyond K, up to a whole block, are 0.
        """
        inputs, outputs = self.shape.widths[layer : layer + 2]
        emitter, args, results, member, part = self._begin(name)
        lanes, blocks = self.registers.lanes, -(-inputs // self.block)
        kernel = emitter.at(handler.data(emitter.builder, args, operand), (member, inputs * outputs))
        kernel = emitter.at(kernel, (part, self.block * outputs))
        panel = self._scratch(emitter, results, result, member, size)
        panel = emitter.at(panel, place, (part, self.words(outputs) * self.block))

        def put(rows: int) -> None:
            with emitter.loop(outputs, self.per * lanes) as output:
                for half in range(VECTORS):
                    found = [
                        self._row(emitter, kernel, output, half * lanes + row, outputs)
                        if half * lanes + row < rows
                        else ir.Constant(emitter.words, [0] * lanes)
                        for row in range(lanes)
                    ]
                    for number, words in enumerate(emitter.transposed(found)):
                        # As many words as outputs, or half of them, each `block` wide.
                        target = (output, self.block // self.per), number * self.block, half * lanes
                        emitter.store(words, emitter.at(panel, *target))

        rest = inputs % self.block
        if not rest:
            put(self.block)
        elif blocks == 1:
            put(rest)
        else:
            with emitter.builder.if_else(emitter.builder.icmp_signed("<", part, I64(blocks - 1))) as (whole, last):
                with whole:
                    put(self.block)
                with last:
                    put(rest)
        return Job(self._end(emitter), self.shape.members * blocks, blocks)

    def _row(self, emitter: Emitter, kernel: ir.Value, output: ir.Value, row: int, outputs: int) -> ir.Value:
        pointer = emitter.at(kernel, (output, 1), row * outputs)
        return emitter.neighbours(pointer) if self.pairs else emitter.load(pointer)

    def zip_input(self, name: str) -> Job:
        """x [B, K words] with pairs along the batch: the last result of the kernels' gradients, [B / 2, K or K + 1]."""
        emitter, args, results, _, _ = self._begin(name)
        builder, lanes = emitter.builder, self.registers.lanes
        count = 2 * self.words(self.shape.widths[0])
        x = handler.data(builder, args, 0)
        target = handler.data(builder, results, 2 * len(self.shape.hidden) + 1)

        def put(pair: ir.Value, column: ir.Value, kind: ir.Type, wide: ir.Type) -> None:
            first, second = (
                builder.zext(
                    builder.load(emitter.at(x, (pair, 2 * count), row * count, (column, 1), size=2), typ=kind, align=2),
                    wide,
                )
                for row in range(2)
            )
            shift = I32(16) if wide is I32 else emitter.bits(16)
            words = builder.or_(first, builder.shl(second, shift))
            emitter.store(words, emitter.at(target, (pair, count), (column, 1)))

        with emitter.loop(self.shape.batch // 2) as pair:
            if count // lanes:
                with emitter.loop(count // lanes * lanes, lanes) as column:
                    put(pair, column, ir.VectorType(I16, lanes), ir.VectorType(I32, lanes))
            if count % lanes:
                with emitter.loop(count, first=I64(count // lanes * lanes)) as column:
                    put(pair, column, I16, I32)
        return Job(self._end(emitter), 1, 1)
