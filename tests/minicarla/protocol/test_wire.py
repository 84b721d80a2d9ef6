"""Byte layouts against the 0.9.16 wheel's debug information; that the wheel decodes them, the other tests show."""

import struct

import msgpack
import numpy as np
import pytest

from minicarla.protocol import wire

POSE = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
MOTION = tuple(float(i) for i in range(15))


def test_token_is_the_one_seen_on_the_wire():
    assert wire.token(1, 2001) == bytes.fromhex("01000000d1070100") + bytes(16)
    assert len(wire.token(7, 65535)) == wire.TOKEN_BYTES


def test_stream_id_is_little_endian():
    assert wire.stream_id(bytes([5, 1, 0, 0])) == 261


def test_image_header_offsets():
    header = wire.image(wire.SensorType.RGB, 77, 1.5, POSE, 256, 144, 90.0, 256 * 144 * 4)
    assert len(header) == 4 + 48 + 12
    assert struct.unpack_from("<I", header, 0) == (48 + 12 + 256 * 144 * 4,)
    assert struct.unpack_from("<QQd", header, 4) == (13, 77, 1.5)
    assert struct.unpack_from("<6f", header, 4 + 24) == POSE
    assert struct.unpack_from("<IIf", header, 4 + 48) == (256, 144, 90.0)


def test_measurement_is_header_and_msgpack():
    frame = wire.measurement(wire.SensorType.GNSS, 3, 0.25, POSE, wire.gnss_body(48.0, 2.0, 9.0))
    assert struct.unpack_from("<I", frame)[0] == len(frame) - 4
    assert struct.unpack_from("<QQd", frame, 4) == (4, 3, 0.25)
    assert msgpack.unpackb(frame[4 + 48 :]) == [48.0, 2.0, 9.0]


def snapshot_of(write, actors: int = 1) -> bytes:
    writer = wire.SnapshotWriter()
    writer.begin(9, 0.5, 4, 8.0, 0.05, wire.MAP_CHANGE, actors)
    write(writer)
    return writer.finish()


def test_snapshot_header_offsets():
    frame = snapshot_of(lambda writer: None, actors=0)
    body = frame[4 + 48 :]
    assert len(body) == 36
    assert struct.unpack_from("<I", frame) == (48 + 36,)
    assert struct.unpack_from("<QQd", frame, 4) == (17, 9, 0.5)
    assert struct.unpack_from("<Qdf", body) == (4, 8.0, pytest.approx(0.05))
    assert struct.unpack_from("<iiiI", body, 20) == (0, 0, 0, 1)


def test_vehicle_record_offsets():
    control = (0.25, -0.5, 0.75, True, False, True, -1)
    record = np.array((42, wire.ACTIVE, *MOTION, *control, 30.0, 2, True, 17, 0), wire.VEHICLE_RECORD).tobytes()
    assert len(record) == wire.ACTOR_RECORD_BYTES == 119
    assert struct.unpack_from("<IB", record) == (42, 1)
    assert struct.unpack_from("<15f", record, 5) == MOTION
    assert struct.unpack_from("<fff???i", record, 65) == control
    assert struct.unpack_from("<fB?IB", record, 84) == (30.0, 2, True, 17, 0)


def test_light_record_offsets():
    first = wire.light_record(5, MOTION, b"385", (10.0, 3.0, 2.0), 0.25, 1, True, 2)
    second = wire.light_record(6, MOTION, b"386", (10.0, 3.0, 2.0), 7.5, 2, False, 0)
    block = wire.LightBlock([first, second])
    records = snapshot_of(lambda writer: writer.lights(block, 1.0), actors=2)[4 + 48 + 36 :]
    assert len(first) == 119
    assert len(records) == 2 * 119
    assert records[65:97] == b"385".ljust(32, b"\0")
    assert struct.unpack_from("<ffff", records, 97) == (10.0, 3.0, 2.0, 1.25)
    assert struct.unpack_from("<I?B", records, 113) == (1, True, 2)
    assert struct.unpack_from("<I", records, 119) == (6,)
    assert struct.unpack_from("<f", records, 119 + 109) == (8.5,)


def test_walker_and_other_records_have_the_same_length():
    def write(writer: wire.SnapshotWriter) -> None:
        room = writer.records(2)
        room.view(wire.WALKER_RECORD)[0] = (6, wire.ACTIVE, *MOTION, 1.0, 0.0, 0.0, 1.5, True)
        room.view(wire.OTHER_RECORD)[1] = (7, wire.ACTIVE, *MOTION)

    records = snapshot_of(write, actors=2)[4 + 48 + 36 :]
    assert len(records) == 2 * 119
    assert struct.unpack_from("<ffff?", records, 65) == (1.0, 0.0, 0.0, 1.5, True)
    assert struct.unpack_from("<I", records, 119) == (7,)
    assert records[119 + 65 :] == bytes(54)


def test_many_actors_outgrow_the_first_buffer():
    frame = snapshot_of(lambda writer: writer.records(500), actors=500)
    assert len(frame) == 4 + 48 + 36 + 500 * 119
    assert struct.unpack_from("<I", frame)[0] == len(frame) - 4
