"""The gradients of kernels and biases: sums over the batch, each by one thread from its beginning to its end."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from avtd3_jax.cpu.code import handler
from avtd3_jax.cpu.code.emitter import F32, I32, Emitter
from avtd3_jax.cpu.code.tiles import TiledProduct
from avtd3_jax.cpu.conv.kernels import VECTORS, split
from avtd3_jax.cpu.mlp.kernels import Job, Kernels, grouped

MOST_WORDS = 4096  # of a batch that are transposed for tiles, on a thread's stack


class Gradients(Kernels):
    """The chunk functions of the parameters' gradients."""

    def kernel_gradients(self, name: str) -> list[Job]:
        """Operands: x, hidden values `zipped`, gradients before each ReLU `zipped`, dy with words along the batch.

        Results: gradients of kernel and bias of every hidden layer, of the output's kernel transposed; in bfloat16 the
        zipped x.
        """
        shape, depth = self.shape, len(self.shape.hidden)
        batch = self.words(shape.batch)
        inputs = self.per * self.words(shape.widths[0])
        jobs = []
        for layer in range(depth - 1, 0, -1):
            below = shape.hidden[layer - 1]

            def left(
                emitter: Emitter, args: ir.Value, results: ir.Value, member: ir.Value, layer: int = layer
            ) -> ir.Value:
                return self._zipped(emitter, args, 1, layer - 1, member)

            sizes = split(self.block, self.registers.pixels)
            jobs.append(
                self._gradient_job(
                    f"{name}_{layer}", layer, left, (below // self.block, batch * self.block), sizes, self.block
                )
            )

        def left_of_input(emitter: Emitter, args: ir.Value, results: ir.Value, member: ir.Value) -> ir.Value:
            frame_list, index = (results, 2 * depth + 1) if self.pairs else (args, 0)
            return handler.data(emitter.builder, frame_list, index)

        for first, repeats, size in grouped(split(shape.widths[0], self.registers.pixels)):
            jobs.append(
                self._gradient_job(
                    f"{name}_0_from_{first}", 0, left_of_input, (repeats, size), [(0, size)], inputs, first
                )
            )
        jobs.append(self._output_gradient(name + "_output"))
        jobs += [self._bias_gradient(f"{name}_bias{layer}", layer) for layer in range(depth)]
        return jobs

    def _gradient_job(
        self,
        name: str,
        layer: int,
        left: Callable[[Emitter, ir.Value, ir.Value, ir.Value], ir.Value],
        parts: tuple[int, int],
        sizes: Sequence[tuple[int, int]],
        step: int,
        first: int = 0,
    ) -> Job:
        """Rows of the gradient of a hidden layer's kernel.

        Args:
          left: the layer's input, words along the batch, of a member.
          parts: number of calls, and words between what each begins at on the left.
          sizes: (start, size) of the tiles of rows in a call.
          step: words from one of the batch's to the next, on the left.
          first: the first row of all.
        """
        shape, depth = self.shape, len(self.shape.hidden)
        inputs, outputs = shape.widths[layer : layer + 2]
        batch, rows = self.words(shape.batch), sum(size for _, size in sizes)
        emitter, args, results, member, part = self._begin(name)
        base = emitter.at(left(emitter, args, results, member), (part, parts[1]), first)
        right = self._zipped(emitter, args, 1 + depth, layer, member)
        target = handler.data(emitter.builder, results, 2 * layer)
        target = emitter.at(target, (member, inputs * outputs), (part, rows * outputs), first * outputs)
        by_tiles = rows == step == self.block and batch <= MOST_WORDS and self._by_tiles(((batch, 1, self.block),))
        if by_tiles:
            base = self._in_rows(emitter, base)
            product = TiledProduct(emitter, rows)
            product.begin()
        with emitter.loop(outputs // self.block) as column:
            panel = emitter.at(right, (column, batch * self.block))
            if by_tiles:
                product.clear()
                self._add_up(emitter, product, ((batch, 1, self.block),), base, batch, panel)
                product.put(emitter.at(target, (column, self.block)), outputs)
            for start, size in () if by_tiles else sizes:
                zero = [emitter.zero()] * VECTORS
                tile = self._product(
                    emitter, size, emitter.at(base, start), 1, panel, ((batch, step, self.block),), zero
                )
                for number, line in enumerate(self._values(tile)):
                    for half, value in enumerate(line):
                        place = (start + number) * outputs, (column, self.block), half * self.registers.lanes
                        emitter.store(value, emitter.at(target, *place))
        if by_tiles:
            product.end()
        return Job(self._end(emitter), shape.members * parts[0], parts[0])

    def _in_rows(self, emitter: Emitter, block: ir.Value) -> ir.Value:
        """A block of features [B words, block], transposed: tiles take the batch's words along a row."""
        batch, lanes = self.words(self.shape.batch), self.registers.lanes
        rows = emitter.memory(4 * batch * self.block)
        with emitter.loop(batch, lanes) as step:
            for half in range(VECTORS):
                place = (step, self.block), half * lanes
                found = [
                    emitter.load(emitter.at(block, *place, line * self.block), emitter.words) for line in range(lanes)
                ]
                for number, words in enumerate(emitter.transposed(found)):
                    emitter.store(words, emitter.at(rows, (half * lanes + number) * batch, (step, 1)))
        return rows

    def _output_gradient(self, name: str) -> Job:
        """Of the output's kernel, transposed: [C, N, K]."""
        shape, depth = self.shape, len(self.shape.hidden)
        inputs, outputs = shape.widths[-2:]
        batch = self.words(shape.batch)
        emitter, args, results, member, part = self._begin(name)
        right = self._zipped(emitter, args, 1, depth - 1, member)
        dy = emitter.at(handler.data(emitter.builder, args, 1 + 2 * depth), (member, batch * outputs))
        target = emitter.at(handler.data(emitter.builder, results, 2 * depth), (member, inputs * outputs))
        panel = emitter.at(right, (part, batch * self.block))
        for start, size in split(outputs, self.registers.pixels):
            zero = [emitter.zero()] * VECTORS
            tile = self._product(emitter, size, emitter.at(dy, start), 1, panel, ((batch, outputs, self.block),), zero)
            for number, line in enumerate(self._values(tile)):
                for half, value in enumerate(line):
                    place = (start + number) * inputs, (part, self.block), half * self.registers.lanes
                    emitter.store(value, emitter.at(target, *place))
        return Job(self._end(emitter), shape.members * (inputs // self.block), inputs // self.block)

    def _bias_gradient(self, name: str, layer: int) -> Job:
        width, depth = self.shape.hidden[layer], len(self.shape.hidden)
        batch = self.words(self.shape.batch)
        emitter, args, results, member, part = self._begin(name)
        right = self._zipped(emitter, args, 1 + depth, layer, member)
        panel = emitter.at(right, (part, batch * self.block))
        target = emitter.at(handler.data(emitter.builder, results, 2 * layer + 1), (member, width), (part, self.block))
        one = emitter.splat(I32(0x3F803F80) if self.pairs else F32(1.0))
        totals = [emitter.variable(emitter.vector) for _ in range(VECTORS)]
        for total in totals:
            emitter.builder.store(emitter.zero(), total)
        with emitter.loop(batch) as step:
            for half, total in enumerate(totals):
                place = emitter.at(panel, (step, self.block), half * self.registers.lanes)
                before = emitter.builder.load(total, typ=emitter.vector)
                emitter.builder.store(emitter.multiply_add(emitter.load(place, emitter.words), one, before), total)
        for half, total in enumerate(totals):
            value = emitter.builder.load(total, typ=emitter.vector)
            emitter.store(value, emitter.at(target, half * self.registers.lanes))
        return Job(self._end(emitter), self.shape.members * (width // self.block), width // self.block)
