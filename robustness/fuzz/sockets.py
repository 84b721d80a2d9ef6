"""The same inputs through sockets, to a server in a process of its own."""

import contextlib
import socket
import struct
import time
from pathlib import Path
from typing import Any

import msgpack
import psutil

from envloop.client.minicarla_process import EmbeddedServer
from robustness.fuzz.mutate import Input, Mutator
from robustness.fuzz.record import CORPUS

_TIMEOUT_S = 60.0
_PROBE_EVERY = 500
_READERS = 16
_MAX_GROWTH_BYTES = 1 << 30


def fuzz_sockets(seed: int, count: int, folder: Path, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """`count` inputs; figures of the server's process. Nobody reads the replies of the odd connections."""
    requests = msgpack.unpackb((CORPUS / "requests.msgpack").read_bytes())
    mutator = Mutator(requests, seed, lambda: range(1, 60), lambda: range(1, 30))
    server = EmbeddedServer(["--town", "Town01"], timeout_s=300.0, log_dir=str(folder))
    findings, longest = 0, 0.0
    try:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        attacker = _Attacker(server.port)
        for number in range(count):
            attacker.send(mutator.next())
            if number % _PROBE_EVERY == _PROBE_EVERY - 1:
                began = time.perf_counter()
                fault = _fault(server, process, before)
                longest = max(longest, time.perf_counter() - began)
                if fault:
                    findings += 1
                    print(f"sockets, seed {seed}, after input {number}: {fault}; see {server.log_path}", flush=True)
                    break
        after = process.memory_info().rss
        told = server.log_path.read_text(errors="replace")
        if "Traceback" in told:
            findings += 1
            print(f"sockets, seed {seed}: an error that nothing foresaw; see {server.log_path}", flush=True)
        if not findings:
            server.log_path.write_text("")  # an empty log is removed
    finally:
        server.stop()
    figures = {"longest ms": 1e3 * longest, "MB before": before >> 20, "MB after": after >> 20}
    return {**figures, "findings": findings}


def _fault(server: EmbeddedServer, process: psutil.Process, memory: int) -> str:
    """What is wrong with the server, as another client sees it."""
    if not server.alive():
        return "the server's process has ended"
    settings = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=_TIMEOUT_S) as connection:
            for name, arguments in (("version", []), ("set_episode_settings", [settings]), ("tick_cue", [])):
                connection.sendall(msgpack.packb([0, 1, name, [[False], *arguments]]))
                answer = msgpack.unpackb(connection.recv(1 << 16))[3]
                if answer[0][0] != 1:
                    return f"another client's {name} got {answer}"
    except (OSError, ValueError) as error:
        return f"another client got no answer ({error!r})"
    grown = process.memory_info().rss - memory
    return f"memory grew by {grown >> 20} MB" if grown > _MAX_GROWTH_BYTES else ""


class _Attacker:
    """One RPC connection at a time, a few stream connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections = 0
        self._readers: list[socket.socket] = []
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S)
        self._socket.setblocking(False)
        self._connections += 1

    def send(self, given: Input) -> None:
        """One input; a closed connection is opened anew, a full one too."""
        if given.channel == "stream":
            with contextlib.suppress(OSError):
                reader = socket.create_connection(("127.0.0.1", self._port + 1), timeout=_TIMEOUT_S)
                self._readers.append(reader)
                reader.sendall(given.data)
            if len(self._readers) > _READERS:
                self._readers.pop(0).close()
            return
        try:
            if self._connections % 2 == 0:
                with contextlib.suppress(BlockingIOError):
                    while self._socket.recv(1 << 16):
                        pass
            self._socket.sendall(given.data)
        except (BlockingIOError, OSError):
            # A reset in place of an end with the rest of the bytes, now and then.
            if self._connections % 3 == 0:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()
            self._connect()
