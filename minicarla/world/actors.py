"""The actors. Each knows its state and how it looks on the wire; `world.tick` moves them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from minicarla.geometry.poses import relative_pose
from minicarla.geometry.types import LightSpec, OrientedBox, Pose, SignSpec
from minicarla.limits import MAX_FRICTION, MAX_SPIN_DEG_S
from minicarla.physics.ackermann import DEFAULT_SETTINGS, AckermannController
from minicarla.physics.collision import Body
from minicarla.physics.gearbox import FINAL_RATIO, FORWARD_GEARS, MAX_RPM, NEUTRAL, REVERSE, Gears
from minicarla.physics.vehicle import Control, VehicleState, halt, teleport, vehicle_at
from minicarla.physics.vehicle_params import VehicleParams, vehicle_params
from minicarla.physics.walkers import WALKER_MASS, WalkerControl, WalkerState, walker_at
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description, Wire, bounding_box
from minicarla.render.encodings import Tag
from minicarla.world.prop_blueprints import PROP_EXTENTS, PROP_SOLIDS
from minicarla.world.signs import SignMemory
from minicarla.world.skeleton import Skeleton
from minicarla.world.traffic_lights import LightState
from minicarla.world.walker_blueprints import WALKER_EXTENTS

Motion = tuple[float, ...]
_AT_REST = (0.0,) * 9
DEFAULT_PAINT = (180, 180, 180)
GROUND_CLEARANCE_M = 0.15  # of a passenger car
SIDE_DOORS = frozenset(range(4))  # carla.VehicleDoor: FL, FR, RL, RR; bonnets and boots do not open here
_FRONT_WHEELS = (0, 1)  # carla.VehicleWheelLocation
NO_LIGHT = (LightState.GREEN, False, 0)  # CARLA reports green to a vehicle that no light holds
# And red to one that a stop or yield sign holds, which makes a Traffic Manager stop it.
WAIT = (LightState.RED, False, 0)


class Actor:
    """Anything with an id. This class itself serves the spectator and the walkers' controllers."""

    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    box_centre: tuple[float, float] = (0.0, 0.0)  # x, z in the actor's frame, m
    tag: Tag | None = None
    stream: int | None = None

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        self.id = actor_id
        self.description = description
        self.type_id = description.type_id
        self.parent: Actor | None = None
        self.offset: Pose | None = None  # in the parent's frame
        self._pose = pose

    @property
    def pose(self) -> Pose:
        """Where it is, in the world."""
        return self._pose

    def move_to(self, pose: Pose) -> None:
        """Teleport."""
        self._pose = pose

    def motion(self) -> Motion:
        """Location, rotation, velocity, angular velocity and acceleration, as `wire.SnapshotWriter` takes them."""
        pose = self.pose
        return (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll, *_AT_REST)

    def write(self, snapshot: wire.SnapshotWriter) -> None:
        """Append its record to a snapshot."""
        snapshot.other(self.id, self.motion())

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


class Prop(Actor):
    """A static object: it stands where it is put and stops what runs into it.

    What is lower than a car's ground clearance (litter, tiles) stops nothing: a box that does would be a wall.
    """

    tag = Tag.STATIC

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        super().__init__(actor_id, description, pose)
        self.extent = PROP_EXTENTS[self.type_id]
        self.box_centre = (0.0, self.extent[2])
        self.collides = 2.0 * self.extent[2] > GROUND_CLEARANCE_M
        self.state = vehicle_at(pose)
        self.state.simulate_physics = False
        solid = PROP_SOLIDS.get(self.type_id, self.extent)
        self.body = Body(self.id, self.state, solid, (0.0, solid[2]))

    def move_to(self, pose: Pose) -> None:
        """Teleport."""
        super().move_to(pose)
        teleport(self.state, pose)


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


class Vehicle(Actor):
    """A vehicle with its dynamics.

    manual_gear: whether a client chooses the gears. gear: the one that is in: 0 is neutral, -1 reverse.
    """

    def __init__(self, actor_id: int, description: Description, pose: Pose, tag: Tag | None) -> None:
        super().__init__(actor_id, description, pose)
        self.tag = tag
        self.state = vehicle_at(pose)
        self.control = Control()
        self.manual_gear = False
        self.gear = 1
        # Whether a control holds until the next one, or for one tick; and if so, whether that tick is to come.
        self.sticky = description.attributes.get("sticky_control", "true").lower() == "true"
        self.control_is_new = False
        self.ackermann: AckermannController | None = None
        self.ackermann_settings: Sequence[float] = DEFAULT_SETTINGS
        self.physics_control: Wire | None = None  # as a client has set it
        self.trigger_friction: float | None = None  # of the volume that it is in
        # What a client has set for the wheels of a vehicle without physics, deg, by their places in the list of wheels.
        self.wheel_steer: dict[int, float] = {}
        self.wheel_pitch: dict[int, float] = {}
        self.has_doors = description.attributes.get("has_dynamic_doors") == "true"
        self.open_doors: frozenset[int] = frozenset()  # carla.VehicleDoor
        self.light_flags = 0
        self.light: tuple[int, bool, int] = NO_LIGHT  # state, held by it, its actor id
        self.signs = SignMemory()
        self.collides = True
        self.force = (0.0, 0.0, 0.0)  # N, for the coming tick
        self.torque = 0.0  # N m about z, for the coming tick
        self.colour = _colour(description.attributes.get("color", ""))
        params = vehicle_params(self.type_id)
        self.tune(params)
        self.gears = Gears.of(FORWARD_GEARS, FINAL_RATIO, MAX_RPM, params.wheel_radius)

    def tune(self, params: VehicleParams) -> None:
        """Take over (other) physical parameters."""
        self.params = params
        self.extent = params.extent
        self.box_centre = params.box_centre
        self.body = Body(self.id, self.state, params.extent, params.box_centre, params.mass, params.gyration_sq)

    def regear(self, gears: Gears) -> None:
        """Take over another gearbox."""
        self.gears = gears
        self.gear = min(self.gear, len(gears.top))

    def change_gear(self) -> None:
        """The gear of the coming step."""
        state, control = self.state, self.control
        speed = math.hypot(state.vx, state.vy)
        if self.manual_gear:
            if control.reverse:
                self.gear = REVERSE
            control.reverse = self.gear < NEUTRAL
            control.hand_gear = self.gears.hand_share(self.gear, speed)
        else:
            self.gear = REVERSE if control.reverse else self.gears.automatic(self.gear, speed)
            control.hand_gear = 1.0

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
        inertia = self.params.mass * self.params.gyration_sq
        yaw_rate = self.state.yaw_rate + math.degrees(angular_impulse / inertia)
        self.state.yaw_rate = min(max(yaw_rate, -MAX_SPIN_DEG_S), MAX_SPIN_DEG_S)

    def relax(self) -> None:
        """Without a new control, let go of the pedals and the wheel: what `sticky_control` False means."""
        if self.control_is_new:
            self.control_is_new = False
        else:
            self.control.reset()
            self.manual_gear = False

    @property
    def pose(self) -> Pose:
        return self.state.pose

    def move_to(self, pose: Pose) -> None:
        """Teleport. As on CARLA the velocity stays; only `rest` makes the car forget how it came here."""
        teleport(self.state, pose)

    def rest(self) -> None:
        """Back to the dynamics of a car just spawned: no motion, no pedal still on its way, no controller state."""
        halt(self.state)
        if not self.manual_gear:
            self.gear = 1
        self.force, self.torque = (0.0, 0.0, 0.0), 0.0
        if self.ackermann is not None:
            self.ackermann.reset()

    def motion(self) -> Motion:
        s: VehicleState = self.state
        return (s.x, s.y, s.z, s.pitch, s.yaw, s.roll, s.vx, s.vy, s.vz, 0.0, 0.0, s.yaw_rate, s.ax, s.ay, s.az)

    def write(self, snapshot: wire.SnapshotWriter) -> None:
        c = self.control
        control = (c.throttle, c.steer, c.brake, c.hand_brake, c.reverse, self.manual_gear, self.gear)
        snapshot.vehicle(self.id, self.motion(), control, self.signs.limit_kmh, self.light)


class Walker(Actor):
    """A pedestrian."""

    tag = Tag.PEDESTRIANS

    def __init__(self, actor_id: int, description: Description, pose: Pose) -> None:
        super().__init__(actor_id, description, pose)
        self.extent = WALKER_EXTENTS[self.type_id]
        self.state: WalkerState = walker_at(pose, self.extent[2])
        self.control = WalkerControl()
        self.jump = False
        self.collides = True
        self.body = Body(self.id, self.state, self.extent, mass=WALKER_MASS)
        self.skeleton = Skeleton(self.extent[2])

    @property
    def pose(self) -> Pose:
        return self.state.pose

    @property
    def gait(self) -> tuple[float, float]:
        """The way walked so far, m, and its speed, m/s: what its skeleton is moved by."""
        return self.state.walked, math.hypot(self.state.vx, self.state.vy)

    def move_to(self, pose: Pose) -> None:
        """Teleport."""
        s = self.state
        s.x, s.y, s.z, s.pitch, s.yaw, s.roll = pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll

    def carry(self, x: float, y: float, z: float, pitch: float, yaw: float, roll: float, speed: float) -> None:
        """Put its feet there (m, deg), on its way ahead at `speed` m/s; a client's crowd does so at every tick."""
        s, c = self.state, self.control
        s.x, s.y, s.z, s.pitch, s.yaw, s.roll = x, y, z + self.extent[2], pitch, yaw, roll
        yaw_rad = math.radians(yaw)
        c.dx, c.dy, c.dz, c.speed = math.cos(yaw_rad), math.sin(yaw_rad), 0.0, speed
        s.carried = (speed * c.dx, speed * c.dy)

    def motion(self) -> Motion:
        s = self.state
        return (s.x, s.y, s.z, s.pitch, s.yaw, s.roll, s.vx, s.vy, s.vz, 0.0, 0.0, s.yaw_rate, s.ax, s.ay, s.az)

    def write(self, snapshot: wire.SnapshotWriter) -> None:
        c = self.control
        snapshot.walker(self.id, self.motion(), (c.dx, c.dy, c.dz), c.speed, self.jump)


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
