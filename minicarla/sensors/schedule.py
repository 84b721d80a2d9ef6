"""Sensor actors: when they measure, and the frames that they send.

`sensor.other.lane_invasion` is here only so that it can be spawned: the client computes it from the road network.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from minicarla.limits import MAX_CAMERAS, MAX_IMAGE_PIXELS, MAX_RAY_M, MAX_TOTAL_PIXELS
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description, Wire, bounding_box
from minicarla.protocol.streams import Frame
from minicarla.sensors import measurements
from minicarla.sensors.cameras import CameraKind
from minicarla.world.actors import Actor

if TYPE_CHECKING:
    from minicarla.world.state import World

_ROUNDING_S = 1e-6
_BUILDING_TAG = 3  # carla.CityObjectLabel.Buildings
# What an event names when the static town was hit; CARLA too sends an actor without an id then.
_TOWN: Wire = [0, 0, [0, "static.building", []], bounding_box((0, 0, 0), (0, 0, 0)), bytes([_BUILDING_TAG]), b""]


class Sensor(Actor):
    """A sensor. `is_due` is asked once a tick, `frames` only when it is due and somebody listens."""

    is_server_side = True

    def __init__(self, actor_id: int, description: Description, pose: Pose, world: "World") -> None:
        super().__init__(actor_id, description, pose)
        self.interval = _number(description.attributes, "sensor_tick", 0.0)  # s; 0 = at every tick
        self._waited = math.inf  # s; it measures at its first tick

    def is_due(self, dt: float) -> bool:
        """Whether the sensor measures at the tick that is `dt` seconds after the last one; true at its first."""
        self._waited += dt
        # Sums of 0.05 must reach 0.1 at the second tick.
        if self._waited < self.interval - _ROUNDING_S:
            return False
        over = self._waited - self.interval
        self._waited = over if over < self.interval else 0.0
        return True

    @abstractmethod
    def frames(self, world: "World") -> Iterator[Frame]:
        """What it has to tell about the tick just made."""

    def close(self) -> None:
        """Free what it holds."""

    def _measurement(self, world: "World", kind: wire.SensorType, body: object) -> Frame:
        pose = self.pose
        place = (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)
        return (wire.measurement(kind, world.frame, world.elapsed, place, body),)

    def _owner_wire(self, world: "World") -> Wire:
        return (self.parent or self).wire(world.streams.port)

    @property
    def _owner_id(self) -> int | None:
        return None if self.parent is None else self.parent.id


class LaneInvasionSensor(Sensor):
    """Has no stream: the client does the work."""

    is_server_side = False

    def frames(self, world: "World") -> Iterator[Frame]:
        yield from ()


class CameraSensor(Sensor):
    """RGB, depth or semantic segmentation; it is rendered only while it has a reader."""

    _KINDS: Mapping[str, tuple[CameraKind, wire.SensorType]] = {
        "sensor.camera.rgb": ("rgb", wire.SensorType.RGB),
        "sensor.camera.depth": ("depth", wire.SensorType.DEPTH),
        "sensor.camera.semantic_segmentation": ("semantic", wire.SensorType.SEMANTIC),
    }

    def __init__(self, actor_id: int, description: Description, pose: Pose, world: "World") -> None:
        super().__init__(actor_id, description, pose, world)
        attributes = description.attributes
        self.width = int(_number(attributes, "image_size_x", 800))
        self.height = int(_number(attributes, "image_size_y", 600))
        self.fov_deg = _number(attributes, "fov", 90.0)
        if self.width * self.height > MAX_IMAGE_PIXELS:
            raise RpcError(f"a camera of {self.width}x{self.height} is too large: at most {MAX_IMAGE_PIXELS} pixels")
        cameras = [sensor for sensor in world.sensors if isinstance(sensor, CameraSensor)]
        if len(cameras) >= MAX_CAMERAS:
            raise RpcError(f"there are {MAX_CAMERAS} cameras already: destroy some first")
        taken = sum(camera.width * camera.height for camera in cameras)
        if taken + self.width * self.height > MAX_TOTAL_PIXELS:
            raise RpcError(f"all cameras together can have {MAX_TOTAL_PIXELS} pixels: destroy some, or ask for less")
        kind, self._type = self._KINDS[description.type_id]
        self._studio = world.studio
        self._camera = world.studio.add_camera(kind, self.width, self.height, self.fov_deg)

    def frames(self, world: "World") -> Iterator[Frame]:
        if world.settings.no_rendering:
            return
        pose = self.pose
        picture = self._studio.picture(world, self._camera, pose)
        place = (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)
        header = wire.image(
            self._type, world.frame, world.elapsed, place, self.width, self.height, self.fov_deg, len(picture)
        )
        yield header, picture

    def close(self) -> None:
        self._studio.remove_camera(self._camera)


class CollisionSensor(Sensor):
    """One event for every contact of the actor that it is attached to, at every tick that the contact lasts."""

    def frames(self, world: "World") -> Iterator[Frame]:
        for contact in world.contacts:
            if contact.a_id == self._owner_id:
                other, sign = contact.b_id, 1.0
            elif contact.b_id is not None and contact.b_id == self._owner_id:
                other, sign = contact.a_id, -1.0
            else:
                continue
            impulse = [sign * component for component in contact.impulse]
            body = wire.collision_body(self._owner_wire(world), _met(world, other), impulse)
            yield self._measurement(world, wire.SensorType.COLLISION, body)


class ObstacleSensor(Sensor):
    """An event at every tick at which something is in the way."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, world: "World") -> None:
        super().__init__(actor_id, description, pose, world)
        self._config = measurements.ObstacleConfig.from_attributes(description.attributes)
        if not (0.0 < self._config.distance <= MAX_RAY_M and 0.0 <= self._config.hit_radius <= MAX_RAY_M):
            raise ValueError(f"distance and hit_radius must be positive and at most {MAX_RAY_M} m")

    def frames(self, world: "World") -> Iterator[Frame]:
        hit = measurements.detect_obstacle(self.pose, self._config, world.collisions, world.bodies(), self._owner_id)
        if hit is not None:
            body = wire.obstacle_body(self._owner_wire(world), _met(world, hit.actor_id), hit.distance)
            yield self._measurement(world, wire.SensorType.OBSTACLE, body)


class GnssSensor(Sensor):
    """Latitude, longitude, altitude."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, world: "World") -> None:
        super().__init__(actor_id, description, pose, world)
        self._noise = measurements.GnssNoise.from_attributes(description.attributes)
        self._rng = measurements.noise_generator(_seeded(description.attributes, world.seed))

    def frames(self, world: "World") -> Iterator[Frame]:
        place = measurements.measure_gnss(self.pose, world.geo_reference, self._noise, self._rng)
        yield self._measurement(world, wire.SensorType.GNSS, wire.gnss_body(*place))


class ImuSensor(Sensor):
    """Accelerometer, gyroscope, compass."""

    def __init__(self, actor_id: int, description: Description, pose: Pose, world: "World") -> None:
        super().__init__(actor_id, description, pose, world)
        self._noise = measurements.ImuNoise.from_attributes(description.attributes)
        self._rng = measurements.noise_generator(_seeded(description.attributes, world.seed))

    def frames(self, world: "World") -> Iterator[Frame]:
        motion = (self.parent or self).motion()
        wx, wy, wz, ax, ay, az = motion[9:15]
        read = measurements.measure_imu(self.pose, (ax, ay, az), (wx, wy, wz), self._noise, self._rng)
        body = wire.imu_body(read.accelerometer, read.gyroscope, read.compass)
        yield self._measurement(world, wire.SensorType.IMU, body)


SENSORS: Mapping[str, type[Sensor]] = {
    "sensor.camera.rgb": CameraSensor,
    "sensor.camera.depth": CameraSensor,
    "sensor.camera.semantic_segmentation": CameraSensor,
    "sensor.other.collision": CollisionSensor,
    "sensor.other.lane_invasion": LaneInvasionSensor,
    "sensor.other.obstacle": ObstacleSensor,
    "sensor.other.gnss": GnssSensor,
    "sensor.other.imu": ImuSensor,
}


def _met(world: "World", actor_id: int | None) -> Wire:
    actor = None if actor_id is None else world.actors.get(actor_id)
    return _TOWN if actor is None else actor.wire(world.streams.port)


def _seeded(attributes: Mapping[str, str], seed: int) -> Mapping[str, str]:
    return {"noise_seed": str(seed + int(attributes.get("noise_seed", "0")))}


def _number(attributes: Mapping[str, str], name: str, default: float) -> float:
    return measurements.finite(attributes.get(name, default))
