"""The actors. Each knows its state and how it looks on the wire; `world.tick` moves them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from ctypes import Structure
from dataclasses import replace
from typing import ClassVar

from minicarla.geometry.poses import relative_pose
from minicarla.geometry.types import LightSpec, OrientedBox, Pose, SignSpec
from minicarla.limits import MAX_FRICTION
from minicarla.physics.ackermann import DEFAULT_SETTINGS, AckermannController
from minicarla.physics.collision import Body
from minicarla.physics.gearbox import FINAL_RATIO, FORWARD_GEARS, MAX_RPM, Gears
from minicarla.physics.rows import (
    Control,
    Drive,
    Motion,
    Place,
    Row,
    Rows,
    Solid,
    Tuning,
    VehicleState,
    WalkerControl,
    WalkerState,
)
from minicarla.physics.vehicle import halt, spun
from minicarla.physics.vehicle_params import VehicleParams, vehicle_params
from minicarla.physics.walkers import WALKER_MASS
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description, Wire, bounding_box
from minicarla.render.encodings import Tag
from minicarla.world.prop_blueprints import PROP_EXTENTS, PROP_SOLIDS
from minicarla.world.signs import SignMemory
from minicarla.world.skeleton import Skeleton
from minicarla.world.traffic_lights import LightState
from minicarla.world.walker_blueprints import WALKER_EXTENTS

DEFAULT_PAINT = (180, 180, 180)
GROUND_CLEARANCE_M = 0.15  # of a passenger car
SIDE_DOORS = frozenset(range(4))  # carla.VehicleDoor: FL, FR, RL, RR; bonnets and boots do not open here
_FRONT_WHEELS = (0, 1)  # carla.VehicleWheelLocation


class Actor:
    """Anything with an id. This class itself serves the spectator and the walkers' controllers."""

    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    box_centre: tuple[float, float] = (0.0, 0.0)  # x, z in the actor's frame, m
    tag: Tag | None = None
    stream: int | None = None

    # The structs of its row, by the attributes that refer to them.
    PARTS: ClassVar[Mapping[str, type[Structure]]] = {"state": Place}
    state: Motion

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        self.id = actor_id
        self.description = description
        self.type_id = description.type_id
        self.parent: Actor | None = None
        self.offset: Pose | None = None  # in the parent's frame
        self.row = Row()
        self._refer()
        self.state.simulate_physics = True
        self.state.put(pose)

    def _refer(self) -> None:
        for name, kind in self.PARTS.items():
            setattr(self, name, self.row.part(kind))

    def enter(self, rows: Rows) -> None:
        """Move its numbers to all others'."""
        self.row.enter(rows)
        self._refer()

    def leave(self) -> None:
        """Move its numbers back to memory of its own."""
        self.row.leave()
        self._refer()

    @property
    def pose(self) -> Pose:
        """Where it is, in the world."""
        return self.state.pose

    def move_to(self, pose: Pose) -> None:
        """Teleport. As on CARLA a velocity stays."""
        self.state.put(pose)

    def motion(self) -> tuple[float, ...]:
        """Location, rotation, velocity, angular velocity and acceleration, each x, y, z or pitch, yaw, roll."""
        s = self.state
        return (s.x, s.y, s.z, s.pitch, s.yaw, s.roll, s.vx, s.vy, s.vz, 0.0, 0.0, s.yaw_rate, s.ax, s.ay, s.az)

    def bounding_box(self) -> Wire:
        """Its box in its own frame."""
        x, z = self.box_centre
        return bounding_box((x, 0.0, z), self.extent, actor_id=self.id)

    def wire(self, stream_port: int) -> Wire:
        """The RPC array of the actor; only a server-side sensor has a stream token."""
        token = b"" if self.stream is None else wire.token(self.stream, stream_port)
        tags = b"" if self.tag is None else bytes([self.tag])
        parent = 0 if self.parent is None else self.parent.id
        return [self.id, parent, self.description.wire, self.bounding_box(), tags, token]


class BodyActor(Actor):
    """An actor with a box that others can run into."""

    solid: Solid
    body: Body

    def _give_body(self, body: Body) -> None:
        self.body = body
        solid = self.solid
        (solid.ex, solid.ey, solid.ez), (solid.centre_x, solid.centre_z) = body.extent, body.box_centre
        solid.radius = body.radius

    def _refer(self) -> None:
        super()._refer()
        if hasattr(self, "body"):
            self.body.state = self.state

    @property
    def collides(self) -> bool:
        """Whether it is in the way."""
        return self.solid.collides


class Prop(BodyActor):
    """A static object: it stands where it is put and stops what runs into it.

    What is lower than a car's ground clearance (litter, tiles) stops nothing: a box that does would be a wall.
    """

    PARTS: ClassVar = {"state": Place, "solid": Solid}
    tag = Tag.STATIC

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        super().__init__(actor_id, description, pose)
        self.extent = PROP_EXTENTS[self.type_id]
        self.box_centre = (0.0, self.extent[2])
        self.solid.collides = 2.0 * self.extent[2] > GROUND_CLEARANCE_M
        self.state.simulate_physics = False
        solid = PROP_SOLIDS.get(self.type_id, self.extent)
        self._give_body(Body(self.id, self.state, solid, (0.0, solid[2])))


class FrictionTrigger(Actor):
    """A volume in which tyres have another friction; it stands in nobody's way."""

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        """ValueError for an attribute that cannot be."""
        super().__init__(actor_id, description, pose)
        self.friction = description.number("friction", 0.0)
        if not 0.0 <= self.friction <= MAX_FRICTION:
            raise ValueError(f"friction must lie in [0, {MAX_FRICTION:g}], not {self.friction:g}")
        x, y, z = (0.01 * description.number(f"extent_{axis}", 0.0) for axis in "xyz")  # cm
        if min(x, y, z) < 0.0:
            raise ValueError("extent_x, extent_y and extent_z must not be negative")
        self.extent = (x, y, z)


class Vehicle(BodyActor):
    """A vehicle with its dynamics."""

    PARTS: ClassVar = {"state": VehicleState, "control": Control, "drive": Drive, "solid": Solid, "tuning": Tuning}
    state: VehicleState
    control: Control
    drive: Drive
    tuning: Tuning

    def __init__(self, actor_id: int, description: Description, pose: Pose, tag: Tag | None) -> None:
        super().__init__(actor_id, description, pose)
        self.tag = tag
        self.state.gravity = self.solid.collides = True
        self.control.hand_gear = 1.0
        self.drive.gear = 1
        self.drive.sticky = description.attributes.get("sticky_control", "true").lower() == "true"
        self.ackermann: AckermannController | None = None  # drives while `drive.by_ackermann`
        self.ackermann_settings: Sequence[float] = DEFAULT_SETTINGS
        self.physics_control: Wire | None = None  # as a client has set it
        self.trigger_friction: float | None = None  # of the volume that it is in
        # What a client has set for the wheels of a vehicle without physics, deg, by their places in the list of wheels.
        self.wheel_steer: dict[int, float] = {}
        self.wheel_pitch: dict[int, float] = {}
        self.has_doors = description.attributes.get("has_dynamic_doors") == "true"
        self.open_doors: frozenset[int] = frozenset()  # carla.VehicleDoor
        self.light_flags = 0
        self.drive.light_state = LightState.GREEN
        self.signs = SignMemory()
        self.hear_signs()
        self.colour = _colour(description.attributes.get("color", ""))
        params = vehicle_params(self.type_id)
        self.tune(params)
        self.regear(Gears.of(FORWARD_GEARS, FINAL_RATIO, MAX_RPM, params.wheel_radius))

    def tune(self, params: VehicleParams) -> None:
        """Take over (other) physical parameters."""
        self.params = params
        self.extent = params.extent
        self.box_centre = params.box_centre
        self._give_body(Body(self.id, self.state, params.extent, params.box_centre, params.mass, params.gyration_sq))
        for name in Tuning.NUMBERS:
            setattr(self.tuning, name, getattr(params, name))
        last = params.steering_curve[-1][1]
        self.tuning.steering_curve[: len(params.steering_curve) + 1] = [*params.steering_curve, (math.inf, last)]

    def regear(self, gears: Gears) -> None:
        """Take over another gearbox."""
        self.gears = gears
        count = self.tuning.gear_count = gears.gear_count
        self.drive.gear = min(self.drive.gear, count)
        tuning = self.tuning
        tuning.up[:count], tuning.down[:count], tuning.top[:count] = gears.up, gears.down, gears.top

    def hear_signs(self) -> None:
        """Take over what the signs have told."""
        drive, signs = self.drive, self.signs
        drive.limit_kmh, drive.waits, drive.touches_sign = signs.limit_kmh, signs.waits, bool(signs.touched)

    def wheel_steer_angle(self, wheel: int) -> float:
        """Deg; as on CARLA a vehicle without physics has what was set."""
        if self.state.simulate_physics:
            return self.state.steer if wheel in _FRONT_WHEELS else 0.0
        return self.wheel_steer.get(wheel, 0.0)

    def move_doors(self, doors: Iterable[int], opened: bool) -> None:
        """Opens or closes those of the doors that it has."""
        meant = SIDE_DOORS.intersection(doors) if self.has_doors else frozenset()
        self.open_doors = self.open_doors | meant if opened else self.open_doors - meant

    def set_physics(self, enabled: bool) -> None:
        """With physics it drives by itself again, from rest; without it stays where it is put."""
        if enabled and not self.state.simulate_physics:
            self.rest()
            self.wheel_steer.clear()
            self.wheel_pitch.clear()
        self.state.simulate_physics = enabled

    def spin(self, angular_impulse: float) -> None:
        """An angular impulse about the vertical axis, N m s."""
        self.state.yaw_rate = spun(self.state.yaw_rate, self.params, angular_impulse)

    def rest(self) -> None:
        """Back to the dynamics of a car just spawned: no motion, no pedal still on its way, no controller state."""
        halt(self.state)
        drive = self.drive
        if not drive.manual_gear:
            drive.gear = 1
        drive.force[:], drive.torque = (0.0, 0.0, 0.0), 0.0
        if self.ackermann is not None:
            self.ackermann.reset()


class Walker(BodyActor):
    """A pedestrian."""

    PARTS: ClassVar = {"state": WalkerState, "control": WalkerControl, "solid": Solid}
    tag = Tag.PEDESTRIANS
    state: WalkerState
    control: WalkerControl

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        super().__init__(actor_id, description, pose)
        self.extent = WALKER_EXTENTS[self.type_id]
        self.state.half_height = self.extent[2]
        self.control.dx = 1.0
        self.solid.collides = True
        self._give_body(Body(self.id, self.state, self.extent, mass=WALKER_MASS))
        self.skeleton = Skeleton(self.extent[2])

    @property
    def gait(self) -> tuple[float, float]:
        """The way walked so far, m, and its speed, m/s: what its skeleton is moved by."""
        return self.state.walked, math.hypot(self.state.vx, self.state.vy)


class RoadSignal(Actor):
    """A traffic light or sign of the town. As on CARLA its x axis lies across the lanes, to the traffic's right.

    `boxes` are its trigger boxes in the world.
    """

    def __init__(
        self, actor_id: int, description: Description, sign_id: str, pose: Pose, boxes: Sequence[OrientedBox]
    ) -> None:
        super().__init__(actor_id, description, replace(pose, yaw=(pose.yaw + 270.0) % 360.0 - 180.0))
        self.sign_id = sign_id  # the OpenDRIVE id of its signal
        self.boxes = boxes

    def bounding_box(self) -> Wire:
        """Its trigger volume, a box around all of its boxes in its own frame: the wheel's `trigger_volume`."""
        if not self.boxes:
            return bounding_box((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), actor_id=self.id)
        ranges = zip(*(self._ranges(box) for box in self.boxes), strict=True)
        spans = [(min(low for low, _ in axis), max(high for _, high in axis)) for axis in ranges]
        centre, extent = [0.5 * (low + high) for low, high in spans], [0.5 * (high - low) for low, high in spans]
        return bounding_box(centre, extent, actor_id=self.id)

    def _ranges(self, box: OrientedBox) -> list[tuple[float, float]]:
        """Lowest and highest x, y and z of a box in the actor's frame."""
        place = relative_pose(self.pose, Pose(box.x, box.y, box.z, yaw=box.yaw))
        cos, sin = abs(math.cos(math.radians(place.yaw))), abs(math.sin(math.radians(place.yaw)))
        halves = (box.ex * cos + box.ey * sin, box.ex * sin + box.ey * cos, box.ez)
        return [(m - half, m + half) for m, half in zip((place.x, place.y, place.z), halves, strict=True)]


class TrafficLight(RoadSignal):
    """A traffic light; its state is the traffic light system's, its records are written by `snapshot`."""

    tag = Tag.TRAFFIC_LIGHT

    def __init__(self, actor_id: int, description: Description, spec: LightSpec) -> None:
        super().__init__(actor_id, description, spec.sign_id, spec.pose, spec.stop_boxes)


class TrafficSign(RoadSignal):
    """A speed limit, a stop or a yield sign; its record is written by `snapshot`."""

    tag = Tag.TRAFFIC_SIGNS

    def __init__(self, actor_id: int, description: Description, spec: SignSpec) -> None:
        super().__init__(actor_id, description, spec.sign_id, spec.pose, spec.boxes)


def _colour(text: str) -> tuple[int, int, int]:
    """RGB of a "r,g,b" attribute; CARLA too paints what has none in a default."""
    parts = text.split(",")
    if len(parts) != 3:
        return DEFAULT_PAINT
    red, green, blue = (min(max(int(part), 0), 255) for part in parts)
    return red, green, blue
