"""python -m avtd3_jax.monitor.server LINK SOCKET: serves the live page; started by a run, and ends with it.

LINK and SOCKET are file descriptors: where the run's messages come from, and what browsers connect to. Whatever
browsers do, they can read, and take no more than so many connections and so much memory.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack
from plotly.offline import get_plotlyjs
from tornado.httpserver import HTTPServer
from tornado.httputil import split_host_and_port
from tornado.iostream import IOStream
from tornado.web import Application, HTTPError, RequestHandler

from avtd3_jax.monitor.board import Board
from avtd3_jax.report.static import asset

CONNECTIONS = 200  # at once; a new one takes the place of the oldest
_MESSAGE = 1 << 21
_IDLE_S = 30.0
_PIECE = 65536
_FRESH_S = 0.25  # for which data that was made for one browser serves the others
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class _Bounded(HTTPServer):
    """Never has more than `CONNECTIONS`: the oldest ends first, and its browser can come again."""

    def initialize(self, *args: Any, **options: Any) -> None:
        super().initialize(*args, **options)
        self._open: list[IOStream] = []

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        self._open = [one for one in self._open if not one.closed()]
        while len(self._open) >= CONNECTIONS:
            self._open.pop(0).close()
        self._open.append(stream)
        super().handle_stream(stream, address)


class _Shared:
    """Text that is made anew at most every quarter of a second, for all browsers together."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._text, self._until = b"", 0.0

    def get(self) -> bytes:
        now = time.monotonic()
        if now >= self._until:
            self._text, self._until = self._make().encode(), now + _FRESH_S
        return self._text


class _Page(RequestHandler):
    """Gives one thing, to who asks this very machine by one of its own names."""

    def initialize(self, read: Callable[..., bytes | None], kind: str, keep: bool, local: bool) -> None:
        self._read, self._kind, self._keep, self._local = read, kind, keep, local

    def prepare(self) -> None:
        host = split_host_and_port(self.request.host.lower())[0].strip("[]")
        # Another site's name that leads here would let that site's pages read this one.
        if self._local and not _is_loopback(host):
            raise HTTPError(403, "unknown host")

    def set_default_headers(self) -> None:
        self.set_header("Server", "avtd3-jax")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")

    async def get(self, *names: str) -> None:
        found = self._read(*names)
        if found is None:
            raise HTTPError(404)
        self.set_header("Content-Type", self._kind)
        self.set_header("Content-Length", str(len(found)))
        if self._keep:
            self.set_header("Cache-Control", "max-age=3600")
        for start in range(0, len(found), _PIECE):  # whoever does not read costs a piece of memory, not the whole
            self.write(found[start : start + _PIECE])
            await self.flush()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def application(board: Board, local: bool) -> Application:
    """The page of a board; `local` where nobody but this machine is to see it."""
    plotly = get_plotlyjs().encode()
    files = {
        "/": (asset("avtd3_jax.monitor", "monitor.html").encode(), "text/html; charset=utf-8", False),
        "/monitor.js": (asset("avtd3_jax.monitor", "monitor.js").encode(), "text/javascript", False),
        "/page.css": (asset("avtd3_jax.report", "page.css").encode(), "text/css", False),
        "/plotly.js": (plotly, "text/javascript", True),
    }
    state, curves = _Shared(board.state), _Shared(board.curves)
    routes: list[tuple[str, Callable[..., bytes | None], str, bool]] = [
        *((path, lambda data=data: data, kind, keep) for path, (data, kind, keep) in files.items()),
        ("/state.json", state.get, "application/json", False),
        ("/curves.json", curves.get, "application/json", False),
        (r"/picture/(\w{1,20})\.jpg", board.picture, "image/jpeg", False),
        (r"/failure/(\d{1,12})\.jpg", lambda number: board.failure_picture(int(number)), "image/jpeg", False),
    ]
    handlers: list[Any] = [
        (path, _Page, {"read": read, "kind": kind, "keep": keep, "local": local}) for path, read, kind, keep in routes
    ]
    return Application(handlers, compress_response=False)


async def serve(link: socket.socket, listening: socket.socket) -> None:
    """Serves until the other end of `link` closes."""
    board, ended = Board(), asyncio.Event()

    def receive() -> None:
        try:
            data = link.recv(_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            ended.set()
            return
        board.take(*msgpack.unpackb(data))

    link.setblocking(False)
    loop = asyncio.get_running_loop()
    local = _is_loopback(listening.getsockname()[0])
    server = _Bounded(
        application(board, local), idle_connection_timeout=_IDLE_S, body_timeout=5.0, max_buffer_size=65536,
        max_header_size=16384, max_body_size=1024,
    )  # fmt: skip
    server.add_socket(listening)
    loop.add_reader(link, receive)
    await ended.wait()
    loop.remove_reader(link)
    server.stop()


def main() -> None:
    """The command."""
    os.nice(19)
    logging.getLogger("tornado").setLevel(logging.CRITICAL)  # what a browser does wrong is no news of the run
    link, listening = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    listening.setblocking(False)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(link, listening))


if __name__ == "__main__":
    main()
