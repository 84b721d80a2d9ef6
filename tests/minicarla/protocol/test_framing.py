"""Requests out of a byte stream: whole ones, whatever the pieces; half ones cost their bytes; bad ones end it."""

import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla import limits
from minicarla.protocol.framing import FramingError, RequestCutter, decode

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)
requests = st.tuples(st.just(0), st.integers(0, 2**32 - 1), st.text(), st.lists(values, max_size=5)).map(list)


def cut(cutter: RequestCutter, data: bytes, size: int) -> list[bytes]:
    found = []
    for start in range(0, len(data), size):
        found += cutter.feed(data[start : start + size])
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, max_size=6), st.integers(1, 40))
def test_pieces_do_not_matter(sent: list, size: int):
    data = b"".join(map(msgpack.packb, sent))
    cutter = RequestCutter()
    assert [decode(request) for request in cut(cutter, data, size)] == sent
    assert cutter.partial_bytes == 0
    assert b"".join(RequestCutter().feed(data)) == data


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 40))
def test_what_begins_otherwise_is_no_request(data: bytes, size: int):
    if data[:2] != b"\x94\x00"[: len(data)]:
        with pytest.raises(FramingError):
            cut(RequestCutter(), data, size)


def opendrive(text: bytes, rest: bytes = msgpack.packb([0.0] * 7)) -> bytes:
    head = b"\x94\x00\x01" + msgpack.packb("copy_opendrive_to_file") + b"\x93\x91\xc2"
    return head + b"\xdb" + struct.pack(">I", len(text)) + text + rest


def test_only_an_opendrive_text_may_be_long():
    text = b"x" * limits.MAX_XODR_BYTES
    cutter = RequestCutter()
    after = msgpack.packb([0, 2, "version", [[False]]])
    found = cut(cutter, opendrive(text) + after, 1 << 18)
    assert [decode(request)[2] for request in found] == ["copy_opendrive_to_file", "version"]
    assert cutter.partial_bytes == 0
    assert cut(cutter, after, 5) == [after]
    long = b"y" * (limits.MAX_MESSAGE_BYTES + 1)
    for message in (
        opendrive(text + b"x"),
        opendrive(long, msgpack.packb([0] * limits.MAX_XODR_OVERHEAD_BYTES)),
        opendrive(b"", msgpack.packb([[]] * limits.MAX_MESSAGE_BYTES)),
        msgpack.packb([0, 1, "copy_opendrive_to_file", [[False], [long.decode()]]]),
        msgpack.packb([0, 1, "version", [[False], long]]),
    ):
        with pytest.raises(FramingError, match="more than"):
            cut(RequestCutter(), message, 1 << 18)


def test_an_announced_array_is_not_made_before_its_items_come():
    cutter = RequestCutter()
    announced = b"\x94\x00\x01\xa1x" + b"\xdd\x00\xff\xff\xff" * 1000
    assert list(cutter.feed(announced)) == []
    assert cutter.partial_bytes == len(announced)


def test_too_deep_too_many_or_no_text():
    nested = b"\x94\x00\x01\xa1x" + b"\x91" * 5000 + b"\xc0"
    with pytest.raises(FramingError, match="StackError"):
        list(RequestCutter().feed(nested))
    many = msgpack.packb([0, 1, "x", [None] * (limits.MAX_ARRAY_ITEMS + 1)])
    for request in (many, b"\x94\x00\x01\xa1\xff\x90", b"\x94\x00\x01\xa1x\x91\xd4\x05\x00"):
        (whole,) = RequestCutter().feed(request)
        with pytest.raises(FramingError, match="cannot be decoded"):
            decode(whole)
