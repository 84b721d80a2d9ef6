"""Writes recordings by hand, after the layout that CARLA documents, and reads back what CARLA's texts say of them."""

import re
import struct
from dataclasses import dataclass, field


def string(text: str) -> bytes:
    return struct.pack("<H", len(text.encode())) + text.encode()


def packet(number: int, body: bytes) -> bytes:
    return bytes([number]) + struct.pack("<I", len(body)) + body


def counted(number: int, *records: bytes) -> bytes:
    return packet(number, struct.pack("<H", len(records)) + b"".join(records))


def added(
    actor: int, kind: int, type_id: str, place: tuple[float, ...], attributes: dict[str, str] | None = None
) -> bytes:
    """`place`: x, y, z in cm, roll, pitch, yaw in degrees."""
    pairs = [b"\x04" + string(name) + string(value) for name, value in (attributes or {}).items()]
    body = struct.pack("<IB6fI", actor, kind, *place, 7) + string(type_id)
    return body + struct.pack("<H", len(pairs)) + b"".join(pairs)


def position(actor: int, *place: float) -> bytes:
    return struct.pack("<I6f", actor, *place)


def frame(number: int, duration: float, elapsed: float, *packets: bytes) -> bytes:
    return packet(0, struct.pack("<Qdd", number, duration, elapsed)) + b"".join(packets) + packet(1, b"")


def recording(*frames: bytes, town: str = "Town01", date: int = 1_700_000_000) -> bytes:
    return struct.pack("<H", 1) + string("CARLA_RECORDER") + struct.pack("<q", date) + string(town) + b"".join(frames)


_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_VECTOR = rf"\({_NUMBER}, {_NUMBER}, {_NUMBER}\)"


@dataclass
class TextFrame:
    """What the text says of one frame: m and degrees (roll, pitch, yaw)."""

    number: int
    elapsed: float
    created: dict[int, str] = field(default_factory=dict)
    collisions: list[tuple[int, int]] = field(default_factory=list)
    places: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)
    controls: dict[int, dict[str, float]] = field(default_factory=dict)
    lights: dict[int, int] = field(default_factory=dict)
    velocities: dict[int, tuple[float, ...]] = field(default_factory=dict)


def text_frames(text: str) -> list[TextFrame]:
    """Reads the text of `show_recorder_file_info` as programs that evaluate recordings do: split at "Frame"."""
    found = []
    for part in text.split("Frame")[1:-1]:
        head = re.match(r" (\d+) at (\S+) seconds\n", part)
        assert head, part[:80]
        one = TextFrame(int(head[1]), float(head[2]))
        one.created = {int(i): type_id for i, type_id in re.findall(r"^ Create (\d+): (\S+) \(\d\) at ", part, re.M)}
        pairs = re.findall(r"^ Collision id \d+ between (\d+)(?: \(hero\) )? with (\d+)", part, re.M)
        one.collisions = [(int(a), int(b)) for a, b in pairs]
        for row in re.findall(rf"^  Id: (\d+) Location: {_VECTOR} Rotation: {_VECTOR}$", part, re.M):
            x, y, z, *rotation = map(float, row[1:])
            one.places[int(row[0])] = ((x / 100, y / 100, z / 100), tuple(rotation))
        controls = r"^  Id: (\d+) Steering: (\S+) Throttle: (\S+) Brake: (\S+) Handbrake: ([01]) Gear: (-?\d+)$"
        for actor, *values in re.findall(controls, part, re.M):
            names = ("steer", "throttle", "brake", "hand_brake", "gear")
            one.controls[int(actor)] = dict(zip(names, map(float, values), strict=True))
        states = r"^  Id: (\d+) state: (\d) frozen: [01] elapsedTime: \S+$"
        one.lights = {int(actor): int(state) for actor, state in re.findall(states, part, re.M)}
        speeds = rf"^  Id: (\d+) linear_velocity: {_VECTOR} angular_velocity: {_VECTOR}$"
        one.velocities = {int(row[0]): tuple(map(float, row[1:4])) for row in re.findall(speeds, part, re.M)}
        found.append(one)
    return found
