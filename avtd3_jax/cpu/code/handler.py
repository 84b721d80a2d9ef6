"""An XLA FFI handler in LLVM IR that runs one function for every chunk of a batch on XLA's own threads.

The layouts are those of XLA's C interface (`xla/ffi/api/c_api.h` in the jaxlib wheel), versions 0.3 of jaxlib 0.10 and
0.4 of jaxlib 0.11, which agree in all that is used here; `interface_known` refuses others. A chunk is computed by
whichever thread comes first, and always in the same way: results do not depend on the number of threads.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
from llvmlite import ir

from avtd3_jax.cpu.code.emitter import I8, I32, I64, POINTER

API_MAJOR, API_MINOR = 0, 3  # what the handlers say they were made for
KNOWN_APIS = ((0, 3), (0, 4))
# Byte offsets in XLA_FFI_CallFrame, XLA_FFI_Api, XLA_FFI_Buffer and XLA_FFI_Metadata.
FRAME_EXTENSION, FRAME_API, FRAME_CONTEXT, FRAME_ARGS, FRAME_RESULTS = 8, 16, 24, 72, 112
API_ERROR_DESTROY, API_SCHEDULE, API_NUM_THREADS = 64, 136, 144
BUFFER_DATA, BUFFER_DIMS = 24, 40
EXTENSION_TYPE, EXTENSION_METADATA, METADATA_TYPE = 8, 24, 1
METADATA_MAJOR, METADATA_MINOR, METADATA_TRAITS = 24, 28, 32
# The shared state of a call: next chunk, chunks done, owners, number of chunks, batch, operands, results.
NEXT, DONE, OWNERS, CHUNKS, BATCH, ARGS, RESULTS, STATE_SIZE = 0, 8, 16, 24, 32, 40, 48, 56

CHUNK = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, I64])  # args, results, number, chunks, batch


@dataclass(frozen=True)
class ResultAxis:
    """As many as the first axis of result number `result` is long."""

    result: int


@cache
def interface_known() -> bool:
    """Whether the installed jaxlib's interface is one that these layouts were checked against."""
    header = Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
    found = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header.read_text() if header.is_file() else ""))
    known = (int(found.get("MAJOR", -1)), int(found.get("MINOR", -1))) in KNOWN_APIS
    if not known:
        version = ".".join(found.get(part, "?") for part in ("MAJOR", "MINOR"))
        warnings.warn(
            f"jaxlib {jax.lib.__version__} calls foreign functions by interface {version}, which this version of "
            "avtd3-jax was not checked against: XLA's own kernels compute on the CPU, which is slower.",
            stacklevel=2,
        )
    return known


def field(builder: ir.IRBuilder, base: ir.Value, offset: int) -> ir.Value:
    """Pointer to the field at a byte offset."""
    return builder.gep(base, [I64(offset)], source_etype=I8)


def read(builder: ir.IRBuilder, base: ir.Value, offset: int, kind: ir.Type = POINTER) -> ir.Value:
    """The field at a byte offset."""
    return builder.load(field(builder, base, offset), typ=kind)


def buffer(builder: ir.IRBuilder, frame_list: ir.Value, index: int) -> ir.Value:
    """XLA_FFI_Buffer number `index` of the frame's operands or results."""
    return read(builder, frame_list, 8 * index)


def data(builder: ir.IRBuilder, frame_list: ir.Value, index: int) -> ir.Value:
    """Pointer to the data of buffer number `index`."""
    return read(builder, buffer(builder, frame_list, index), BUFFER_DATA)


def leading(builder: ir.IRBuilder, frame_list: ir.Value, index: int) -> ir.Value:
    """Length of the first axis of buffer number `index`."""
    return read(builder, read(builder, buffer(builder, frame_list, index), BUFFER_DIMS), 0, I64)


def external(module: ir.Module, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """A function of the C library."""
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)


def define(
    module: ir.Module, name: str, chunk: ir.Function, chunks: ResultAxis | int, barriers: Sequence[int] = ()
) -> None:
    """XLA_FFI_Error* name(XLA_FFI_CallFrame*): calls `chunk(args, results, number, chunks, batch)` for every chunk.

    The batch is the first axis of the first operand. No chunk from a number in `barriers` on begins before all chunks
    before that number are done.
    """
    work = _worker(module, name + "_work", chunk, barriers)
    task = _task(module, name + "_task", work)
    function = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), name)
    (frame,) = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    extension = read(builder, frame, FRAME_EXTENSION)
    with builder.if_then(builder.icmp_unsigned("!=", extension, POINTER(None))):
        kind = read(builder, extension, EXTENSION_TYPE, I32)
        asked = builder.icmp_signed("==", kind, I32(METADATA_TYPE))
        with builder.if_then(asked):
            metadata = read(builder, extension, EXTENSION_METADATA)
            builder.store(I32(API_MAJOR), field(builder, metadata, METADATA_MAJOR))
            builder.store(I32(API_MINOR), field(builder, metadata, METADATA_MINOR))
            builder.store(I32(0), field(builder, metadata, METADATA_TRAITS))
            builder.ret(POINTER(None))
    args, results = read(builder, frame, FRAME_ARGS), read(builder, frame, FRAME_RESULTS)
    # On the heap: a helper that the pool starts late finds it after this call has returned.
    state = builder.call(external(module, "malloc", POINTER, I64), [I64(STATE_SIZE)])
    count = I64(chunks) if isinstance(chunks, int) else leading(builder, results, chunks.result)
    helpers = _helpers(builder, frame, count)
    for offset, value in (
        (NEXT, I64(0)),
        (DONE, I64(0)),
        (OWNERS, builder.add(helpers, I64(1))),
        (CHUNKS, count),
        (BATCH, leading(builder, args, 0)),
        (ARGS, args),
        (RESULTS, results),
    ):
        builder.store(value, field(builder, state, offset))
    _schedule(builder, module, frame, helpers, task, state)
    builder.call(work, [state])
    _wait(builder, module, state, count)
    _release(builder, module, state)
    builder.ret(POINTER(None))


def _wait(builder: ir.IRBuilder, module: ir.Module, state: ir.Value, count: ir.Value) -> None:
    """Until so many chunks are done: other threads have taken them."""
    blocks = ("waiting", "yielding", "finished")
    waiting, yielding, finished = (builder.function.append_basic_block(block) for block in blocks)
    builder.branch(waiting)
    builder.position_at_end(waiting)
    done = builder.load_atomic(field(builder, state, DONE), "acquire", 8, typ=I64)
    builder.cbranch(builder.icmp_signed("<", done, count), yielding, finished)
    builder.position_at_end(yielding)
    builder.call(external(module, "sched_yield", I32), [])
    builder.branch(waiting)
    builder.position_at_end(finished)


def _worker(module: ir.Module, name: str, chunk: ir.Function, barriers: Sequence[int]) -> ir.Function:
    """void name(state): computes chunks until none is left."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
    (state,) = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    chunks = read(builder, state, CHUNKS, I64)
    take, compute, end = (function.append_basic_block(block) for block in ("take", "compute", "end"))
    builder.branch(take)
    builder.position_at_end(take)
    number = builder.atomic_rmw("add", field(builder, state, NEXT), I64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", number, chunks), compute, end)
    builder.position_at_end(compute)
    for barrier in barriers:
        with builder.if_then(builder.icmp_signed(">=", number, I64(barrier))):
            _wait(builder, module, state, I64(barrier))
    operands = [read(builder, state, offset) for offset in (ARGS, RESULTS)]
    builder.call(chunk, [*operands, number, chunks, read(builder, state, BATCH, I64)])
    builder.atomic_rmw("add", field(builder, state, DONE), I64(1), "release")
    builder.branch(take)
    builder.position_at_end(end)
    builder.ret_void()
    return function


def _task(module: ir.Module, name: str, work: ir.Function) -> ir.Function:
    """void name(state): a pool thread's share."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
    (state,) = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.call(work, [state])
    _release(builder, module, state)
    builder.ret_void()
    return function


def _release(builder: ir.IRBuilder, module: ir.Module, state: ir.Value) -> None:
    """Gives up one owner's share of `state`; the last one frees it."""
    owners = builder.atomic_rmw("sub", field(builder, state, OWNERS), I64(1), "acq_rel")
    with builder.if_then(builder.icmp_signed("==", owners, I64(1))):
        builder.call(external(module, "free", ir.VoidType(), POINTER), [state])


def _helpers(builder: ir.IRBuilder, frame: ir.Value, chunks: ir.Value) -> ir.Value:
    """Threads to ask for beside this one: at most one a chunk, none where XLA lends no pool."""
    count = builder.alloca(I64)
    builder.store(I64(0), count)
    _call_api(builder, frame, API_NUM_THREADS, [count])
    most = builder.load(count, typ=I64)
    most = builder.select(builder.icmp_signed("<", most, chunks), most, chunks)
    return builder.select(builder.icmp_signed(">", most, I64(1)), builder.sub(most, I64(1)), I64(0))


def _schedule(
    builder: ir.IRBuilder, module: ir.Module, frame: ir.Value, helpers: ir.Value, task: ir.Function, state: ir.Value
) -> None:
    """Asks for `helpers` threads; one that XLA refuses gives its share up at once."""
    index = builder.alloca(I64)
    builder.store(I64(0), index)
    function = builder.function
    test, body, end = (function.append_basic_block(block) for block in ("more", "schedule", "scheduled"))
    builder.branch(test)
    builder.position_at_end(test)
    value = builder.load(index, typ=I64)
    builder.cbranch(builder.icmp_signed("<", value, helpers), body, end)
    builder.position_at_end(body)
    refused = _call_api(builder, frame, API_SCHEDULE, [task, state])
    with builder.if_then(refused):
        _release(builder, module, state)
    builder.store(builder.add(value, I64(1)), index)
    builder.branch(test)
    builder.position_at_end(end)


def _call_api(builder: ir.IRBuilder, frame: ir.Value, entry: int, extra: list[ir.Value]) -> ir.Value:
    """Calls an XLA function with {size, no extension, context, *extra}; true where it failed, the error destroyed."""
    api = read(builder, frame, FRAME_API)
    arguments = _words(builder, [I64(8 * (3 + len(extra))), I64(0), read(builder, frame, FRAME_CONTEXT), *extra])
    signature = ir.FunctionType(POINTER, [POINTER])
    error = builder.call(builder.inttoptr(read(builder, api, entry, I64), signature.as_pointer()), [arguments])
    failed = builder.icmp_unsigned("!=", error, POINTER(None))
    with builder.if_then(failed):
        freeing = ir.FunctionType(ir.VoidType(), [POINTER])
        destroy = builder.inttoptr(read(builder, api, API_ERROR_DESTROY, I64), freeing.as_pointer())
        builder.call(destroy, [_words(builder, [I64(24), I64(0), error])])
    return failed


def _words(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    """Pointer to a structure of 64-bit fields on the stack."""
    with builder.goto_entry_block():
        words = builder.alloca(I64, size=len(values))
    for number, value in enumerate(values):
        word = value if value.type == I64 else builder.ptrtoint(value, I64)
        builder.store(word, builder.gep(words, [I64(number)]))
    return words
