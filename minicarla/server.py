"""The server: two listening sockets around one simulation."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable

import psutil

from minicarla import heap, limits
from minicarla.handlers import step_batch
from minicarla.handlers.registry import METHODS
from minicarla.maps import Town, TownLibrary
from minicarla.numba_cache import alone_while_compiling
from minicarla.protocol.rpc import RpcConnection
from minicarla.protocol.streams import reader_factory
from minicarla.recorder.files import RecordingFolder, default_folder
from minicarla.simulation import Simulation

PARENT_CHECK_S = 1.0
_PORT_TRIES = 50
_MAX_PORT = 65535

log = logging.getLogger(__name__)


class ServerError(Exception):
    """The server cannot start; the message is one plain sentence."""


class Server:
    """One simulation and its clients. Everything runs on one event loop, so nothing here needs a lock."""

    methods = METHODS

    def __init__(
        self,
        town: Town,
        seed: int,
        loop: asyncio.AbstractEventLoop,
        towns: TownLibrary | None = None,
        recordings: RecordingFolder | None = None,
    ) -> None:
        self.loop = loop
        recordings = recordings or RecordingFolder(default_folder(), is_shared=False)
        self.simulation = Simulation(town, towns or TownLibrary(), seed, loop, recordings)
        step_batch.compile_loops(self.simulation)
        self._clients: dict[RpcConnection, None] = {}  # the oldest first

    def answer(self, client: RpcConnection, request: bytes) -> bytes | None:
        """Part of `rpc.Service`."""
        return step_batch.answer(self.simulation, client, request)

    def connected(self, client: RpcConnection) -> bool:
        """Part of `rpc.Service`."""
        if len(self._clients) >= limits.MAX_RPC_CONNECTIONS:
            silent = next((other for other in self._clients if not other.has_called), None)
            if silent is None:
                return False
            self.disconnected(silent)
            silent.close("it has never made a call, and others need its place")
        self._clients[client] = None
        self.simulation.has_clients = True
        return True

    def disconnected(self, client: RpcConnection) -> None:
        """Part of `rpc.Service`. A synchronous simulation waits for the next client, as CARLA's does."""
        self._clients.pop(client, None)
        self.simulation.has_clients = bool(self._clients)
        for port in client.traffic_managers:
            self.simulation.traffic_managers.pop(port, None)
        client.traffic_managers.clear()

    def holds_partial(self) -> None:
        """Part of `rpc.Service`."""
        if sum(client.partial_bytes for client in self._clients) > limits.MAX_PARTIAL_BYTES:
            largest = max(self._clients, key=lambda client: client.partial_bytes)
            largest.close("there are too many half-received requests, and its is the longest")


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
    town: Town,
    towns: TownLibrary,
    recordings: RecordingFolder,
    host: str,
    port: int,
    seed: int,
    parent_pid: int | None,
    ready: Callable[[int], None],
) -> None:
    """Serve `town`, and on demand any of `towns`, until SIGTERM, SIGINT or the end of the parent process.

    `ready` gets the RPC port.

    Raises:
      ServerError: the ports are taken, or there is no such parent process.
    """
    loop = asyncio.get_running_loop()
    try:
        parent = None if parent_pid is None else psutil.Process(parent_pid)
    except psutil.NoSuchProcess:
        raise ServerError(f"there is no process {parent_pid}: give --parent-pid a running one") from None
    rpc_socket, stream_socket = listen_pair(host, port)
    with alone_while_compiling():
        server = Server(town, seed, loop, towns, recordings)
    server.simulation.streams.port = stream_socket.getsockname()[1]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    rpc_server = await loop.create_server(lambda: RpcConnection(server), sock=rpc_socket)
    stream_server = await loop.create_server(reader_factory(server.simulation.streams), sock=stream_socket)
    server.simulation.set_clock()
    heap.settle()
    ready(rpc_socket.getsockname()[1])
    watch = None if parent is None else asyncio.create_task(_watch(parent, stop))
    await stop.wait()
    if watch is not None:
        watch.cancel()
    server.simulation.recorder.stop()
    rpc_server.close()
    stream_server.close()
    # The one kind of child there is tries an OpenDRIVE map for a client; the event loop's end would wait for it.
    for child in psutil.Process().children():
        child.kill()


async def _watch(parent: psutil.Process, stop: asyncio.Event) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it may go between the two questions
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(PARENT_CHECK_S)
    log.warning("process %d, which started this server, is gone: the server ends too", parent.pid)
    stop.set()
