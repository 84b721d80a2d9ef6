"""IMU, GNSS and obstacle measurements as functions of states, in CARLA's conventions.

Compared with CARLA's AInertialMeasurementUnit, AGnssSensor, AObstacleDetectionSensor and with the 0.9.16 client's
`Map.transform_to_geolocation`, which is the same code.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minicarla.geometry.types import Pose
from minicarla.limits import MAX_MAGNITUDE, MAX_RAY_M
from minicarla.physics.collision import Body, CollisionWorld, RayHit
from minicarla.protocol.rpc_types import finite
from minicarla.world.attributes import Attributes, boolean, number, positive

GRAVITY = 9.81  # m/s^2, as CARLA's IMU has it
EARTH_RADIUS = 6378137.0  # m, equatorial
MAX_EAST = 20.0  # Earth radii
MERCATOR_SCALE = 0.9996  # of CARLA's transverse Mercator, whatever the map's +k says

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class GeoReference:
    """Latitude and longitude of the map's origin, deg. The defaults are CARLA's for a map that does not say."""

    latitude: float = 42.0
    longitude: float = 2.0


@dataclass(frozen=True, slots=True)
class ImuNoise:
    """Noise attributes of `sensor.other.imu`: standard deviations per axis (m/s^2, rad/s) and the gyroscope's bias."""

    accel_stddev: Vector = (0.0, 0.0, 0.0)
    gyro_stddev: Vector = (0.0, 0.0, 0.0)
    gyro_bias: Vector = (0.0, 0.0, 0.0)

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "ImuNoise":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            accel_stddev=_numbers(attributes, [f"noise_accel_stddev_{axis}" for axis in "xyz"], 0.0),
            gyro_stddev=_numbers(attributes, [f"noise_gyro_stddev_{axis}" for axis in "xyz"], 0.0),
            gyro_bias=_numbers(attributes, [f"noise_gyro_bias_{axis}" for axis in "xyz"]),
        )


@dataclass(frozen=True, slots=True)
class GnssNoise:
    """Noise attributes of `sensor.other.gnss`: deviation and bias of latitude, longitude (deg) and altitude (m)."""

    stddev: Vector = (0.0, 0.0, 0.0)
    bias: Vector = (0.0, 0.0, 0.0)

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "GnssNoise":
        """ValueError, which names the attribute, for one that cannot be."""
        names = ("lat", "lon", "alt")
        return cls(
            stddev=_numbers(attributes, [f"noise_{name}_stddev" for name in names], 0.0),
            bias=_numbers(attributes, [f"noise_{name}_bias" for name in names]),
        )


@dataclass(frozen=True, slots=True)
class ImuMeasurement:
    """Accelerometer (m/s^2, with gravity) and gyroscope (rad/s) in the sensor's frame; compass (rad, 0 = north)."""

    accelerometer: Vector
    gyroscope: Vector
    compass: float


def to_local(vector: Vector, pitch: float, yaw: float, roll: float) -> Vector:
    """A world vector in the frame of a body with these angles (deg; Unreal's convention, positive pitch is nose up)."""
    x, y, z = vector
    pitch_rad, yaw_rad, roll_rad = math.radians(pitch), math.radians(yaw), math.radians(roll)
    cp, sp = math.cos(pitch_rad), math.sin(pitch_rad)
    cy, sy = math.cos(yaw_rad), math.sin(yaw_rad)
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    return (
        x * cp * cy + y * cp * sy + z * sp,
        x * (cy * sp * sr - sy * cr) + y * (sy * sp * sr + cy * cr) - z * cp * sr,
        x * -(cy * sp * cr + sy * sr) + y * (cy * sr - sy * sp * cr) + z * cp * cr,
    )


def forward_vector(pose: Pose) -> Vector:
    """Unit vector along a pose's x axis."""
    pitch_rad, yaw_rad = math.radians(pose.pitch), math.radians(pose.yaw)
    flat = math.cos(pitch_rad)
    return flat * math.cos(yaw_rad), flat * math.sin(yaw_rad), math.sin(pitch_rad)


def measure_imu(
    pose: Pose, acceleration: Vector, angular_velocity: Vector, noise: ImuNoise, rng: np.random.Generator
) -> ImuMeasurement:
    """What an IMU at `pose` reads.

    Args:
      pose: the sensor's, in the world.
      acceleration: of its vehicle, world frame, m/s^2 (a sensor off the centre feels the same here).
      angular_velocity: of its vehicle, world frame, deg/s.
      noise: added to both; drawn from `rng`, six normals a call.
    """
    ax, ay, az = acceleration
    accelerometer = to_local((ax, ay, az + GRAVITY), pose.pitch, pose.yaw, pose.roll)
    wx, wy, wz = angular_velocity
    spin = (math.radians(wx), math.radians(wy), math.radians(wz))
    gyroscope = to_local(spin, pose.pitch, pose.yaw, pose.roll)
    draws = rng.standard_normal(6).tolist()
    return ImuMeasurement(
        accelerometer=_noisy(accelerometer, noise.accel_stddev, (0.0, 0.0, 0.0), draws[:3]),
        gyroscope=_noisy(gyroscope, noise.gyro_stddev, noise.gyro_bias, draws[3:]),
        compass=compass(pose),
    )


def compass(pose: Pose) -> float:
    """Heading clockwise from north (-y), rad in [0, 2 pi)."""
    return math.radians((pose.yaw + 90.0) % 360.0)


def parse_geo_reference(xodr: str) -> GeoReference:
    """The origin that an OpenDRIVE text's <geoReference> names (+lat_0, +lon_0), or CARLA's default without one."""
    block = re.search(r"<geoReference>(.*?)</geoReference>", xodr, re.DOTALL)
    if block is None:
        return GeoReference()
    latitude = re.search(r"\+lat_0=(\S+)", block[1])
    longitude = re.search(r"\+lon_0=([^\s\]]+)", block[1])
    if latitude is None or longitude is None:
        return GeoReference()
    try:
        return GeoReference(finite(latitude[1]), finite(longitude[1]))
    except ValueError:
        return GeoReference()


def geolocate(x: float, y: float, z: float, reference: GeoReference) -> Vector:
    """Latitude, longitude (deg) and altitude (m) of a world location.

    Inverse transverse Mercator on a sphere (Snyder 1987, Map Projections, eq. 8-6 and 8-7) with y as northing: on CARLA
    0.9.16 latitude grows with y (carla-simulator/carla#9552), and clients that convert back expect it.
    """
    scale = MERCATOR_SCALE * EARTH_RADIUS
    # No map is that large, but what drives on for ever gets there, and cosh ends at 710.
    east = min(max(x / scale, -MAX_EAST), MAX_EAST)
    north = y / scale + math.radians(reference.latitude)
    latitude = math.asin(math.sin(north) / math.cosh(east))
    longitude = math.atan2(math.sinh(east), math.cos(north))
    return math.degrees(latitude), reference.longitude + math.degrees(longitude), z


def measure_gnss(pose: Pose, reference: GeoReference, noise: GnssNoise, rng: np.random.Generator) -> Vector:
    """Latitude, longitude (deg), altitude (m) that a GNSS receiver at `pose` reads; three normals drawn a call."""
    exact = geolocate(pose.x, pose.y, pose.z, reference)
    return _noisy(exact, noise.stddev, noise.bias, rng.standard_normal(3).tolist())


@dataclass(frozen=True, slots=True)
class ObstacleConfig:
    """Attributes of `sensor.other.obstacle`: how far (m) a sphere of `hit_radius` (m) is sent forward, and at what."""

    distance: float = 5.0
    hit_radius: float = 0.5
    only_dynamics: bool = False

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "ObstacleConfig":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            distance=positive(attributes, "distance", MAX_RAY_M),
            hit_radius=number(attributes, "hit_radius", 0.0, MAX_RAY_M),
            only_dynamics=boolean(attributes, "only_dynamics"),
        )


def detect_obstacle(
    pose: Pose, config: ObstacleConfig, collisions: CollisionWorld, bodies: Iterable[Body], owner: int | None
) -> RayHit | None:
    """What the sensor's sphere meets first on its way along the sensor's x axis; the actor `owner` is transparent."""
    return collisions.raycast(
        (pose.x, pose.y, pose.z),
        forward_vector(pose),
        config.distance,
        bodies,
        radius=config.hit_radius,
        ignore=owner,
        only_dynamic=config.only_dynamics,
    )


def _noisy(exact: Vector, stddev: Vector, bias: Vector, draws: list[float]) -> Vector:
    x, y, z = (value + b + s * n for value, b, s, n in zip(exact, bias, stddev, draws, strict=True))
    return x, y, z


def _numbers(attributes: Attributes, names: list[str], low: float = -MAX_MAGNITUDE) -> Vector:
    x, y, z = (number(attributes, name, low) for name in names)
    return x, y, z
