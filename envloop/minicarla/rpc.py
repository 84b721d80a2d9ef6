"""The RPC channel: msgpack-rpc over TCP, one connection per `carla.Client`.

A request is [0, id, method, [metadata, *arguments]], a reply [1, id, error, result]; CARLA wraps results as
`Response<T>` (see `Result`). Calls of one connection are answered in order, which is what makes "control, then tick"
deterministic. Handlers are plain functions, found by name in a table.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast

import msgpack

from envloop.minicarla.rhythm import TrafficRhythm
from envloop.minicarla.shapes import ShapeError

# The largest legitimate message is an OpenDRIVE file; the largest array a batch of commands.
MAX_MESSAGE_BYTES = 32 << 20
MAX_ARRAY_ITEMS = 16384
MAX_MAP_ITEMS = 1024  # CARLA's RPC has no maps
MAX_CONNECTIONS = 128
# Requests behind one that is held for a moment, before the client's further ones stay in the socket.
MAX_WAITING_REQUESTS = 1000
# Bytes that a client may leave unread before its requests are no longer answered.
MAX_UNREAD_REPLY_BYTES = 64 << 20
# A script that errs at every tick must not fill a disk.
MAX_WARNINGS_PER_METHOD = 5

_REQUEST = 0
_REPLY = 1

log = logging.getLogger(__name__)


class RpcError(Exception):
    """A plain sentence for the client, where it appears as a RuntimeError."""


class Result(Enum):
    """How a method's result is wrapped."""

    VALUE = "value"  # [[1, value]] or [[0, [message]]]
    VOID = "void"  # [[false]] or [[true, [message]]]
    RAW = "raw"  # as it is; only apply_batch


@dataclass(frozen=True, slots=True)
class Method:
    """A handler and its kind of result. It may return a future: the reply, and all later ones, then wait for it."""

    call: Callable[..., Any]
    result: Result
    overtakes: bool = False  # answered even while an earlier request waits


class Methods(dict[str, Method]):
    """The table of handlers by method name; modules fill it with the decorators."""

    def value(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Register a method that returns a value, under the function's own name."""
        self[handler.__name__] = Method(handler, Result.VALUE)
        return handler

    def void(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Register a method that returns nothing."""
        self[handler.__name__] = Method(handler, Result.VOID)
        return handler

    def raw(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Register a method whose result CARLA does not wrap."""
        self[handler.__name__] = Method(handler, Result.RAW)
        return handler


class Service(Protocol):
    """What the connections need of the server."""

    methods: Methods

    def connected(self, connection: "RpcConnection") -> bool:
        """Note a new connection; False refuses it."""

    def disconnected(self, connection: "RpcConnection") -> None:
        """Forget a connection and what it registered."""


def failure(result: Result, message: str) -> Any:
    """The wire form of an error."""
    return [[True, [message]]] if result is Result.VOID else [[0, [message]]]


def success(result: Result, value: Any) -> Any:
    """The wire form of a result."""
    if result is Result.VALUE:
        return [[1, value]]
    return [[False]] if result is Result.VOID else value


def _unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(
        max_buffer_size=MAX_MESSAGE_BYTES,
        max_str_len=MAX_MESSAGE_BYTES,
        max_bin_len=MAX_MESSAGE_BYTES,
        max_array_len=MAX_ARRAY_ITEMS,  # an announced length is allocated before its items come
        max_map_len=MAX_MAP_ITEMS,
        max_ext_len=0,
    )


class RpcConnection(asyncio.Protocol):
    """One client. Bytes that are not msgpack-rpc close it, with a line in the log, and touch nobody else."""

    def __init__(self, service: Service) -> None:
        self.traffic_managers: set[int] = set()  # ports that this client registered
        self.rhythm: TrafficRhythm | None = None  # of its Traffic Manager
        self._service = service
        self._unpacker = _unpacker()
        self._packer = msgpack.Packer()
        self._requests: deque[Any] = deque()
        self._held: asyncio.Future[Any] | None = None
        self._transport: asyncio.Transport
        self._peer = "?"
        self._warned: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._peer = str(transport.get_extra_info("peername"))
        self._transport.set_write_buffer_limits(high=MAX_UNREAD_REPLY_BYTES)
        if not self._service.connected(self):
            log.warning("RPC client %s refused: %d clients are connected already", self._peer, MAX_CONNECTIONS)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._requests.clear()
        if self._held is not None:
            self._held.cancel()
        self._service.disconnected(self)

    def pause_writing(self) -> None:
        """The client sends requests but does not read the replies."""
        self._close("it does not read its replies")

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._unpacker.feed(data)
            self._requests.extend(self._unpacker)
        except Exception as error:
            # BufferFull, StackError, FormatError, UnicodeDecodeError, length limits: none of them can be recovered
            # from.
            self._close(f"it sent bytes that are not msgpack-rpc ({type(error).__name__}: {error})")
            return
        self._answer()
        if len(self._requests) > MAX_WAITING_REQUESTS:
            self._transport.pause_reading()

    def _close(self, reason: str) -> None:
        log.warning("RPC client %s disconnected: %s", self._peer, reason)
        self._requests.clear()
        self._transport.abort()

    def _answer(self) -> None:
        waiting: deque[Any] = deque()
        while self._requests:
            request = self._requests.popleft()
            if self._held is not None and not self._overtakes(request):
                waiting.append(request)
                continue
            try:
                kind, message_id, name, (metadata, *arguments) = request
                valid = kind == _REQUEST and isinstance(name, str) and isinstance(message_id, int)
            except (TypeError, ValueError):
                valid = False
            if not valid:
                self._close(f"it sent something that is no request: {request!r:.80}")
                return
            self._handle(message_id, name, metadata, arguments)
        self._requests = waiting

    def _overtakes(self, request: Any) -> bool:
        name = request[2] if isinstance(request, list) and len(request) > 2 else None
        method = self._service.methods.get(name) if isinstance(name, str) else None
        return method is not None and method.overtakes

    def _handle(self, message_id: int, name: str, metadata: Any, arguments: list[Any]) -> None:
        method = self._service.methods.get(name)
        if method is None:
            self._warn(name, f"called '{name}', which minicarla does not have")
            self._send([_REPLY, message_id, f"minicarla does not have '{name}'", None])
            return
        try:
            value = method.call(self._service, self, *arguments)
        except Exception as error:
            self._send([_REPLY, message_id, None, failure(method.result, self._sentence(name, metadata, error))])
            return
        if isinstance(value, asyncio.Future):
            self._held = value
            value.add_done_callback(lambda done: self._release(message_id, name, method.result, done))
            return
        self._send([_REPLY, message_id, None, success(method.result, value)])

    def _release(self, message_id: int, name: str, result: Result, done: "asyncio.Future[Any]") -> None:
        self._held = None
        if done.cancelled() or self._transport.is_closing():
            return
        self._transport.resume_reading()
        error = done.exception()
        if error is None:
            wrapped = success(result, done.result())
        else:
            wrapped = failure(result, self._sentence(name, None, error))
        self._send([_REPLY, message_id, None, wrapped])
        self._answer()

    def _sentence(self, name: str, metadata: Any, error: BaseException) -> str:
        if isinstance(error, RpcError):
            message = str(error)
        elif isinstance(error, ShapeError):
            message = f"{name}: {error}"
        elif isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            message = f"{name}: wrong number of arguments"
        else:
            message = f"{name}: internal error of minicarla ({type(error).__name__}: {error})"
            self._warn(name, message, error)
            return message
        if metadata == [True]:
            # Nobody waits for the reply of an asynchronous call: the log is the only place where it can be seen.
            self._warn(name, message)
        return message

    def _warn(self, name: str, message: str, error: BaseException | None = None) -> None:
        self._warned[name] += 1
        if self._warned[name] <= MAX_WARNINGS_PER_METHOD:
            log.warning("RPC client %s: %s", self._peer, message, exc_info=error)

    def _send(self, reply: list[Any]) -> None:
        self._transport.write(self._packer.pack(reply))
