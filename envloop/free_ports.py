"""Free TCP ports for servers."""

import contextlib
import secrets
import socket
from pathlib import Path

_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int = 1) -> int:
    """The first of `count` ports in a row that nobody listens on.

    They lie below those that the kernel gives to outgoing connections: from among these, one can be taken between this
    answer and the server's start. Processes that ask at the same time hardly ever get the same ones.
    """
    end = _first_ephemeral() - count
    while True:
        first = _LOWEST + secrets.randbelow(end - _LOWEST)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("", port))
            return first


def _first_ephemeral() -> int:
    try:
        return max(int(_EPHEMERAL.read_text().split()[0]), _LOWEST + 1_000)
    except OSError:
        return 32_768
