"""Every binary layout that minicarla puts on a stream: CARLA 0.9.16's, little-endian and packed.

Other CARLA versions differ (the development branch has 135-byte actors and a longer sensor header), and a malformed
frame can abort the client process, so nothing outside this module packs bytes for a stream. Sources: the 0.9.16
wheel's debug information; LibCarla's sensor/s11n serialisers, sensor/data/ActorDynamicState.h and
streaming/detail/Token.h.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgpack
import numpy as np

CARLA_VERSION = "0.9.16"
SNAPSHOT_STREAM = 1  # stream id of the world snapshot; sensors get the following ones
ACTOR_RECORD_BYTES = 119
TOKEN_BYTES = 24
STREAM_ID_BYTES = 4  # what a client sends after it has connected to the stream port
MAP_CHANGE = 1  # bit 0 of the snapshot's simulation_state

_TOKEN = struct.Struct("<IHBB16x")  # stream id, port, protocol, address type
_TCP = 1
_ADDRESS_NOT_SET = 0  # the client then uses the host that it was given
_STREAM_ID = struct.Struct("<I")

_FRAME_PREFIX = struct.Struct("<I")  # number of bytes that follow
_SENSOR_HEADER = struct.Struct("<IQQd6f")  # prefix; type, frame, seconds, location, rotation
_SNAPSHOT_HEADER = struct.Struct("<IQQd6fQdfiiiI")  # the same; episode, platform time, delta, map origin, state bits
_IMAGE_HEADER = struct.Struct("<IQQd6fIIf")  # the same; width, height, field of view
_LIDAR_HEADER = struct.Struct("<IQQd6ffI")  # the same; horizontal angle, channels; then points of each channel (u32)
_SENSOR_HEADER_BYTES = _SENSOR_HEADER.size - _FRAME_PREFIX.size

# id, state, location, rotation, velocity, angular velocity, acceleration; then 54 bytes by kind of actor
_MOTION = [(name, "<f4") for name in ("x", "y", "z", "pitch", "yaw", "roll", "vx", "vy", "vz")]
_MOTION += [(name, "<f4") for name in ("roll_rate", "pitch_rate", "yaw_rate", "ax", "ay", "az")]
_ACTOR = [("id", "<u4"), ("state", "u1"), *_MOTION]
_VEHICLE_PART = [
    *((name, "<f4") for name in ("throttle", "steer", "brake")),
    *((name, "?") for name in ("hand_brake", "reverse", "manual_gear")),
    ("gear", "<i4"), ("limit_kmh", "<f4"), ("light_state", "u1"), ("is_held", "?"), ("light_id", "<u4"),
    ("failure", "u1"),
]  # fmt: skip
_WALKER_PART = [("dx", "<f4"), ("dy", "<f4"), ("dz", "<f4"), ("speed", "<f4"), ("jump", "?")]
_LIGHT = struct.Struct("<IB15f 32sffffI?B".replace(" ", ""))
_SIGN = struct.Struct("<IB15f 32s22x".replace(" ", ""))
_ELAPSED_OFFSET = 109  # of the one field of a light's record that changes at every tick


def _record(*fields: tuple[str, str]) -> np.dtype:
    names, formats = zip(*_ACTOR, *fields, strict=True)
    sizes = [np.dtype(kind).itemsize for kind in formats]
    offsets = [sum(sizes[:number]) for number in range(len(sizes))]
    layout: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": ACTOR_RECORD_BYTES}
    return np.dtype(layout)


# Snapshot records as NumPy's structured types; those of lights and signs are packed by the structs above.
VEHICLE_RECORD, WALKER_RECORD, OTHER_RECORD = _record(*_VEHICLE_PART), _record(*_WALKER_PART), _record()

ACTIVE = 1  # actor state; 0 invalid, 2 dormant, 3 pending kill
SIGN_ID_BYTES = 32

Vector = Sequence[float]


class SensorType(IntEnum):
    """Index of a sensor's serialiser in the 0.9.16 client's registry; a wrong one makes the client segfault."""

    COLLISION = 0
    DEPTH = 1
    NORMALS = 2
    EVENTS = 3
    GNSS = 4
    IMU = 5
    OBSTACLE = 7
    OPTICAL_FLOW = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RGB = 13
    SEMANTIC = 14
    INSTANCE = 15
    COSMOS = 16
    SNAPSHOT = 17


# An event of `sensor.camera.dvs`: sensor/data/DVSEvent.h. x, y in px, t in ns; brighter or not.
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("brighter", "?")])


def token(stream_id: int, port: int) -> bytes:
    """The 24 bytes by which a client finds a stream: TCP, on the host that the client already talks to."""
    return _TOKEN.pack(stream_id, port, _TCP, _ADDRESS_NOT_SET)


def stream_id(subscription: bytes) -> int:
    """The stream that a client asks for in its first four bytes."""
    return int(_STREAM_ID.unpack(subscription)[0])


def image(
    kind: SensorType, frame: int, seconds: float, pose: Vector, width: int, height: int, fov_deg: float, body_bytes: int
) -> bytes:
    """Prefix and headers of a camera frame; `body_bytes` bytes follow it.

    They are rows of pixels, the top one first: BGRA, or the two float32 of an optical flow. Or they are events.

    `pose` is x, y, z (m), pitch, yaw, roll (deg), as everywhere in this module.
    """
    size = _IMAGE_HEADER.size - _FRAME_PREFIX.size + body_bytes
    return _IMAGE_HEADER.pack(size, kind, frame, seconds, *pose, width, height, fov_deg)


def lidar(
    kind: SensorType, frame: int, seconds: float, pose: Vector, angle_rad: float, counts: np.ndarray, point_bytes: int
) -> bytes:
    """Prefix and headers of a lidar's frame; its points follow, `point_bytes` bytes, one channel after the other.

    `angle_rad` is the horizontal angle; `counts` are the points of each channel. A point is x, y, z, intensity
    (float32); a semantic one x, y, z, cosine (float32), actor id, tag (uint32).
    """
    size = _LIDAR_HEADER.size - _FRAME_PREFIX.size + 4 * len(counts) + point_bytes
    head = _LIDAR_HEADER.pack(size, kind, frame, seconds, *pose, angle_rad, len(counts))
    return head + counts.astype("<u4").tobytes()


def radar(frame: int, seconds: float, pose: Vector, detection_bytes: int) -> bytes:
    """Prefix and header of a radar's frame; its detections follow: velocity, azimuth, altitude, depth (float32)."""
    size = _SENSOR_HEADER_BYTES + detection_bytes
    return _SENSOR_HEADER.pack(size, SensorType.RADAR, frame, seconds, *pose)


def measurement(kind: SensorType, frame: int, seconds: float, pose: Vector, body: object) -> bytes:
    """A whole frame of a sensor with a msgpack body (see the `*_body` functions)."""
    packed = msgpack.packb(body)
    return _SENSOR_HEADER.pack(_SENSOR_HEADER_BYTES + len(packed), kind, frame, seconds, *pose) + packed


def gnss_body(latitude: float, longitude: float, altitude: float) -> list[float]:
    """Degrees, degrees, metres."""
    return [latitude, longitude, altitude]


def imu_body(accelerometer: Vector, gyroscope: Vector, compass: float) -> list[object]:
    """m/s^2, rad/s, rad from north."""
    return [list(accelerometer), list(gyroscope), compass]


def collision_body(actor: list[object], other: list[object], impulse: Vector) -> list[object]:
    """Both actors as RPC actor arrays; the impulse in N s."""
    return [actor, other, list(impulse)]


def obstacle_body(actor: list[object], other: list[object], distance: float) -> list[object]:
    """Both actors as RPC actor arrays; the distance in metres."""
    return [actor, other, distance]


class SnapshotWriter:
    """Packs world snapshots into one buffer that is kept between ticks.

    Call `begin`, then `lights`, `signs` and `records`, then `finish`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(_SNAPSHOT_HEADER.size + 64 * ACTOR_RECORD_BYTES)
        self._end = 0

    def begin(
        self, frame: int, seconds: float, episode: int, platform_time: float, delta: float, state_bits: int, actors: int
    ) -> None:
        """Start a snapshot of `actors` actors."""
        needed = _SNAPSHOT_HEADER.size + actors * ACTOR_RECORD_BYTES
        if needed > len(self._buffer):
            self._buffer = bytearray(2 * needed)
        size = needed - _FRAME_PREFIX.size
        kind = SensorType.SNAPSHOT
        header = (size, kind, frame, seconds, 0, 0, 0, 0, 0, 0, episode, platform_time, delta, 0, 0, 0, state_bits)
        _SNAPSHOT_HEADER.pack_into(self._buffer, 0, *header)
        self._end = _SNAPSHOT_HEADER.size

    def records(self, count: int) -> np.ndarray:
        """Room for the records of `count` actors, zeroes, to be filled in the types above: [count * 119] uint8."""
        begin, size = self._end, count * ACTOR_RECORD_BYTES
        self._end += size
        room = np.frombuffer(self._buffer, np.uint8, size, begin)
        room.fill(0)
        return room

    def lights(self, block: "LightBlock", seconds: float) -> None:
        """All of a block's lights, `seconds` after it was made."""
        records = block.records(seconds)
        end = self._end + len(records)
        self._buffer[self._end : end] = records
        self._end = end

    def signs(self, records: bytes) -> None:
        """All traffic signs, which never change."""
        end = self._end + len(records)
        self._buffer[self._end : end] = records
        self._end = end

    def finish(self) -> bytes:
        """The whole frame, prefix included."""
        return bytes(memoryview(self._buffer)[: self._end])


class LightBlock:
    """The snapshot records of all traffic lights. Between changes only their elapsed times move on, all alike."""

    def __init__(self, records: Sequence[bytes]) -> None:
        self._records = bytearray(b"".join(records))
        layout = np.dtype(
            {"names": ["elapsed"], "formats": ["<f4"], "offsets": [_ELAPSED_OFFSET], "itemsize": _LIGHT.size}
        )
        self._elapsed = np.frombuffer(self._records, layout)["elapsed"]
        self._at_first = self._elapsed.astype(np.float64)

    def records(self, seconds: float) -> bytearray:
        """The records, one behind the other, `seconds` after they were made."""
        np.add(self._at_first, seconds, out=self._elapsed, casting="same_kind")
        return self._records


def light_record(
    actor_id: int, motion: Vector, sign_id: bytes, times: Vector, elapsed: float, pole: int, frozen: bool, state: int
) -> bytes:
    """A traffic light's snapshot record. `times`: green, yellow, red; all times in seconds."""
    return _LIGHT.pack(actor_id, ACTIVE, *motion, sign_id, *times, elapsed, pole, frozen, state)


def sign_record(actor_id: int, motion: Vector, sign_id: bytes) -> bytes:
    """A traffic sign's snapshot record."""
    return _SIGN.pack(actor_id, ACTIVE, *motion, sign_id)
