"""The real server, its real connections on a real event loop, and in the place of sockets pipes in memory."""

import asyncio
import atexit
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import psutil

from minicarla.maps import Town
from minicarla.protocol import streams
from minicarla.protocol.rpc import RpcConnection
from minicarla.protocol.streams import Reader
from minicarla.recorder.files import RecordingFolder
from minicarla.server import Server
from robustness.fuzz.mutate import Input

MAX_INPUT_CPU_S = 5.0  # of one input with all that follows from it: ticks of the fullest worlds take a second
MAX_WAIT_S = 30.0  # until an answer is there, on a machine that does other things as well
MAX_GROWTH_BYTES = 1 << 30  # twice what readers may leave unread
_READERS = 8
_PAUSE_S = 0.001
_PROBE_ID = 4_000_000_000


class Finding(Exception):  # noqa: N818 - it is what a fuzzer looks for
    """What must not happen, in words."""


class Pipe(asyncio.Transport):
    """One end of a connection in memory.

    Args:
      keep: what is written can be read in `received`; else it is gone.
      swallow: False when nobody reads at the other end.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: Any, keep: bool = False, swallow: bool = True
    ) -> None:
        super().__init__()
        self.received = bytearray()
        self._keep = keep
        self._loop, self._protocol, self._swallow = loop, protocol, swallow
        self._closing = False
        self._unread, self._high = 0, 1 << 16
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return "fuzzer"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = self._high if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._unread

    def write(self, data: Any) -> None:
        if self._keep:
            self.received += data
        if self._swallow:
            return
        before, self._unread = self._unread, self._unread + len(data)
        if before <= self._high < self._unread:
            self._protocol.pause_writing()

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.write(part)

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    close = abort

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Watch(logging.Handler):
    """Keeps what the server logs with a traceback: an error that no handler foresaw."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.unforeseen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.unforeseen.append(logging.Formatter().format(record))


class Harness:
    """A server under watch. Call `begin`, then `feed` for every input, within its event loop."""

    def __init__(self, town: Town, loop: asyncio.AbstractEventLoop) -> None:
        # Otherwise most of the time would be spent on ticks that wait for readers who never come.
        streams.SUBSCRIPTION_GRACE_S = 0.001
        folder = tempfile.mkdtemp(prefix="minicarla-fuzz-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        # Shared: no input may write outside of that folder.
        recordings = RecordingFolder(Path(folder), is_shared=True)
        self.server = Server(town, 0, loop, recordings=recordings)
        self._town, self._loop = town, loop
        self._watch = _Watch()
        log = logging.getLogger("minicarla")
        log.addHandler(self._watch)
        log.propagate = False
        self._loop_errors: list[str] = []
        loop.set_exception_handler(lambda _, context: self._loop_errors.append(repr(context)))
        self._process = psutil.Process()
        self._memory = 0
        self._readers: list[tuple[Reader, Pipe]] = []
        self._attacker, self._probe = self._connect(), self._connect(keep=True)
        self.longest_s = 0.0

    def actors(self) -> Sequence[int]:
        """Ids that exist: a traffic light, the spectator, and the newest."""
        ids = list(self.server.simulation.state.actors)
        return [ids[0], *ids[len(self.server.simulation.state.light_actors) :][-30:]]

    def streams(self) -> Sequence[int]:
        """The same of the streams, the newest ones."""
        return list(self.server.simulation.streams._readers)[-6:]

    async def begin(self) -> None:
        """A new episode and new connections: what follows can be repeated from here."""
        for _, pipe in self._readers:
            pipe.abort()
        self._readers.clear()
        for _, pipe in (self._attacker, self._probe):
            pipe.abort()
        await self._settle()
        self._attacker, self._probe = self._connect(), self._connect(keep=True)
        self._expect(await self._ask("load_new_episode", [self._town.name, True, 0]), [[False]])

    async def feed(self, given: Input) -> None:
        """One input, and everything that follows from it at once.

        Raises:
          Finding: an error that nothing foresaw, or too much time.
        """
        began = time.thread_time()
        try:
            if given.channel == "stream":
                self._subscribe(given.data)
            else:
                if self._attacker[1].is_closing():
                    self._attacker = self._connect()
                self._attacker[0].data_received(given.data)
        except Exception as error:
            raise Finding(f"an exception left the protocol: {error!r}") from error
        await self._settle()
        spent = time.thread_time() - began
        self.longest_s = max(self.longest_s, spent)
        if spent > MAX_INPUT_CPU_S:
            raise Finding(f"one input took {spent:.1f} s")
        self._check_errors()

    async def probe(self) -> None:
        """The server still answers another client, ticks, and has not grown.

        Raises:
          Finding: it does not, or has.
        """
        self._expect(await self._ask("version", []), [[1, "0.9.16"]])
        settings = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
        self._expect(await self._ask("set_episode_settings", [settings]), [[1, self.server.simulation.state.frame]])
        frame = self.server.simulation.state.frame
        self._expect(await self._ask("tick_cue", []), [[1, frame + 1]])
        self._check_errors()
        grown = self._process.memory_info().rss
        self._memory = self._memory or grown
        if grown - self._memory > MAX_GROWTH_BYTES:
            raise Finding(f"memory grew from {self._memory >> 20} to {grown >> 20} MB")

    def figures(self) -> dict[str, float]:
        """Processor time of the longest input, resident memory at the first probe and now."""
        after = self._process.memory_info().rss
        return {"longest ms": 1e3 * self.longest_s, "MB before": self._memory >> 20, "MB after": after >> 20}

    def _connect(self, keep: bool = False) -> tuple[RpcConnection, Pipe]:
        connection = RpcConnection(self.server)
        return connection, Pipe(self._loop, connection, keep)

    def _subscribe(self, data: bytes) -> None:
        reader = Reader(self.server.simulation.streams)
        pipe = Pipe(self._loop, reader, swallow=len(self._readers) % 2 == 0)
        self._readers.append((reader, pipe))
        if not pipe.is_closing():
            reader.data_received(data)
        if len(self._readers) > _READERS:
            self._readers.pop(0)[1].abort()

    async def _settle(self) -> None:
        """Returns when the attacker's requests are done with and the loop has nothing to do at once."""
        end = time.monotonic() + MAX_WAIT_S
        await asyncio.sleep(0)
        while _is_busy(self._attacker[0]):
            if time.monotonic() > end:
                raise Finding(f"a request has not been answered in {MAX_WAIT_S:.0f} s")
            await asyncio.sleep(_PAUSE_S)

    async def _ask(self, name: str, arguments: list[Any]) -> Any:
        connection, pipe = self._probe
        pipe.received.clear()
        connection.data_received(msgpack.packb([0, _PROBE_ID, name, [[False], *arguments]]))
        end = time.monotonic() + MAX_WAIT_S
        while _is_busy(connection):
            if time.monotonic() > end:
                raise Finding(f"another client's {name} has not been answered in {MAX_WAIT_S:.0f} s")
            await asyncio.sleep(_PAUSE_S)
        return msgpack.unpackb(bytes(pipe.received))[3]

    def _expect(self, answer: Any, expected: Any) -> None:
        if answer != expected:
            raise Finding(f"another client got {answer!r:.300} in place of {expected!r}")

    def _check_errors(self) -> None:
        errors = self._watch.unforeseen + self._loop_errors
        self._watch.unforeseen, self._loop_errors = [], []
        if errors:
            raise Finding(f"an error that nothing foresaw: {errors[0]}")


def _is_busy(connection: RpcConnection) -> bool:
    return bool(connection._requests) or connection._held is not None or connection._turn is not None
