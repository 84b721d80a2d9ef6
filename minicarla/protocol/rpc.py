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
from itertools import islice
from typing import Any, Protocol, cast

import msgpack

from minicarla import limits
from minicarla.protocol.framing import FramingError, RequestCutter, decode
from minicarla.protocol.reply_pacing import ReplyPacing
from minicarla.protocol.rpc_types import ArgumentError

_REQUEST = 0
_REPLY = 1
# What overtakes has no arguments, and comes from a thread beside the one whose request is held.
_SHORT_REQUEST_BYTES, _OVERTAKING_DEPTH = 256, 64

log = logging.getLogger(__name__)


class RpcError(Exception):
    """A plain sentence for the client, where it appears as a RuntimeError."""


class UnsupportedError(RpcError):
    """The server has nothing for the call: to say so once is enough."""


class Result(Enum):
    """How a method's result is wrapped."""

    VALUE = "value"  # [[1, value]] or [[0, [message]]]
    VOID = "void"  # [[false]] or [[true, [message]]]
    RAW = "raw"  # as it is; only apply_batch


@dataclass(frozen=True, slots=True)
class Method:
    """A handler and its kind of result.

    It may return a future: the reply, and all later ones, then wait for it; or `Aside` a future.
    """

    call: Callable[..., Any]
    result: Result
    overtakes: bool = False  # answered even while an earlier request waits


@dataclass(frozen=True, slots=True)
class Aside:
    """A result that its own reply waits for, and no other: other threads of the client go on meanwhile."""

    future: "asyncio.Future[Any]"


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
    simulation: Any  # every handler's first argument; the protocol itself does not look at it
    loop: asyncio.AbstractEventLoop

    def answer(self, connection: "RpcConnection", request: bytes) -> bytes | None:
        """The reply to a request that can be done without decoding it; None for all others."""

    def connected(self, connection: "RpcConnection") -> bool:
        """Note a new connection; False refuses it."""

    def disconnected(self, connection: "RpcConnection") -> None:
        """Forget a connection and what it registered."""

    def holds_partial(self) -> None:
        """A connection has received a large part of a request; some may have to be disconnected."""


def failure(result: Result, message: str) -> Any:
    """The wire form of an error."""
    return [[True, [message]]] if result is Result.VOID else [[0, [message]]]


def success(result: Result, value: Any) -> Any:
    """The wire form of a result."""
    if result is Result.VALUE:
        return [[1, value]]
    return [[False]] if result is Result.VOID else value


class RpcConnection(asyncio.Protocol):
    """One client. Bytes that are not msgpack-rpc close it, with a line in the log, and touch nobody else.

    Requests are handled in order as they come. They wait, undecoded, while an earlier one's reply is a future, while
    the client does not read its replies, and while it is the other clients' turn; too many of them stay in the socket.
    """

    def __init__(self, service: Service) -> None:
        self.traffic_managers: set[int] = set()  # ports that this client registered
        self.reply_pacing: ReplyPacing | None = None  # of its Traffic Manager
        self.missed_subscriptions = 0  # subscriptions that it announced and never made
        self.has_called = False
        self._service = service
        self._cutter = RequestCutter()
        self._packer = msgpack.Packer()
        self._requests: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._held: asyncio.Future[Any] | None = None
        self._turn: asyncio.Handle | None = None
        self._deadline: asyncio.TimerHandle | None = None  # of a half-received request
        self._transport: asyncio.Transport
        self._reads_replies = True
        self._is_reading = True
        self._is_lost = False
        self._peer = "?"
        self._warned: Counter[str] = Counter()

    @property
    def partial_bytes(self) -> int:
        """What has been received of a request that is not whole yet."""
        return self._cutter.partial_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._peer = str(transport.get_extra_info("peername"))
        self._transport.set_write_buffer_limits(high=limits.MAX_UNREAD_REPLY_BYTES)
        if not self._service.connected(self):
            log.warning("RPC client %s refused: %d are connected already", self._peer, limits.MAX_RPC_CONNECTIONS)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio. What the client has sent is still done: scripts send their last calls and end."""
        self._is_lost, self._reads_replies = True, True
        self._set_deadline(False)
        self._answer()

    def pause_writing(self) -> None:
        """The client sends requests but does not read the replies."""
        self._reads_replies = False

    def resume_writing(self) -> None:
        """It reads them again."""
        self._reads_replies = True
        self._take_turn_soon()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            requests = self._cutter.feed(data)
        except FramingError as error:
            self.close(str(error))
            return
        self._requests += requests
        self._waiting_bytes += sum(map(len, requests))
        partial = self._cutter.partial_bytes
        if partial or self._deadline is not None:
            if requests:
                self._set_deadline(False)  # that was another one's
            self._set_deadline(partial > 0)
            if partial > limits.LARGE_PARTIAL_BYTES:
                self._service.holds_partial()
        if self._held is not None:
            self._let_overtake()
        elif self._turn is None:
            self._answer()
        if self._requests or not self._reads_replies:
            self._regulate()

    def close(self, reason: str) -> None:
        """Disconnect the client; nothing more of what it has sent is done."""
        log.warning("RPC client %s disconnected: %s", self._peer, reason)
        self._requests.clear()
        self._waiting_bytes = 0
        self._cutter = RequestCutter()
        self._transport.abort()

    def _set_deadline(self, wanted: bool) -> None:
        if wanted and self._deadline is None:
            self._deadline = self._service.loop.call_later(limits.MESSAGE_TIMEOUT_S, self._too_late)
        elif not wanted and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._is_reading:
            self.close(f"it sent no more than a part of a request in {limits.MESSAGE_TIMEOUT_S:.0f} s")
        else:
            self._set_deadline(True)  # the rest may be in the socket

    def _regulate(self) -> None:
        """Leaves further requests in the socket while too many wait here."""
        wanted = (
            self._reads_replies
            and len(self._requests) <= limits.MAX_WAITING_REQUESTS
            and self._waiting_bytes <= limits.MAX_WAITING_BYTES
        )
        if wanted is not self._is_reading and not self._transport.is_closing():
            self._is_reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _take_turn_soon(self) -> None:
        if self._turn is None:
            self._turn = self._service.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self._answer()
        if not self._is_lost:
            self._regulate()

    def _answer(self) -> None:
        """Handles what waits, as far as it may be handled now and in one turn."""
        end = 0.0
        while self._requests and self._held is None and self._reads_replies:
            request = self._requests.popleft()
            self._waiting_bytes -= len(request)
            if self._requests:
                now = self._service.loop.time()
                end = end or now + limits.SLICE_S
                if now > end:
                    self._requests.appendleft(request)
                    self._waiting_bytes += len(request)
                    self._take_turn_soon()
                    return
            self._handle(request)
            if self._held is not None and self._requests:
                self._let_overtake()
        if self._is_lost and self._held is None and not self._requests:
            self._service.disconnected(self)

    def _let_overtake(self) -> None:
        """Answers those of the first waiting requests that need not wait for the one that is held."""
        for request in list(islice(self._requests, _OVERTAKING_DEPTH)):
            if self._transport.is_closing():
                return
            if len(request) <= _SHORT_REQUEST_BYTES and self._overtakes(request):
                self._requests.remove(request)
                self._waiting_bytes -= len(request)
                self._handle(request)

    def _overtakes(self, request: bytes) -> bool:
        try:
            method = self._service.methods.get(decode(request)[2])
        except (FramingError, TypeError):
            return False
        return method is not None and method.overtakes

    def _handle(self, request: bytes) -> None:
        quick = self._service.answer(self, request)
        if quick is not None:
            self.has_called = True
            if not self._is_lost:
                self._transport.write(quick)
            return
        try:
            kind, message_id, name, (metadata, *arguments) = decode(request)
            valid = kind == _REQUEST and isinstance(name, str) and isinstance(message_id, int)
        except FramingError as error:
            self.close(str(error))
            return
        except (TypeError, ValueError):
            valid = False
        if not valid:
            self.close(f"it sent something that is no request: {request[:40]!r}")
            return
        self.has_called = True
        self._call(message_id, name, metadata, arguments)

    def _call(self, message_id: int, name: str, metadata: Any, arguments: list[Any]) -> None:
        method = self._service.methods.get(name)
        if method is None:
            message = f"minicarla does not have {name!r:.80}"
            self.warn("", message)
            self._send([_REPLY, message_id, message, None])
            return
        try:
            value = method.call(self._service.simulation, self, *arguments)
        except Exception as error:
            self._send([_REPLY, message_id, None, failure(method.result, self._sentence(name, metadata, error))])
            return
        if isinstance(value, Aside) and metadata != [True]:
            value.future.add_done_callback(lambda done: self._answer_late(message_id, name, method.result, done))
            return
        if isinstance(value, Aside):
            value = value.future  # nobody waits for this reply, so later requests have to
        if isinstance(value, asyncio.Future):
            self._held = value
            value.add_done_callback(lambda done: self._release(message_id, name, method.result, done))
            return
        self._send([_REPLY, message_id, None, success(method.result, value)])

    def _release(self, message_id: int, name: str, result: Result, done: "asyncio.Future[Any]") -> None:
        self._held = None
        self._answer_late(message_id, name, result, done)
        if not done.cancelled():
            self._take_turn()

    def _answer_late(self, message_id: int, name: str, result: Result, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            wrapped = success(result, done.result())
        else:
            wrapped = failure(result, self._sentence(name, None, error))
        self._send([_REPLY, message_id, None, wrapped])

    def _sentence(self, name: str, metadata: Any, error: BaseException) -> str:
        if isinstance(error, RpcError):
            message = str(error)
        elif isinstance(error, ArgumentError):
            message = f"{name}: {error}"
        elif isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            message = f"{name}: wrong number of arguments"
        else:
            message = f"{name}: internal error of minicarla ({type(error).__name__}: {error})"
            self.warn(name, message, error=error)
            return message
        if metadata == [True]:
            # Nobody waits for the reply of an asynchronous call: the log is the only place where it can be seen.
            self.warn(name, message, 1 if isinstance(error, UnsupportedError) else limits.MAX_WARNINGS_PER_METHOD)
        return message

    def warn(
        self,
        name: str,
        message: str,
        most: int = limits.MAX_WARNINGS_PER_METHOD,
        error: BaseException | None = None,
    ) -> None:
        """A line in the log about a call of this client's, unless there have been `most` about that method."""
        self._warned[name] += 1
        if self._warned[name] <= most and self._warned.total() <= limits.MAX_WARNINGS_PER_CLIENT:
            log.warning("RPC client %s: %s", self._peer, message, exc_info=error)

    def _send(self, reply: list[Any]) -> None:
        if not self._is_lost:
            self._transport.write(self._packer.pack(reply))
