"""Slow readers, on real sockets."""

import asyncio
import socket
import struct

import pytest
import uvloop

from minicarla import limits
from minicarla.protocol import streams as streams_module
from minicarla.protocol.streams import Streams, reader_factory

MEGABYTE = 1 << 20


def frame(number: int, size: int = MEGABYTE) -> tuple[bytes, bytes]:
    return struct.pack("<II", size, number), bytes(size - 4)


def numbers(data: bytes) -> list[int]:
    found, place = [], 0
    while place < len(data):
        size, number = struct.unpack_from("<II", data, place)
        found.append(number)
        place += 4 + size
    assert place == len(data), "a frame was cut"
    return found


async def run(count: int, synchronous: bool) -> tuple[list[int], list[int]]:
    """Send `count` frames of 1 MB; what a reader that reads at once and one that reads at the end have got."""
    loop = asyncio.get_running_loop()
    streams = Streams()
    stream = streams.open()
    server = await loop.create_server(reader_factory(streams), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    quick_reader, quick_writer = await asyncio.open_connection(*address, limit=4 * MEGABYTE)
    slow = socket.create_connection(address)
    slow.setblocking(False)
    quick_writer.write(struct.pack("<I", stream))
    await loop.sock_sendall(slow, struct.pack("<I", stream))
    while len(streams._readers[stream]) < 2:
        await asyncio.sleep(0.001)
    quick: list[int] = []
    for number in range(count):
        streams.send(stream, frame(number), synchronous)
        data = await quick_reader.readexactly(4 + MEGABYTE)
        quick += numbers(data)
    received, size = bytearray(), 4 + MEGABYTE
    end = frame(count - 1)[0]  # whatever is lost, it is not the last one
    while len(received) % size or received[-size : len(end) - size] != end:
        part = await asyncio.wait_for(loop.sock_recv(slow, MEGABYTE), 60.0)
        assert part, "the stream has ended"
        received += part
    slow.close()
    quick_writer.close()
    server.close()
    return quick, numbers(bytes(received))


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_synchronous_reader_gets_everything_late(run_loop):
    quick, slow = run_loop(run(60, synchronous=True))
    assert quick == slow == list(range(60))


def test_asynchronous_reader_gets_fresh_frames():
    quick, slow = uvloop.run(run(60, synchronous=False))
    assert quick == list(range(60))
    assert len(slow) < 30
    assert slow == sorted(slow)
    assert slow[-limits.FRESH_FRAMES :] == [58, 59]


def test_synchronous_reader_that_never_reads_loses_the_oldest():
    limit = limits.SYNC_QUEUE_BYTES // MEGABYTE
    count = limit + 40
    quick, slow = uvloop.run(run(count, synchronous=True))
    assert quick == list(range(count))
    assert len(slow) < count
    assert slow[-limit + 1 :] == list(range(count - limit + 1, count))


class Client:
    """Who announces subscriptions."""

    missed_subscriptions = 0


def test_who_announces_readers_in_vain_is_not_waited_for():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        streams, liar, honest = Streams(), Client(), Client()
        stream = streams.open()
        now = loop.time()
        for _ in range(limits.MAX_MISSED_SUBSCRIPTIONS):
            streams.expect(stream, now - 1.0, liar)
            assert streams.is_settled(now)
        streams.expect(stream, now, liar)
        assert streams.is_settled(now)
        streams.expect(stream, now, honest)
        assert not streams.is_settled(now)

    asyncio.run(scenario())


def test_announcements_without_end_hold_a_tick_no_longer_than_one():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        streams = Streams()
        stream = streams.open()
        waiting = asyncio.create_task(streams.settle())
        streams.expect(stream, loop.time(), Client())
        while not waiting.done():
            streams.expect(stream, last := loop.time(), Client())
            await asyncio.sleep(0.01)
        assert not streams.is_settled(last)  # the last ones are still announced

    asyncio.run(asyncio.wait_for(scenario(), 20.0))


def test_readers_that_never_read_fill_no_memory(monkeypatch):
    """Each stays within its own limit, but all together may not: the one furthest behind has to go."""
    monkeypatch.setattr(limits, "MAX_QUEUED_BYTES", 24 * MEGABYTE)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        streams = Streams()
        stream = streams.open()
        server = await loop.create_server(reader_factory(streams), "127.0.0.1", 0)
        idle = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(4)]
        for connection in idle:
            connection.sendall(struct.pack("<I", stream))
        while len(streams._readers[stream]) < 4:
            await asyncio.sleep(0.001)
        for number in range(60):
            streams.send(stream, frame(number), True)
            await asyncio.sleep(0.001)
            assert streams.unread_bytes <= limits.MAX_QUEUED_BYTES + 4 * MEGABYTE
        assert len(streams._readers[stream]) < 4
        for connection in idle:
            connection.close()
        server.close()

    uvloop.run(scenario())


def test_expected_readers(monkeypatch):
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        streams = Streams()
        assert streams.is_settled(loop.time())
        stream = streams.open()
        client = Client()
        streams.expect(stream, now := loop.time(), client)
        assert not streams.is_settled(now)
        await asyncio.wait_for(streams.settle(), 20.0)
        assert streams.is_settled(loop.time())
        monkeypatch.setattr(streams_module, "SUBSCRIPTION_GRACE_S", 1000.0)
        streams.expect(stream, loop.time(), client)
        waiting = asyncio.create_task(streams.settle())
        await asyncio.sleep(0)
        streams.close(stream)
        await asyncio.wait_for(waiting, 20.0)

    asyncio.run(scenario())
