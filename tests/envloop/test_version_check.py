"""Endpoints that are no CARLA 0.9.16: each is told apart at once, by one plain sentence."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgpack
import pytest

from envloop.client.simulator import Simulator
from envloop.client.version_check import require_carla, server_version
from envloop.config import SimulatorConfig
from envloop.errors import SimulatorError


@contextlib.contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that hands each connection to `answer`; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)


def carla_version(version: object) -> Callable[[socket.socket], None]:
    """Answers the call `version` as CARLA does."""

    def answer(connection: socket.socket) -> None:
        unpacker = msgpack.Unpacker()
        unpacker.feed(connection.recv(4096))
        _, message_id, method, _ = unpacker.unpack()
        assert method == "version"
        connection.sendall(msgpack.packb([1, message_id, None, [[1, version]]]))

    return answer


def sentence_of(port: int, timeout_s: float = 60.0) -> str:
    """The error that a Simulator gives for this endpoint, well before the client's own time-out where it can."""
    began = time.monotonic()
    with pytest.raises(SimulatorError) as error:
        Simulator(SimulatorConfig(endpoint=f"127.0.0.1:{port}", timeout_s=timeout_s)).start()
    assert time.monotonic() - began < 20.0
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_right_version_is_accepted():
    with listener(carla_version("0.9.16")) as port:
        assert server_version("127.0.0.1", port, 20.0) == "0.9.16"
        require_carla("127.0.0.1", port, 20.0)


def test_another_version_is_named():
    with listener(carla_version("0.9.15")) as port:
        text = sentence_of(port)
    assert "CARLA 0.9.15" in text
    assert "start a CARLA 0.9.16 server" in text


def test_a_refused_connection_says_what_to_start():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that nobody else listens there
        port = silent.getsockname()[1]
        assert f"No simulator listens at 127.0.0.1:{port}" in sentence_of(port)


def test_a_web_server_that_waits_for_a_line_is_given_up():
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        text = sentence_of(server.server_port, timeout_s=0.5)
        server.shutdown()
        thread.join()
    assert "did not answer within 0.5 s; check that it is the RPC port of a CARLA 0.9.16" in text


@pytest.mark.parametrize(
    "reply",
    [
        b"\xc1\xff\x00garbage" * 10,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        msgpack.packb({"version": "0.9.16"}),
        msgpack.packb([1, 1, "unknown function", None]),
        msgpack.packb([1, 1, None, [[0, ["not now"]]]]),
        msgpack.packb([1, 1, None, [[1, 916]]]),
        msgpack.packb([[[[[]]]]]),
        b"\xc6\xff\xff\xff\xff" + b"x" * 5000,  # announces 4 GB
    ],
)
def test_other_bytes_are_no_carla(reply):
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(reply)

    with listener(answer) as port:
        assert "not a CARLA simulator" in sentence_of(port)


def test_a_silent_server_is_given_up_after_the_timeout():
    done = threading.Event()
    with listener(lambda _: done.wait(5.0) and None) as port:
        text = sentence_of(port, timeout_s=0.2)
        done.set()
    assert "did not answer within 0.2 s" in text


def test_a_server_that_drips_bytes_is_given_up_too():
    """A time-out per read would let a slow sender hold the probe for ever."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for _ in range(100):
            connection.sendall(b"\x94")  # arrays in arrays, never complete
            time.sleep(0.05)

    with listener(answer) as port:
        assert "did not answer within 0.2 s" in sentence_of(port, timeout_s=0.2)


def test_an_unknown_host_is_named():
    with pytest.raises(SimulatorError, match=r"host name in the endpoint no-such-host\.invalid:2000"):
        require_carla("no-such-host.invalid", 2000, 2.0)
