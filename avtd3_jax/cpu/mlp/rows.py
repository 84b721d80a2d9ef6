"""The passes over rows of a batch: each takes some rows through all layers, while they are in a core's cache."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import F32, I64, Emitter
from avtd3_jax.cpu.conv.kernels import VECTORS
from avtd3_jax.cpu.mlp.kernels import Job, Kernels, Loops

ROWS = 64  # of a batch in a chunk of work


class Rows(Kernels):
    """The chunk functions of the outputs, of the gradients before each ReLU, and of the input's."""

    def forward(self, name: str) -> Job:
        """Operands: x, kernel and bias of every hidden layer, the output's kernel transposed and in words, its bias.

        Results: y [C, B, N], hidden values `zipped`, in bfloat16 as `rows` too, panels.
        """
        return self._over_rows(name, self._forward_rows)

    def _forward_rows(self, name: str, rows: int) -> ir.Function:
        shape, hidden = self.shape, self.shape.hidden
        emitter, args, results, member, first = self._begin(name)
        builder, lanes = emitter.builder, self.registers.lanes
        inputs = self.words(shape.widths[0])
        left, row_words = emitter.at(handler.data(builder, args, 0), (first, inputs)), inputs
        panels = self._scratch(
            emitter, results, 1 + self.per * len(hidden), member, self.forward_place(len(self.shape.hidden))
        )
        loops: Loops = ((inputs, 1, self.block),)
        place = 0
        for layer, width in enumerate(hidden):
            zipped, as_rows = self._both(emitter, results, 1, layer, member)
            bias = emitter.at(handler.data(builder, args, 2 + 2 * layer), (member, width))
            with emitter.loop(width // self.block) as part:
                panel = emitter.at(panels, place, (part, self.words(shape.widths[layer]) * self.block))
                start = [emitter.load(emitter.at(bias, (part, self.block), half * lanes)) for half in range(VECTORS)]
                for row, sums in self._sums(emitter, rows, left, row_words, panel, loops, start):
                    values = [[emitter.positive(value, value) for value in line] for line in sums]
                    self._put(emitter, values, zipped, as_rows, part, builder.add(first, row))
            place += self.words(shape.widths[layer]) * width
            left, row_words = emitter.at(as_rows, (first, self.word_block)), self.word_block
            loops = self._block_loops(width, self.block)
        self._output_rows(emitter, args, results, member, first, rows, left)
        return self._end(emitter)

    def _output_rows(
        self,
        emitter: Emitter,
        args: ir.Value,
        results: ir.Value,
        member: ir.Value,
        first: ir.Value,
        rows: int,
        left: ir.Value,
    ) -> None:
        """The output layer: a sum along the vectors, because its columns are few."""
        shape, builder, lanes = self.shape, emitter.builder, self.registers.lanes
        inputs, outputs = shape.widths[-2:]
        operand = 1 + 2 * len(shape.hidden)
        kernel = emitter.at(handler.data(builder, args, operand), (member, outputs * self.words(inputs)))
        bias = emitter.at(handler.data(builder, args, operand + 1), (member, outputs))
        y = emitter.at(handler.data(builder, results, 0), (member, shape.batch * outputs), (first, outputs))
        with emitter.loop(outputs) as output:
            start = emitter.load(emitter.at(bias, (output, 1)), F32)
            for row, size in self._rows_of_tiles(emitter, rows):
                totals = [emitter.variable(emitter.vector) for _ in range(size)]
                for total in totals:
                    builder.store(emitter.zero(), total)
                with emitter.loop(inputs // self.block) as part:
                    for column in range(0, self.word_block, lanes):
                        place = (output, self.words(inputs)), (part, self.word_block), column
                        right = emitter.load(emitter.at(kernel, *place), emitter.words)
                        for number, total in enumerate(totals):
                            place = (
                                (part, shape.batch * self.word_block),
                                (row, self.word_block),
                                number * self.word_block + column,
                            )
                            value = emitter.load(emitter.at(left, *place), emitter.words)
                            before = builder.load(total, typ=emitter.vector)
                            builder.store(emitter.multiply_add(value, right, before), total)
                for number, total in enumerate(totals):
                    value = builder.fadd(emitter.total(builder.load(total, typ=emitter.vector)), start)
                    emitter.store(value, emitter.at(y, (row, outputs), number * outputs, (output, 1)))

    def backward(self, name: str) -> Job:
        """Operands: dy in words, the output's kernel as transposed panels, hidden values `zipped`, kernels of all
        hidden layers but the first. Results: gradients before each ReLU, as `forward` has the values; panels.
        """
        return self._over_rows(name, self._backward_rows)

    def _backward_rows(self, name: str, rows: int) -> ir.Function:
        shape, hidden = self.shape, self.shape.hidden
        emitter, args, results, member, first = self._begin(name)
        builder = emitter.builder
        outputs = self.words(shape.widths[-1])
        left, row_words = (
            emitter.at(handler.data(builder, args, 0), (member, shape.batch * outputs), (first, outputs)),
            outputs,
        )
        panel = emitter.at(handler.data(builder, args, 1), (member, hidden[-1] * outputs))
        panels = self._scratch(emitter, results, self.per * len(hidden), member, self.backward_place(len(hidden)))
        loops: Loops = ((outputs, 1, self.block),)
        steps = outputs
        for layer in range(len(hidden) - 1, -1, -1):
            width = hidden[layer]
            zipped, as_rows = self._both(emitter, results, 0, layer, member)
            kept = self._zipped(emitter, args, 2, layer, member)
            with emitter.loop(width // self.block) as part:
                right = emitter.at(panel, (part, steps * self.block))
                start = [emitter.zero()] * VECTORS
                for row, values in self._sums(emitter, rows, left, row_words, right, loops, start):
                    batch_row = builder.add(first, row)
                    self._mask(emitter, values, kept, part, batch_row)
                    self._put(emitter, values, zipped, as_rows, part, batch_row)
            left, row_words = emitter.at(as_rows, (first, self.word_block)), self.word_block
            panel = emitter.at(panels, self.backward_place(layer))
            loops, steps = self._block_loops(width, self.block), self.words(width)
        return self._end(emitter)

    def input_gradient(self, name: str) -> Job:
        """Operands: gradients before the first ReLU as `rows`, the first kernel. Results: dx [B, K], K filled up to
        whole blocks, of all members together; panels."""
        return self._over_rows(name, self._input_rows, members=1)

    def _input_rows(self, name: str, rows: int) -> ir.Function:
        shape, width = self.shape, self.shape.hidden[0]
        emitter, args, results, _, first = self._begin(name)
        builder, blocks = emitter.builder, -(-shape.widths[0] // self.block)
        left = emitter.at(handler.data(builder, args, 0), (first, self.word_block))
        dx = emitter.at(handler.data(builder, results, 0), (first, blocks * self.block))
        panels = handler.data(builder, results, 1)
        loops = (
            (shape.members, shape.batch * self.words(width), self.input_panel_words()),
            *self._block_loops(width, self.block),
        )
        with emitter.loop(blocks) as part:
            panel = emitter.at(panels, (part, self.words(width) * self.block))
            for row, values in self._sums(
                emitter, rows, left, self.word_block, panel, loops, [emitter.zero()] * VECTORS
            ):
                for number, line in enumerate(values):
                    for half, value in enumerate(line):
                        place = (row, blocks * self.block), number * blocks * self.block, (part, self.block)
                        emitter.store(value, emitter.at(dx, *place, half * self.registers.lanes))
        return self._end(emitter)

    def _over_rows(self, name: str, make: Callable[[str, int], ir.Function], members: int | None = None) -> Job:
        """`make(name, rows)` gives (args, results, member, first row); called for every chunk of rows."""
        batch, members = self.shape.batch, members or self.shape.members
        parts = -(-batch // ROWS)
        function = ir.Function(self.module, handler.CHUNK, name)
        args, results, member, part, unused = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        first = builder.mul(part, I64(ROWS))
        for rows, these in ((ROWS, "<"), (batch % ROWS, ">=")):
            if rows and rows <= batch:
                with builder.if_then(builder.icmp_signed(these, part, I64(batch // ROWS))):
                    builder.call(make(f"{name}_{rows}", rows), [args, results, member, first, unused])
        builder.ret_void()
        return Job(function, members * parts, parts)

    def _put(
        self,
        emitter: Emitter,
        values: Sequence[Sequence[ir.Value]],
        zipped: ir.Value,
        as_rows: ir.Value,
        part: ir.Value,
        row: ir.Value,
    ) -> None:
        """A tile's values into both layouts."""
        builder, lanes, batch = emitter.builder, self.registers.lanes, self.shape.batch
        for number, line in enumerate(values):
            for half, value in enumerate(line):
                place = (part, batch * self.block), (row, self.block), number * self.block, half * lanes
                if self.pairs:
                    builder.store(emitter.rounded(value), emitter.at(as_rows, *place, size=2), align=2)
                else:
                    emitter.store(value, emitter.at(zipped, *place))
        for number in range(0, len(values) if self.pairs else 0, 2):
            for half in range(VECTORS):
                first, second = (emitter.rounded(values[number + other][half]) for other in range(2))
                place = (part, batch * self.word_block), (row, self.word_block), number * self.word_block, half * lanes
                emitter.store(emitter.paired(first, second), emitter.at(zipped, *place))

    def _mask(
        self, emitter: Emitter, values: list[list[ir.Value]], kept: ir.Value, part: ir.Value, row: ir.Value
    ) -> None:
        """Values where what the ReLU gave is positive, else 0."""
        lanes, batch = self.registers.lanes, self.shape.batch
        for number, line in enumerate(values):
            for half, value in enumerate(line):
                line_number = number - number % self.per
                place = (
                    (part, batch * self.word_block),
                    (row, self.word_block),
                    line_number * self.word_block,
                    half * lanes,
                )
                where = emitter.load(emitter.at(kept, *place), emitter.words)
                if self.pairs:
                    where = emitter.second(where) if number % 2 else emitter.first(where)
                line[half] = emitter.positive(value, where)
