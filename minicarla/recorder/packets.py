"""The packets of CARLA's recorder file: little-endian records between an information header and the file's end.

Source: CARLA's "Recorder binary file format" page and the Recorder folder of its Unreal plugin, release 0.9.16. The
numbers of the packets are those of 0.9.14 to 0.9.16: the doors come last (CARLA's pull request 8779). Later releases
add the weather (24), which is skipped here as 0.9.16 does, like everything that is not known.

Lengths are in cm, angles in degrees, rotations in the order roll, pitch, yaw; velocities in m/s and deg/s.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

MAGIC = "CARLA_RECORDER"
# Of what is written. Recordings of 0.9.15 are version 1 and count the types of attributes from 0; in 0.9.16 they begin
# at 1 (bool), and later releases take version 1 for the old way.
VERSION = 2
NOT_AN_ACTOR = 0xFFFFFFFF  # the id of the town in a collision
LAST_DURATION = -1.0  # s; of a frame that no other follows


class PacketId(IntEnum):
    """What a packet tells."""

    FRAME_START = 0
    FRAME_END = 1
    EVENT_ADD = 2
    EVENT_DEL = 3
    EVENT_PARENT = 4
    COLLISION = 5
    POSITION = 6
    STATE = 7
    ANIM_VEHICLE = 8
    ANIM_WALKER = 9
    VEHICLE_LIGHT = 10
    SCENE_LIGHT = 11
    KINEMATICS = 12
    BOUNDING_BOX = 13
    PLATFORM_TIME = 14
    PHYSICS_CONTROL = 15
    TRAFFIC_LIGHT_TIME = 16
    TRIGGER_VOLUME = 17
    FRAME_COUNTER = 18
    WALKER_BONES = 19
    VISUAL_TIME = 20
    ANIM_VEHICLE_WHEELS = 21
    ANIM_BIKER = 22
    VEHICLE_DOOR = 23


class ActorKind(IntEnum):
    """FCarlaActor::ActorType."""

    OTHER = 0
    VEHICLE = 1
    WALKER = 2
    TRAFFIC_LIGHT = 3
    TRAFFIC_SIGN = 4
    SENSOR = 5


HEADER = struct.Struct("<BI")  # packet id, size of what follows
FRAME = struct.Struct("<Qdd")  # number, duration and time of its begin, s
SECONDS = struct.Struct("<d")
DATE = struct.Struct("<q")  # s since 1970
COUNT = struct.Struct("<H")
LONG_COUNT = struct.Struct("<I")
ID = struct.Struct("<I")
# One record of the packets whose records all have one size.
EVENT_PARENT = struct.Struct("<II")  # child, parent
COLLISION = struct.Struct("<III??")  # number, the two actors, whether each is a hero
POSITION = struct.Struct("<I3f3f")  # id, location, rotation
STATE = struct.Struct("<I?fB")  # id, frozen, s since the state began, the state
ANIM_VEHICLE = struct.Struct("<Ifff?i")  # id, steer, throttle, brake, hand brake, gear
ANIM_WALKER = struct.Struct("<If")  # id, cm/s
VEHICLE_LIGHT = struct.Struct("<II")  # id, flags of carla.VehicleLightState
SCENE_LIGHT = struct.Struct("<if4f?B")  # id, intensity, red, green, blue, alpha, on, type
KINEMATICS = struct.Struct("<I3f3f")  # id, velocity, angular velocity
BOX = struct.Struct("<I3f3f")  # id, centre, half sizes
TRAFFIC_LIGHT_TIME = struct.Struct("<Ifff")  # id, green, yellow, red, s
VEHICLE_DOOR = struct.Struct("<IB?")  # id, carla.VehicleDoor, open
ANIM_BIKER = struct.Struct("<Iff")  # id, cm/s, engine speed as a part of its largest
# Parts of the others.
_ADDED = struct.Struct("<IB3f3fI")  # id, kind, location, rotation, blueprint's number
_ATTRIBUTE_TYPE = struct.Struct("<B")
_WHEEL_POSE = struct.Struct("<Bff")  # carla.VehicleWheelLocation, steering angle, turn of the tyre, deg
_ENGINE = struct.Struct("<5f?4f3f")
_POINT = struct.Struct("<2f")
_GEAR = struct.Struct("<3f")
_WHEEL = struct.Struct("<12f")
_BONE = struct.Struct("<3f3f")


class DamagedError(Exception):
    """What is read is no recording, or not a whole one; the message says what is wrong with it, as half a sentence."""


class Info(NamedTuple):
    """The header of a file: `date` in s since 1970, `town` by its bare name."""

    version: int
    date: int
    town: str


class Added(NamedTuple):
    """An actor that has come into the world. Attributes are (type, name, value)."""

    actor_id: int
    kind: int
    place: tuple[float, ...]  # location, rotation
    uid: int
    type_id: str
    attributes: tuple[tuple[int, str, str], ...]

    @property
    def is_hero(self) -> bool:
        """Whether it plays the part that the replayer may leave out."""
        return any(name == "role_name" and value == "hero" for _, name, value in self.attributes)


@dataclass(slots=True)
class Cursor:
    """Reads one value after the other; DamagedError where there is none."""

    data: bytes
    at: int = 0

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The next record."""
        if self.at + layout.size > len(self.data):
            raise DamagedError("a record is longer than its packet")
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def text(self) -> str:
        """The next string."""
        (length,) = self.take(COUNT)
        end = self.at + length
        if end > len(self.data):
            raise DamagedError("a string is longer than its packet")
        text = self.data[self.at : end].decode("utf-8", errors="replace")
        self.at = end
        return text

    def many(self, layout: struct.Struct) -> list[tuple[Any, ...]]:
        """The next array: its length as 32 bits, then its records."""
        (count,) = self.take(LONG_COUNT)
        if self.at + count * layout.size > len(self.data):
            raise DamagedError("an array is longer than its packet")
        return [self.take(layout) for _ in range(count)]


def text(value: str) -> bytes:
    """A string as the file has it; what is longer than its length can say is cut."""
    data = value.encode()[:0xFFFF]
    return COUNT.pack(len(data)) + data


def packet(packet_id: PacketId, body: bytes = b"") -> bytes:
    """A packet with its header."""
    return HEADER.pack(packet_id, len(body)) + body


def listed(packet_id: PacketId, records: list[bytes]) -> bytes:
    """A packet of so many records."""
    return packet(packet_id, COUNT.pack(len(records)) + b"".join(records))


def records(layout: struct.Struct, body: bytes) -> Iterator[tuple[Any, ...]]:
    """The records of a packet in which all have one size.

    Raises:
      DamagedError: its size and the number of its records do not fit.
    """
    (total,) = Cursor(body).take(COUNT)
    if len(body) != COUNT.size + total * layout.size:
        raise DamagedError(f"a packet of {total} records has {len(body)} bytes")
    return layout.iter_unpack(memoryview(body)[COUNT.size :])


def info(value: Info) -> bytes:
    """The header of a file."""
    return COUNT.pack(value.version) + text(MAGIC) + DATE.pack(value.date) + text(value.town)


def added(actor: Added) -> bytes:
    """A record of EVENT_ADD."""
    attributes = b"".join(bytes([kind]) + text(name) + text(value) for kind, name, value in actor.attributes)
    start = _ADDED.pack(actor.actor_id, actor.kind, *actor.place, actor.uid)
    return start + text(actor.type_id) + COUNT.pack(len(actor.attributes)) + attributes


def read_added(body: bytes) -> Iterator[Added]:
    """The records of EVENT_ADD."""
    cursor = Cursor(body)
    (total,) = cursor.take(COUNT)
    for _ in range(total):
        actor_id, kind, *place, uid = cursor.take(_ADDED)
        type_id = cursor.text()
        (count,) = cursor.take(COUNT)
        attributes = tuple((cursor.take(_ATTRIBUTE_TYPE)[0], cursor.text(), cursor.text()) for _ in range(count))
        yield Added(actor_id, kind, tuple(place), uid, type_id, attributes)


def wheels(actor_id: int, poses: Iterable[tuple[float, float]]) -> bytes:
    """A record of ANIM_VEHICLE_WHEELS: steering angle and turn (deg) of every wheel, front left first."""
    rows = [_WHEEL_POSE.pack(place, *pose) for place, pose in enumerate(poses)]
    return ID.pack(actor_id) + LONG_COUNT.pack(len(rows)) + b"".join(rows)


class PhysicsControl(NamedTuple):
    """`carla.VehiclePhysicsControl` without the time that gears take to change, which the file does not have.

    `engine` is max_rpm, moi, three damping rates, use_gear_autobox, clutch_strength, final_ratio, mass,
    drag_coefficient and the centre of mass; a wheel is its nine numbers and its position.
    """

    actor_id: int
    engine: tuple[Any, ...]
    torque_curve: list[tuple[float, float]]
    gears: list[tuple[float, float, float]]
    steering_curve: list[tuple[float, float]]
    wheels: list[tuple[float, ...]]


def physics_control(actor_id: int, control: list[Any]) -> bytes:
    """A record of PHYSICS_CONTROL from the array that `get_physics_control` answers with."""
    torque, rpm, moi, full, engaged, disengaged, autobox, _, clutch, final, gears, mass, drag, centre = control[:14]
    engine = _ENGINE.pack(rpm, moi, full, engaged, disengaged, autobox, clutch, final, mass, drag, *centre)
    wheel_rows = [(*wheel[:9], *wheel[9]) for wheel in control[15]]
    curves = ((_POINT, torque), (_GEAR, gears), (_POINT, control[14]), (_WHEEL, wheel_rows))
    arrays = (LONG_COUNT.pack(len(rows)) + b"".join(layout.pack(*row) for row in rows) for layout, rows in curves)
    return ID.pack(actor_id) + engine + b"".join(arrays)


def read_physics_controls(body: bytes) -> Iterator[PhysicsControl]:
    """The records of PHYSICS_CONTROL."""
    cursor = Cursor(body)
    (total,) = cursor.take(COUNT)
    for _ in range(total):
        (actor_id,) = cursor.take(ID)
        arrays: list[Any] = [cursor.take(_ENGINE)]
        arrays += [cursor.many(layout) for layout in (_POINT, _GEAR, _POINT, _WHEEL)]
        yield PhysicsControl(actor_id, *arrays)


def read_bones(body: bytes) -> Iterator[tuple[int, list[tuple[str, tuple[float, ...]]]]]:
    """The records of WALKER_BONES: the walker's id, and of every bone its name, location and rotation."""
    cursor = Cursor(body)
    (total,) = cursor.take(COUNT)
    for _ in range(total):
        (actor_id,) = cursor.take(ID)
        (count,) = cursor.take(COUNT)
        yield actor_id, [(cursor.text(), cursor.take(_BONE)) for _ in range(count)]
