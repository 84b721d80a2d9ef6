"""Cuts a byte stream into msgpack-rpc requests. Nothing is built of a request before all of it is there.

msgpack's own `Unpacker` allocates an array when its length is announced, so a few bytes could hold much memory for
ever; here an unfinished request costs its bytes, and one that is no request is noticed at its first byte.
"""

import re
from typing import Any

import msgpack

from minicarla.limits import (
    MAX_ARRAY_ITEMS,
    MAX_MAP_ITEMS,
    MAX_MESSAGE_BYTES,
    MAX_XODR_BYTES,
    MAX_XODR_OVERHEAD_BYTES,
)

# rpclib writes every request as a fixarray of four that begins with a zero.
_START = b"\x94\x00"
# The only message that may be long, and only by the length of its one string: [0, id, name, [[async], text, ...]].
_LONG = re.compile(
    rb"\x94\x00(?:[\x00-\x7f]|\xcc.|\xcd..|\xce....)\xb6copy_opendrive_to_file\x93\x91[\xc2\xc3]\xdb(.{4})", re.DOTALL
)
_BUFFER_BYTES = MAX_XODR_BYTES + MAX_MESSAGE_BYTES


class FramingError(Exception):
    """The stream cannot be cut any further; the message is a clause that says why."""


class RequestCutter:
    """One client's byte stream."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._scanner = msgpack.Unpacker(max_buffer_size=_BUFFER_BYTES)
        self._fed = self._cut = 0  # bytes given to the scanner; end of the last whole request in them
        self._partial = bytearray()

    @property
    def partial_bytes(self) -> int:
        """Length of the unfinished request."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """The requests that `data` completes, undecoded.

        Raises:
          FramingError: something in `data` is no request, or makes one too long.
        """
        before = self._fed
        self._scanner.feed(data)
        self._fed += len(data)
        requests = []
        begin = 0
        while self._cut < self._fed:
            try:
                self._scanner.skip()
            except msgpack.OutOfData:
                break
            except Exception as error:  # nested too deep, or a byte that msgpack does not use
                raise FramingError(f"it sent bytes that are not msgpack ({type(error).__name__})") from None
            self._cut = self._scanner.tell()
            end = self._cut - before
            request = data[begin:end]
            begin = end
            if self._partial:
                request = bytes(self._partial) + request
                self._partial.clear()
            _check(request)
            requests.append(request)
            if len(request) > MAX_MESSAGE_BYTES:
                self._restart()  # the scanner never gives memory back
                return requests + self.feed(data[begin:])
        if begin < len(data):
            self._partial += data[begin:]
            _check(self._partial)
        return requests


def _check(request: bytes | bytearray) -> None:
    """FramingError if a request, or its first part, is none or is too long."""
    if request[:2] != _START[: len(request)]:
        raise FramingError(f"it sent something that is no request: {bytes(request[:40])!r}")
    if len(request) > MAX_MESSAGE_BYTES:
        long = _LONG.match(request)
        text = 0 if long is None else int.from_bytes(long[1], "big")
        if long is None or text > MAX_XODR_BYTES or len(request) > long.end() + text + MAX_XODR_OVERHEAD_BYTES:
            raise FramingError(
                f"it sent a message of more than {MAX_MESSAGE_BYTES} bytes (OpenDRIVE: {MAX_XODR_BYTES})"
            )


def decode(request: bytes) -> Any:
    """The array of a whole request.

    Raises:
      FramingError: a text that is not UTF-8, an extension type, an array beyond the limit.
    """
    size = len(request)
    try:
        return msgpack.unpackb(
            request,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=MAX_ARRAY_ITEMS,
            max_map_len=MAX_MAP_ITEMS,
            max_ext_len=0,
        )
    except Exception as error:
        raise FramingError(
            f"it sent something that cannot be decoded ({type(error).__name__}: {error!s:.80})"
        ) from None
