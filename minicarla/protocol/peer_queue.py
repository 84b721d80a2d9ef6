"""How much of what was sent to a program on this machine it has not read yet.

TCP does not tell: data is acknowledged when it has arrived, not when it has been read. But the other end of a local
connection is a socket of this machine, and Linux tells anybody how much waits in it (the sock_diag interface, from
which `ss` has its Recv-Q; layouts: linux/netlink.h, linux/inet_diag.h).
"""

import atexit
import functools
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ALL_STATES = _NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_SOCKET_ID = struct.Struct("!HH4s12x4s12xIII")  # ports and addresses of both ends, interface, cookie
_QUEUE = struct.Struct("=I")
_QUEUE_AT = _HEADER.size + 4 + _SOCKET_ID.size + 4  # behind four bytes of state, and a timer

Address = tuple[str, int]


def question(ours: Address, theirs: Address) -> bytes | None:
    """What to ask about the far end of a connection between two addresses; None if they are not IPv4."""
    try:
        our_host, their_host = socket.inet_aton(ours[0]), socket.inet_aton(theirs[0])
    except OSError:
        return None
    ends = _SOCKET_ID.pack(theirs[1], ours[1], their_host, our_host, 0, _NO_COOKIE, _NO_COOKIE)
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, _ALL_STATES) + ends
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body


def unread_bytes(question: bytes) -> int | None:
    """Bytes that have arrived at that end and have not been read; None if it is not on this machine. About 10 us."""
    kernel = _kernel()
    if kernel is None:
        return None
    try:
        kernel.send(question)
        reply = kernel.recv(4096)
    except OSError:
        return None
    if len(reply) < _QUEUE_AT + _QUEUE.size or _HEADER.unpack_from(reply)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    return int(_QUEUE.unpack_from(reply, _QUEUE_AT)[0])


@functools.cache
def _kernel() -> socket.socket | None:
    try:
        kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_SOCK_DIAG)
    except OSError:
        return None  # some sandboxes have no such interface
    atexit.register(kernel.close)
    return kernel
