"""The streaming channel: one TCP connection per subscribed stream, on the port beside the RPC port.

A client connects, sends the stream's id in four bytes and from then on only reads frames.

Slow readers. The kernel's and the transport's buffers take what they can; when they are full, whole frames queue here,
one queue a reader, so that nobody waits for anybody. A queue that exceeds its limit loses its oldest frames, with one
line in the log. While the world is asynchronous the limit is `FRESH_FRAMES`: an old frame is worth little. While it is
synchronous a script may count on every frame, and the ticks themselves are paced by a client, so up to
`SYNC_QUEUE_BYTES` are kept (570 frames of 256x144): only a reader that has stopped reading can lose any. When all
readers together leave more than `MAX_QUEUED_BYTES` unread, the one furthest behind is disconnected; a stock client then
connects anew by itself.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from minicarla import limits
from minicarla.protocol import wire
from minicarla.protocol.peer_queue import question, unread_bytes

# How long a tick waits for a stream whose token has just been asked for: `listen()` returns before its subscription is
# here.
SUBSCRIPTION_GRACE_S = 0.2
_TIMER_SLACK_S = 0.01  # a loop's timers may fire a little early

log = logging.getLogger(__name__)

Frame = tuple[bytes, ...]  # parts that follow each other


class Subscriber(Protocol):
    """Who announces that it will subscribe."""

    missed_subscriptions: int


class Reader(asyncio.Protocol):
    """One subscribed (or not yet subscribed) client socket."""

    def __init__(self, streams: "Streams") -> None:
        self.stream: int | None = None
        self.frames_lost = 0
        self.is_given_up = False  # nobody waits for it to read
        self.queue_question: bytes | None = None  # about what it has not read yet
        self._streams = streams
        self._received = b""
        self._transport: asyncio.Transport
        self._paused = False
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self.unread_bytes = 0  # of the queue, and in the transport since it is full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._transport.set_write_buffer_limits(high=limits.TRANSPORT_BUFFER_BYTES)
        ours, theirs = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        self.queue_question = question(ours[:2], theirs[:2]) if ours and theirs else None
        if not self._streams.connected(self):
            log.warning("stream reader refused: %d are connected already", limits.MAX_STREAM_CONNECTIONS)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self.stream is None:
            self._received += data
            if len(self._received) < wire.STREAM_ID_BYTES:
                return
            self.stream = wire.stream_id(self._received[: wire.STREAM_ID_BYTES])
            data = self._received[wire.STREAM_ID_BYTES :]
            self._streams.subscribed(self)
        if data:
            log.warning("stream reader disconnected: it sent more than the id of a stream")
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._queue.clear()
        self._queued_bytes = 0
        self._note_unread(0)
        self._streams.disconnected(self)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self._paused = True
        self._note_unread(self._queued_bytes + self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self._paused = False
        self._note_unread(0)
        while self._queue and not self._paused:
            frame = self._queue.popleft()
            self._queued_bytes -= sum(map(len, frame))
            self._transport.writelines(frame)

    def close(self) -> None:
        """Disconnect it."""
        self._transport.abort()

    def _note_unread(self, count: int) -> None:
        self._streams.unread_bytes += count - self.unread_bytes
        self.unread_bytes = count

    def send(self, frame: Frame, synchronous: bool) -> None:
        """Write a frame, or queue it behind those that the client has not read yet."""
        if not self._paused:
            self._transport.writelines(frame)
            return
        before = self._queued_bytes
        self._queue.append(frame)
        self._queued_bytes += sum(map(len, frame))
        while len(self._queue) > 1 and (
            self._queued_bytes > limits.SYNC_QUEUE_BYTES or (not synchronous and len(self._queue) > limits.FRESH_FRAMES)
        ):
            self._queued_bytes -= sum(map(len, self._queue.popleft()))
            self.frames_lost += 1
            if self.frames_lost == 1:
                log.warning("a reader of stream %s is too slow: it loses frames", self.stream)
        self._note_unread(self.unread_bytes + self._queued_bytes - before)


class Streams:
    """All streams and their readers."""

    def __init__(self) -> None:
        self.port = 0  # where the readers connect to
        self.unread_bytes = 0  # that all readers together have left
        self._readers: dict[int, list[Reader]] = {}  # by stream id; the key exists as long as the stream does
        self._all: dict[Reader, None] = {}  # the oldest first
        # Subscriptions whose tokens have been given out: until when they are waited for, and who will make them.
        self._awaited: dict[int, list[tuple[float, Subscriber]]] = {}
        self._arrival = asyncio.Event()
        self._last_snapshot: Frame | None = None
        self._at_next_reader: dict[int, Callable[[], None]] = {}  # by stream id
        self._next_id = wire.SNAPSHOT_STREAM
        self.open()

    def open(self) -> int:
        """A new stream; its id. Ids are never used twice, so a reader that reconnects late finds no stranger's data."""
        stream = self._next_id
        self._next_id += 1
        self._readers[stream] = []
        return stream

    def close(self, stream: int) -> None:
        """End a stream. Its readers stay connected and get nothing: closing them would make them reconnect for ever."""
        self._readers.pop(stream, None)
        self._awaited.pop(stream, None)
        self._arrival.set()

    def exists(self, stream: int) -> bool:
        """Whether the stream has been opened and not closed."""
        return stream in self._readers

    def has_readers(self, stream: int) -> bool:
        """Whether anybody would get a frame of the stream."""
        return bool(self._readers.get(stream))

    def forget_snapshot(self) -> None:
        """The last snapshot is of an episode that has ended: nobody shall get it any more."""
        self._last_snapshot = None

    def send(self, stream: int, frame: Frame, synchronous: bool) -> None:
        """Give a frame to all readers of a stream."""
        if stream == wire.SNAPSHOT_STREAM:
            self._last_snapshot = frame
        for reader in self._readers.get(stream, ()):
            reader.send(frame, synchronous)
        if self.unread_bytes > limits.MAX_QUEUED_BYTES:
            self._disconnect_the_slowest()

    def at_next_reader(self, stream: int, call: Callable[[], None]) -> None:
        """`call` once when the next socket subscribes to the stream."""
        self._at_next_reader[stream] = call

    def has_been_read(self, stream: int) -> bool:
        """Whether all readers on this machine have read all frames; of others nothing is known, and it is assumed."""
        for reader in self._readers.get(stream, ()):
            unread = None if reader.queue_question is None else unread_bytes(reader.queue_question)
            if not unread:
                reader.is_given_up = False
            elif not reader.is_given_up:
                return False
        return True

    def give_up(self, stream: int) -> None:
        """Do not wait for those of the stream's readers that have not read all frames, until they have."""
        for reader in self._readers.get(stream, ()):
            reader.is_given_up = True

    def _disconnect_the_slowest(self) -> None:
        slowest = max(self._all, key=lambda reader: reader.unread_bytes)
        log.warning(
            "a reader of stream %s disconnected: all readers together have left %d MB unread, this one most of it",
            slowest.stream, self.unread_bytes >> 20,
        )  # fmt: skip
        slowest.close()

    def expect(self, stream: int, now: float, subscriber: Subscriber) -> None:
        """`subscriber` has asked for the stream's token and should subscribe to it at once."""
        awaited = self._awaited.setdefault(stream, [])
        if (
            subscriber.missed_subscriptions < limits.MAX_MISSED_SUBSCRIPTIONS
            and len(awaited) < limits.MAX_AWAITED_READERS
        ):
            awaited.append((now + SUBSCRIPTION_GRACE_S, subscriber))

    def is_settled(self, now: float) -> bool:
        """Whether no subscription is under way."""
        if self._awaited:
            self._forget_late(now)
        return not self._awaited

    async def settle(self) -> None:
        """Returns when no subscription is under way, or none that can still be waited for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SUBSCRIPTION_GRACE_S  # for those that are announced meanwhile, too
        while not self.is_settled(loop.time()) and loop.time() < end:
            self._arrival.clear()
            latest = max(deadline for awaited in self._awaited.values() for deadline, _ in awaited)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrival.wait(), min(latest, end) - loop.time() + _TIMER_SLACK_S)

    def _forget_late(self, now: float) -> None:
        for stream, awaited in list(self._awaited.items()):
            for deadline, subscriber in awaited:
                if deadline <= now:
                    subscriber.missed_subscriptions += 1
            awaited[:] = [expected for expected in awaited if expected[0] > now]
            if not awaited:
                del self._awaited[stream]

    def connected(self, reader: Reader) -> bool:
        """Note a new socket; False refuses it."""
        if len(self._all) >= limits.MAX_STREAM_CONNECTIONS:
            idle = next((other for other in self._all if other.stream not in self._readers), None)
            if idle is None:
                return False
            log.warning("a stream reader without a stream disconnected: others need its place")
            self.disconnected(idle)
            idle.close()
        self._all[reader] = None
        return True

    def subscribed(self, reader: Reader) -> None:
        """A socket has said which stream it wants."""
        assert reader.stream is not None
        awaited = self._awaited.get(reader.stream)
        if awaited:
            _, subscriber = awaited.pop(0)
            subscriber.missed_subscriptions = 0
            if not awaited:
                del self._awaited[reader.stream]
        if reader.stream in self._readers:
            self._readers[reader.stream].append(reader)
            if reader.stream == wire.SNAPSHOT_STREAM and self._last_snapshot is not None:
                # A client that joins a synchronous world, or reconnects during a tick, sees the actors without a tick.
                reader.send(self._last_snapshot, synchronous=True)
        else:
            log.info("a reader asks for stream %d, which does not exist (any more)", reader.stream)
        self._arrival.set()
        call = self._at_next_reader.pop(reader.stream, None)
        if call is not None:
            call()

    def disconnected(self, reader: Reader) -> None:
        """A socket is gone."""
        self._all.pop(reader, None)
        readers = self._readers.get(reader.stream) if reader.stream is not None else None
        if readers and reader in readers:
            readers.remove(reader)


def reader_factory(streams: Streams) -> Callable[[], Reader]:
    """What `loop.create_server` needs."""
    return lambda: Reader(streams)
