"""The run's end of the live page: sends what there is to show to the page's process, and never waits for it.

The page has a process of its own, at the lowest priority, so that browsers take nothing from training.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgpack

from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.schema import MonitorConfig
from avtd3_jax.training.logs import to_json

_FLUSH_S = 0.5  # between two messages of points
_WAITING = 1000  # messages kept while the page is busy; pictures are not kept
_BUFFER = 1 << 20
_GRACE_S = 2.0


class Silence:
    """No live page: nobody is told anything."""

    watched = False  # whether there is anybody to make pictures for

    def about(self, facts: Mapping[str, Any]) -> None:
        """What is run, for the page's head."""

    def point(self, tag: str, value: float, step: int) -> None:
        """A scalar."""

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """A level between 0 and 1 to be read now and then."""

    def picture(self, place: str, picture: bytes, facts: Mapping[str, Any]) -> None:
        """What is seen at `place`, a JPEG."""

    def failure(self, picture: bytes | None, facts: Mapping[str, Any]) -> None:
        """An episode that failed, and its last picture."""

    def event(self, sentence: str) -> None:
        """Something that happened."""


NOBODY = Silence()


class Station(Silence):
    """A live page, and the way to it."""

    watched = True

    def __init__(self, link: socket.socket) -> None:
        """`link` is a socket of whole messages (SOCK_SEQPACKET), whose other end the page's process has."""
        link.setblocking(False)
        with contextlib.suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._link: socket.socket | None = link
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._points: list[tuple[str, float, int]] = []
        self._gauges: dict[str, Callable[[], float]] = {}
        self._flush_at = 0.0

    def about(self, facts: Mapping[str, Any]) -> None:
        self._send("about", dict(facts))

    def point(self, tag: str, value: float, step: int) -> None:
        self._points.append((tag, value, step))
        self._flush()

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        self._gauges[name] = read

    def picture(self, place: str, picture: bytes, facts: Mapping[str, Any]) -> None:
        self._flush()
        self._send("picture", place, picture, dict(facts), keep=False)

    def failure(self, picture: bytes | None, facts: Mapping[str, Any]) -> None:
        self._send("failure", picture, dict(facts))

    def event(self, sentence: str) -> None:
        self._send("event", time.time(), sentence)

    def _flush(self) -> None:
        now = time.monotonic()
        if now < self._flush_at:
            return
        self._flush_at = now + _FLUSH_S
        points, self._points = self._points, []
        self._send("points", points, {name: float(read()) for name, read in self._gauges.items()})

    def _send(self, *message: Any, keep: bool = True) -> None:
        if self._link is None:
            return
        data = msgpack.packb(to_json(message))  # of an environment's facts any may be NaN, or a number of numpy's
        if keep:
            self._waiting.append(data)
        try:
            while self._waiting:
                self._link.send(self._waiting[0])
                self._waiting.popleft()
            if not keep:
                self._link.send(data)
        except BlockingIOError:
            return
        except OSError as error:
            if self._waiting and len(self._waiting[0]) > _BUFFER // 2:  # one that no message can be that large
                self._waiting.popleft()
                return
            self._link.close()
            self._link = None
            print(f"warning: the live page has ended ({error}); training goes on.", file=sys.stderr)


@contextlib.contextmanager
def live_page(config: MonitorConfig) -> Iterator[Silence]:
    """Serves the page as long as the context lasts; a `Silence` where the configuration asks for none.

    Raises:
      ConfigError: nothing can be served at that address.
    """
    if not config.port:
        yield Silence()
        return
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listening = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ConfigError(
            f"config.monitor: no page can be served at {config.host}:{config.port} ({reason}): give "
            "another --config.monitor.port, or end what uses this one."
        ) from error
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # whole messages, in order
    with contextlib.ExitStack() as stack:
        stack.enter_context(ours)
        with contextlib.ExitStack() as handed_over:
            handed_over.enter_context(theirs)
            handed_over.enter_context(listening)
            descriptors = [theirs.fileno(), listening.fileno()]
            process = subprocess.Popen(
                [sys.executable, "-m", "avtd3_jax.monitor.server", *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C in the terminal is for the trainer
            )
        stack.callback(_end, process)
        stack.callback(ours.close)
        print(f"monitor    {url(config)}", flush=True)
        yield Station(ours)


def url(config: MonitorConfig) -> str:
    """Where a browser on this machine finds the page."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{config.port}/"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The process ends when the other end of its link is closed."""
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
