"""A relay before a server that makes it a faulty one: calls, answers and sensors' frames changed, late or lost.

The server listens on 127.0.0.1, the relay on the same two ports of another loopback address: a client's streams are
found by a port and no host, so they lead to the relay as well. What no fault is about passes byte for byte.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

HOST = "127.0.0.2"
CHUNK = 1 << 16


@dataclass(frozen=True)
class Answered:
    """What the relay answers itself to a call that the server never sees; `value` is the wire's form of a result."""

    value: Any


VOID = Answered([[False]])
TRUE = Answered([[1, True]])


@dataclass
class Fault:
    """What the relay does otherwise.

    calls: by method, the arguments that the server gets instead, or Answered.
    answers: by method, what the client gets instead of the result.
    delays: by method, seconds that its answer, and all after it, are held back.
    frames: by kind of sensor (minicarla's SensorType), the frame that the client gets instead; None for none.
    frame_delays: by kind of sensor, seconds that its frames are held back.
    """

    calls: dict[str, Callable[[list[Any]], Any]] = field(default_factory=dict)
    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    frames: dict[int, Callable[[bytes], bytes | None]] = field(default_factory=dict)
    frame_delays: dict[int, float] = field(default_factory=dict)


class Relay:
    """Relays to the server at 127.0.0.1:`port` inside of `async with`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.fault = Fault()

    async def __aenter__(self) -> "Relay":
        self._servers = [
            await asyncio.start_server(relay, HOST, self.port + offset)
            for offset, relay in enumerate((self._relay_calls, self._relay_streams))
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _relay_calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        methods: dict[int, str] = {}  # of the calls that the server has not answered yet
        back = self._answers(from_server, writer, methods)
        await self._both(self._calls(reader, to_server, writer, methods), back, writer, to_server)

    async def _relay_streams(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port + 1)
        await self._both(_copied(reader, to_server), self._frames(from_server, writer), writer, to_server)

    async def _both(self, there: Any, back: Any, *writers: asyncio.StreamWriter) -> None:
        both = [asyncio.ensure_future(there), asyncio.ensure_future(back)]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        for error in await asyncio.gather(*both, return_exceptions=True):
            if error is not None and not isinstance(error, OSError | EOFError | asyncio.CancelledError):
                raise error
        for writer in writers:
            writer.transport.abort()

    async def _calls(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
        methods: dict[int, str],
    ) -> None:
        async for raw, (kind, number, method, arguments) in messages(reader):
            methods[number] = method
            change = self.fault.calls.get(method)
            if change is None:
                to_server.write(raw)
                continue
            changed = change(arguments[1:])
            if isinstance(changed, Answered):
                to_client.write(packed([1, number, None, changed.value]))
            else:
                to_server.write(packed([kind, number, method, [arguments[0], *changed]]))

    async def _answers(
        self, reader: asyncio.StreamReader, to_client: asyncio.StreamWriter, methods: dict[int, str]
    ) -> None:
        async for raw, (kind, number, error, result) in messages(reader):
            method = methods.pop(number, "")
            if delay_s := self.fault.delays.get(method):
                await asyncio.sleep(delay_s)
            change = self.fault.answers.get(method)
            to_client.write(raw if change is None else packed([kind, number, error, change(result)]))

    async def _frames(self, reader: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while True:
            (size,) = struct.unpack("<I", await reader.readexactly(4))
            frame: bytes | None = await reader.readexactly(size)
            assert frame is not None
            (kind,) = struct.unpack_from("<Q", frame)
            if delay_s := self.fault.frame_delays.get(kind):
                await asyncio.sleep(delay_s)
            if change := self.fault.frames.get(kind):
                frame = change(frame)
            if frame is not None:
                to_client.write(struct.pack("<I", len(frame)) + frame)
                await to_client.drain()


async def messages(reader: asyncio.StreamReader) -> Any:
    """Each msgpack message of a connection, as bytes and read."""
    unpacker = msgpack.Unpacker(unicode_errors="surrogateescape", max_buffer_size=0, strict_map_key=False)
    waiting, dropped = b"", 0
    while chunk := await reader.read(CHUNK):
        unpacker.feed(chunk)
        waiting += chunk
        for message in unpacker:
            end = unpacker.tell() - dropped
            yield waiting[:end], message
            waiting, dropped = waiting[end:], dropped + end


def packed(message: Any) -> bytes:
    return msgpack.packb(message, unicode_errors="surrogateescape")


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
