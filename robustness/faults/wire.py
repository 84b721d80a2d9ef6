"""What lies between a client and a server: a TCP relay that can cut a stream, swallow a picture, hold answers back.

The server listens on 127.0.0.1, the relay on the same two ports of another loopback address. The tokens by which a
client finds its streams name a port and no host, so they lead to the relay's as well.
"""

import asyncio
import contextlib
import struct
import threading
import weakref
from typing import Self

_PICTURE_BYTES = 10_000  # no other stream's frames are as long
_CHUNK = 1 << 16


class Wire:
    """A relay to the server at 127.0.0.1:`port` (streams on the port after it), in a thread; use it in `with`."""

    def __init__(self, port: int, host: str = "127.0.0.2") -> None:
        self.host, self.port = host, port
        self._order: str | None = None  # for the next picture
        self._done = threading.Event()
        self._held_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._tasks: set[asyncio.Task] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut_in_a_picture(self, timeout_s: float = 60.0) -> None:
        """Sends half of the next camera frame, then closes that stream's connection."""
        self._next_picture("cut", timeout_s)

    def swallow_a_picture(self, timeout_s: float = 60.0) -> None:
        """Does not deliver the next camera frame; the stream goes on with the one after it."""
        self._next_picture("swallow", timeout_s)

    def hold_answers(self, seconds: float) -> None:
        """Delivers what the server answers from now on only after `seconds`, whole and in order."""
        until = self._loop.time() + seconds
        self._loop.call_soon_threadsafe(setattr, self, "_held_until", until)

    def _next_picture(self, order: str, timeout_s: float) -> None:
        self._done.clear()
        self._loop.call_soon_threadsafe(setattr, self, "_order", order)
        if not self._done.wait(timeout_s):
            raise TimeoutError(f"no picture came over the wire in {timeout_s:g} s")

    async def _listen(self) -> None:
        self._servers = [
            await asyncio.start_server(self._accept(offset), self.host, self.port + offset) for offset in (0, 1)
        ]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # what nobody reads any more would keep it open
        await asyncio.sleep(0.05)

    def _accept(self, offset: int):  # type: ignore[no-untyped-def]  # asyncio.start_server's callback
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self._writers.add(writer)
            try:
                await self._relay(offset, reader, writer)
            finally:
                self._tasks.discard(task)
                writer.close()

        return relay

    async def _relay(self, offset: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port + offset)
        except OSError:
            return
        self._writers.add(to_server)
        back = self._streams(from_server, writer) if offset else self._answers(from_server, writer)
        both = [asyncio.ensure_future(back), asyncio.ensure_future(_copy(reader, to_server))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            to_server.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            while (left := self._held_until - self._loop.time()) > 0.0:
                await asyncio.sleep(left)
            writer.write(chunk)
            await writer.drain()

    async def _streams(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(4)
                payload = await reader.readexactly(struct.unpack("<I", header)[0])
                order = None
                if len(payload) >= _PICTURE_BYTES:
                    order, self._order = self._order, None
                if order == "cut":
                    writer.write(header + payload[: len(payload) // 2])
                    await writer.drain()
                    self._done.set()
                    return
                if order == "swallow":
                    self._done.set()
                    continue
                writer.write(header + payload)
                await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
