"""The server: two listening sockets around one world."""

import asyncio
import logging
import signal
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

from minicarla import limits
from minicarla.handlers import actor, batch, lights, scene, unsupported, vehicle, world
from minicarla.maps import MapError, Town, available_towns, load_town, load_xodr
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.streams import Streams, reader_factory
from minicarla.world import tick
from minicarla.world.state import World

OPENDRIVE_MAP = "OpenDriveMap"  # the map that CARLA loads after generate_opendrive_world
PARENT_CHECK_S = 1.0
_PORT_TRIES = 50
_MAX_PORT = 65535

T = TypeVar("T")
log = logging.getLogger(__name__)


class ServerError(Exception):
    """The server cannot start; the message is one plain sentence."""


class Server:
    """One world and its clients. Everything runs on one event loop, so nothing here needs a lock."""

    methods = Methods(
        unsupported.methods
        | world.methods
        | scene.methods
        | actor.methods
        | vehicle.methods
        | lights.methods
        | batch.methods
    )

    def __init__(self, town: Town, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.streams = Streams()
        self.world = World(town, self.streams, seed)
        self.traffic_managers: dict[int, list[str | int]] = {}
        self.opendrive_town: Town | None = None  # the last one that a client sent
        self._towns = {town.name: town}
        self._clients: dict[RpcConnection, None] = {}  # the oldest first
        self._reads_opendrive = False
        self._timer: asyncio.Handle | None = None

    def connected(self, client: RpcConnection) -> bool:
        """Part of `rpc.Service`."""
        if len(self._clients) >= limits.MAX_RPC_CONNECTIONS:
            silent = next((other for other in self._clients if not other.has_called), None)
            if silent is None:
                return False
            self.disconnected(silent)
            silent.close("it has never made a call, and others need its place")
        self._clients[client] = None
        return True

    def disconnected(self, client: RpcConnection) -> None:
        """Part of `rpc.Service`. A synchronous world waits for the next client, as CARLA's does."""
        self._clients.pop(client, None)
        for port in client.traffic_managers:
            self.traffic_managers.pop(port, None)
        client.traffic_managers.clear()

    def holds_partial(self) -> None:
        """Part of `rpc.Service`."""
        if sum(client.partial_bytes for client in self._clients) > limits.MAX_PARTIAL_BYTES:
            largest = max(self._clients, key=lambda client: client.partial_bytes)
            largest.close("there are too many half-received requests, and its is the longest")

    def pace(self) -> None:
        """Start the clock of an asynchronous world, stop it for a synchronous one."""
        if self.world.settings.synchronous:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self.loop.call_soon(self._free_tick, self.loop.time())

    def _free_tick(self, due: float) -> None:
        try:
            tick.tick(self.world)
        except Exception:
            log.exception("a tick has failed; the world goes on")
        finally:
            # Behind its time the world slows down: it neither hurries nor starves its clients.
            due = max(due + tick.DEFAULT_DELTA_S, self.loop.time() + 0.2 * tick.DEFAULT_DELTA_S)
            self._timer = self.loop.call_at(due, self._free_tick, due)

    def tick_when_settled(self, client: RpcConnection, result: Callable[[int], T]) -> "T | asyncio.Task[T]":
        """Tick a synchronous world and return `result(frame)`.

        It is a task, and the tick comes a little later, while a subscription is under way (`streams`) or while the
        client's Traffic Manager is at a delicate point (`rhythm`).
        """
        if not self.world.settings.synchronous:
            return result(self.world.frame)
        if self.streams.is_settled(self.loop.time()) and (client.rhythm is None or not client.rhythm.must_wait()):
            return result(tick.tick(self.world))
        return self.loop.create_task(self._tick_later(client, result))

    async def _tick_later(self, client: RpcConnection, result: Callable[[int], T]) -> T:
        await self.streams.settle()
        if client.rhythm is not None:
            await client.rhythm.settle()
        return result(tick.tick(self.world))

    def town_names(self) -> list[str]:
        """The towns that can be loaded."""
        return sorted({*available_towns(), *self._towns})

    def load(self, name: str, reset_settings: bool) -> None:
        """Begin a new episode on a town; the empty name is the current one.

        Raises:
          RpcError: there is no such town.
        """
        if name == OPENDRIVE_MAP and self.opendrive_town is not None:
            town = self.opendrive_town
        elif name in ("", self.world.town.name):
            town = self.world.town
        elif name in self._towns:
            town = self._towns[name]
        elif name in available_towns():
            town = self._towns[name] = load_town(name)
        else:
            raise RpcError(f"there is no map {name!r:.80}: choose one of {', '.join(self.town_names())}")
        self.world.load(town, reset_settings)
        if self._timer is not None:
            self._timer.cancel()  # the new episode's first tick comes at once
            self._timer = None
        self.pace()

    async def take_opendrive(self, xodr: str) -> None:
        """Make a client's OpenDRIVE text the town `OPENDRIVE_MAP`. A thread does the work, one text at a time.

        Raises:
          RpcError: the text is too long or broken, or another one is being read.
        """
        if len(xodr.encode()) > limits.MAX_XODR_BYTES:
            raise RpcError(f"an OpenDRIVE text must not be longer than {limits.MAX_XODR_BYTES} bytes")
        if self._reads_opendrive:
            raise RpcError("another client's OpenDRIVE text is being read: try again in a moment")
        self._reads_opendrive = True
        try:
            self.opendrive_town = await self.loop.run_in_executor(None, partial(self._read_opendrive, xodr))
        except MapError as error:
            raise RpcError(str(error)) from None
        finally:
            self._reads_opendrive = False

    def _read_opendrive(self, xodr: str) -> Town:
        with tempfile.TemporaryDirectory(prefix="minicarla-") as folder:
            path = Path(folder) / f"{OPENDRIVE_MAP}.xodr"
            path.write_text(xodr, encoding="utf-8")
            try:
                return load_xodr(path)
            except MapError as error:
                raise MapError(str(error).replace(str(path), "the OpenDRIVE text")) from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def listen_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Listening sockets on `port` and `port` + 1; port 0 finds a free pair.

    Raises:
      ServerError: one of the two is taken, or the host is not this machine's.
    """
    for _ in range(_PORT_TRIES if port == 0 else 1):
        try:
            first = _listen(host, port)
        except OSError as error:
            raise ServerError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another --port or --host"
            ) from None
        second_port = first.getsockname()[1] + 1
        try:
            if second_port > _MAX_PORT:
                raise OSError(0, "there is no such port")
            return first, _listen(host, second_port)
        except OSError as error:
            first.close()
            reason = error.strerror
    if port == 0:
        raise ServerError(f"found no free pair of neighbouring ports on {host}: choose one with --port")
    raise ServerError(
        f"cannot listen on {host}:{port + 1} ({reason}), where the sensor streams belong: choose another --port"
    )


async def serve(
    town: Town, host: str, port: int, seed: int, parent_pid: int | None, ready: Callable[[int], None]
) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent process; `ready` gets the RPC port.

    Raises:
      ServerError: the ports are taken, or there is no such parent process.
    """
    loop = asyncio.get_running_loop()
    try:
        parent = None if parent_pid is None else psutil.Process(parent_pid)
    except psutil.NoSuchProcess:
        raise ServerError(f"there is no process {parent_pid}: give --parent-pid a running one") from None
    rpc_socket, stream_socket = listen_pair(host, port)
    server = Server(town, seed, loop)
    server.streams.port = stream_socket.getsockname()[1]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    rpc_server = await loop.create_server(lambda: RpcConnection(server), sock=rpc_socket)
    stream_server = await loop.create_server(reader_factory(server.streams), sock=stream_socket)
    server.pace()
    ready(rpc_socket.getsockname()[1])
    watch = None if parent is None else asyncio.create_task(_watch(parent, stop))
    await stop.wait()
    if watch is not None:
        watch.cancel()
    rpc_server.close()
    stream_server.close()
    # The one kind of child there is tries an OpenDRIVE text for a client; the event loop's end would wait for it.
    for child in psutil.Process().children():
        child.kill()


async def _watch(parent: psutil.Process, stop: asyncio.Event) -> None:
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        await asyncio.sleep(PARENT_CHECK_S)
    log.warning("process %d, which started this server, is gone: the server ends too", parent.pid)
    stop.set()
