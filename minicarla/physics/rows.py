"""The numbers of what moves: a row of memory for each, which Python's objects and compiled loops share.

Every struct here can also stand alone, in memory of its own. A row holds one of each that its actor needs, at the
places below; `VEHICLES`, `WALKERS` and `BODIES` are the same rows as NumPy's structured types, which numba compiles.
"""

import ctypes
import math
from typing import Any, TypeVar

import numpy as np

from minicarla.geometry.types import Pose
from minicarla.limits import MAX_ACTORS, MAX_CURVE_POINTS

_number, _flag = ctypes.c_double, ctypes.c_bool
_PLACE = ("x", "y", "z", "pitch", "yaw", "roll")
_MOTION: list[tuple[str, Any]] = [
    *((name, _number) for name in (*_PLACE, "vx", "vy", "vz", "yaw_rate", "ax", "ay", "az")),
    ("simulate_physics", _flag),
]

S = TypeVar("S", bound=ctypes.Structure)


class Motion:
    """Pose, velocity, acceleration of a body: m, deg, m/s, deg/s, m/s^2, world frame. Stepped in place.

    With `simulate_physics` False it stays where it is put.
    """

    x: float
    y: float
    z: float
    pitch: float
    yaw: float
    roll: float
    vx: float
    vy: float
    vz: float
    yaw_rate: float
    ax: float
    ay: float
    az: float
    simulate_physics: bool

    def __init__(self, *values: float, **named: Any) -> None:
        super().__init__(*values)
        self.simulate_physics = True
        for name, value in named.items():
            setattr(self, name, value)

    @property
    def pose(self) -> Pose:
        """Where it is."""
        return Pose(self.x, self.y, self.z, self.pitch, self.yaw, self.roll)

    def put(self, pose: Pose) -> None:
        """Move it there; its velocity stays."""
        self.x, self.y, self.z = pose.x, pose.y, pose.z
        self.pitch, self.yaw, self.roll = pose.pitch, pose.yaw, pose.roll


class Place(Motion, ctypes.Structure):
    """Of what has no dynamics: sensors, props, the spectator."""

    _fields_ = _MOTION


class VehicleState(Motion, ctypes.Structure):
    """A vehicle's motion, its pedals and its wheels.

    `steer` is the inner front wheel's angle (deg); `throttle_input`, `brake_input`, `steer_input` are the commands as
    the car has followed them so far; `constant_velocity` is (forward, right) m/s in the car's frame, or None.
    """

    _fields_ = [
        *_MOTION,
        ("gravity", _flag),
        ("holds_velocity", _flag),
        *((name, _number) for name in ("steer", "throttle_input", "brake_input", "steer_input")),
        *((name, _number) for name in ("held_forward", "held_right")),
    ]
    gravity: bool
    holds_velocity: bool  # the constant one, whose parts follow
    held_forward: float
    held_right: float
    steer: float
    throttle_input: float
    brake_input: float
    steer_input: float

    def __init__(self, *values: float, **named: Any) -> None:
        super().__init__(*values, **{"gravity": True, **named})

    @property
    def constant_velocity(self) -> tuple[float, float] | None:
        return (self.held_forward, self.held_right) if self.holds_velocity else None

    @constant_velocity.setter
    def constant_velocity(self, velocity: tuple[float, float] | None) -> None:
        self.holds_velocity = velocity is not None
        self.held_forward, self.held_right = velocity or (0.0, 0.0)

    @property
    def forward_speed(self) -> float:
        """Speed along the body, m/s; negative in reverse."""
        yaw_rad = math.radians(self.yaw)
        level = self.vx * math.cos(yaw_rad) + self.vy * math.sin(yaw_rad)
        if self.pitch == 0.0:
            return level
        pitch_rad = math.radians(self.pitch)
        return level * math.cos(pitch_rad) + self.vz * math.sin(pitch_rad)

    @property
    def side_speed(self) -> float:
        """Speed across the body, m/s; positive to the right."""
        yaw_rad = math.radians(self.yaw)
        return self.vy * math.cos(yaw_rad) - self.vx * math.sin(yaw_rad)


class Control(ctypes.Structure):
    """`carla.VehicleControl` without gears: throttle, brake in [0, 1], steer in [-1, 1] (right positive).

    hand_gear: part of the launch force that a gear chosen by hand leaves; 1 with the automatic gearbox.
    """

    _fields_ = [
        *((name, _number) for name in ("throttle", "steer", "brake")),
        ("hand_brake", _flag),
        ("reverse", _flag),
        ("hand_gear", _number),
    ]
    throttle: float
    steer: float
    brake: float
    hand_brake: bool
    reverse: bool
    hand_gear: float

    def __init__(self, *values: float, **named: Any) -> None:
        super().__init__(*values, **{"hand_gear": 1.0, **named})


class Drive(ctypes.Structure):
    """What else a tick has to know of a vehicle, and what it finds out for the snapshot.

    manual_gear: whether a client chooses the gears. gear: the one that is in: 0 is neutral, -1 reverse.
    sticky: whether a control holds until the next one, or for one tick; and if so, `control_is_new`: that tick is to
    come. by_ackermann: a controller drives. force (N), torque (N m about z): for the coming tick.
    limit_kmh, light_state, is_held, light_id: what signs and lights tell. waits: at a sign. touches_sign: its box.
    """

    _fields_ = [
        ("force", _number * 3),
        ("torque", _number),
        ("limit_kmh", _number),
        ("gear", ctypes.c_int32),
        ("light_id", ctypes.c_uint32),
        ("light_state", ctypes.c_uint8),
        *(
            (name, _flag)
            for name in ("is_held", "manual_gear", "sticky", "control_is_new", "by_ackermann", "waits", "touches_sign")
        ),
    ]
    torque: float
    limit_kmh: float
    gear: int
    light_id: int
    light_state: int
    is_held: bool
    manual_gear: bool
    sticky: bool
    control_is_new: bool
    by_ackermann: bool
    waits: bool
    touches_sign: bool


class WalkerControl(ctypes.Structure):
    """`carla.WalkerControl`: a world direction, normalised when used, and a speed in m/s; the flag only travels."""

    _fields_ = [*((name, _number) for name in ("dx", "dy", "dz", "speed")), ("jump", _flag)]
    dx: float
    dy: float
    dz: float
    speed: float
    jump: bool

    def __init__(self, dx: float = 1.0, dy: float = 0.0, dz: float = 0.0, speed: float = 0.0) -> None:
        super().__init__(dx, dy, dz, speed)


class WalkerState(Motion, ctypes.Structure):
    """A walker's motion; `z` is that of the body's centre, `half_height` (m) above its feet.

    `is_carried`: a client has moved it in this tick, at `carried_vx`, `carried_vy` (m/s). `walked` is its way so far,
    m.
    """

    _fields_ = [
        *_MOTION,
        ("is_carried", _flag),
        *((name, _number) for name in ("half_height", "carried_vx", "carried_vy", "walked")),
    ]
    is_carried: bool
    half_height: float
    carried_vx: float
    carried_vy: float
    walked: float


class Solid(ctypes.Structure):
    """A body's box: half sizes and centre (m), the radius of a circle that holds its footprint; if it is in the way."""

    _fields_ = [
        *((name, _number) for name in ("ex", "ey", "ez", "centre_x", "centre_z", "radius")),
        ("collides", _flag),
    ]
    ex: float
    ey: float
    ez: float
    centre_x: float
    centre_z: float
    radius: float
    collides: bool


class Tuning(ctypes.Structure):
    """The numbers of `VehicleParams`, and of `Gears` (m/s), by the same names.

    The curve ends at an infinite speed.
    """

    NUMBERS = (
        *("mass", "wheelbase", "track", "max_steer", "launch_accel", "power", "brake_decel", "handbrake_decel"),
        *("grip", "engine_drag", "slip_loss", "aero", "gyration_sq"),
    )
    _fields_ = [
        *((name, _number) for name in NUMBERS),
        ("gear_count", ctypes.c_int64),
        ("steering_curve", (_number * 2) * (MAX_CURVE_POINTS + 1)),
        *((name, _number * MAX_CURVE_POINTS) for name in ("up", "down", "top")),
    ]
    gear_count: int
    up: Any
    down: Any
    top: Any
    steering_curve: Any


_PLACES: dict[type[ctypes.Structure], int] = {
    **dict.fromkeys((Place, VehicleState, WalkerState), 0),
    **dict.fromkeys((Control, WalkerControl), 192),
    Drive: 256,
    Solid: 384,
    Tuning: 448,
}
# An odd number of cache lines: rows whose first lines shared a few places of the cache would push each other out.
ROW_BYTES = 64 * (math.ceil((_PLACES[Tuning] + ctypes.sizeof(Tuning)) / 64) | 1)


def _structured(**parts: type[ctypes.Structure]) -> np.dtype:
    layout: Any = {
        "names": list(parts),
        "formats": [np.dtype(kind) for kind in parts.values()],
        "offsets": [_PLACES[kind] for kind in parts.values()],
        "itemsize": ROW_BYTES,
    }
    return np.dtype(layout, align=True)


VEHICLES = _structured(state=VehicleState, control=Control, drive=Drive, solid=Solid, params=Tuning)
WALKERS = _structured(state=WalkerState, control=WalkerControl)
BODIES = _structured(state=Place, solid=Solid)


class Rows:
    """The rows of all actors of an episode."""

    def __init__(self) -> None:
        self.memory = np.zeros(MAX_ACTORS * ROW_BYTES, np.uint8)  # the kernel gives pages as they are touched
        self.vehicles, self.walkers = self.memory.view(VEHICLES), self.memory.view(WALKERS)
        self.bodies = self.memory.view(BODIES)
        self._free = list(range(MAX_ACTORS - 1, -1, -1))

    def take(self) -> int:
        """The number of a row that is free."""
        return self._free.pop()

    def give_back(self, number: int) -> None:
        """Nobody uses the row any more."""
        self._free.append(number)


class Row:
    """One actor's row: in memory of its own, until `enter` gives it a place among all."""

    def __init__(self) -> None:
        self.number = -1  # among all
        self._memory: Any = np.zeros(ROW_BYTES, np.uint8)
        self._rows: Rows | None = None

    def part(self, kind: type[S]) -> S:
        """The struct of that kind in it. It is out of date when the row moves."""
        return kind.from_buffer(self._memory, _PLACES[kind])

    def enter(self, rows: Rows) -> None:
        """Move to a place among all."""
        self.number, self._rows = rows.take(), rows
        self._move(rows.memory[self.number * ROW_BYTES : (self.number + 1) * ROW_BYTES])

    def leave(self) -> None:
        """Move to memory of its own again."""
        assert self._rows is not None
        self._move(np.zeros(ROW_BYTES, np.uint8))
        self._rows.give_back(self.number)
        self.number, self._rows = -1, None

    def _move(self, memory: np.ndarray) -> None:
        memory[:] = self._memory
        self._memory = memory
