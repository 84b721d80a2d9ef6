"""CARLA's two lidars: the directions of a tick's rays, and the points that come back."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minicarla.limits import MAX_LIDAR_CHANNELS, MAX_LIDAR_RANGE_M, MAX_POINTS_PER_SECOND, MAX_TOTAL_POINTS_PER_SECOND
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.render import Fan
from minicarla.render.actors import axes
from minicarla.sensors import returns
from minicarla.sensors.base import StateSensor
from minicarla.sensors.scene import SceneView
from minicarla.world.attributes import Attributes, integer, number, positive, seed
from minicarla.world.state import SimulationState

_MAX_TURNS_PER_S = 1000.0
_NEGLIGIBLE = 1.2e-7  # what CARLA takes for zero: a float's epsilon


@dataclass(frozen=True, slots=True)
class LidarConfig:
    """Attributes of both lidars. range: m. rotation_frequency: Hz. upper_fov, lower_fov, horizontal_fov: deg."""

    channels: int
    range: float
    points_per_second: int
    rotation_frequency: float
    upper_fov: float
    lower_fov: float
    horizontal_fov: float

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "LidarConfig":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            channels=integer(attributes, "channels", 1, MAX_LIDAR_CHANNELS),
            range=positive(attributes, "range", MAX_LIDAR_RANGE_M),
            points_per_second=integer(attributes, "points_per_second", 1, MAX_POINTS_PER_SECOND),
            rotation_frequency=number(attributes, "rotation_frequency", 0.0, _MAX_TURNS_PER_S),
            upper_fov=number(attributes, "upper_fov", -90.0, 90.0),
            lower_fov=number(attributes, "lower_fov", -90.0, 90.0),
            horizontal_fov=positive(attributes, "horizontal_fov", 360.0),
        )


@dataclass(frozen=True, slots=True)
class ReturnConfig:
    """What `sensor.lidar.ray_cast` loses and adds. attenuation: 1/m. noise_stddev: m. The others are shares."""

    attenuation: float
    general_rate: float
    intensity_limit: float
    zero_intensity: float
    noise_stddev: float

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "ReturnConfig":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            attenuation=number(attributes, "atmosphere_attenuation_rate", 0.0),
            general_rate=number(attributes, "dropoff_general_rate", 0.0, 1.0),
            intensity_limit=number(attributes, "dropoff_intensity_limit", 0.0, 1.0),
            zero_intensity=number(attributes, "dropoff_zero_intensity", 0.0, 1.0),
            noise_stddev=number(attributes, "noise_stddev", 0.0),
        )


@dataclass(frozen=True)
class Sweep:
    """The rays of one tick: a fan whose rows and columns are sorted, and where each channel and each point lies in it.

    row_of: [channels] int64. column_of: [points of a channel] int64, in the order in which they are measured.
    """

    fan: Fan
    row_of: np.ndarray
    column_of: np.ndarray


def points_per_channel(config: LidarConfig, dt: float) -> int:
    """How many points each laser measures in `dt` s (ARayCastSemanticLidar::SimulateLidar)."""
    return math.floor(config.points_per_second * dt / config.channels + 0.5)


def sweep(config: LidarConfig, angle_deg: float, dt: float) -> Sweep:
    """The rays of a tick of `dt` s that begins at the horizontal angle `angle_deg` (in [0, horizontal_fov)).

    Channels go from the upper to the lower angle. The k-th of a laser's P points looks to
    (angle + k turned / P) mod fov - fov / 2, positive to the right.
    """
    count = points_per_channel(config, dt)
    turned_deg = config.rotation_frequency * config.horizontal_fov * dt
    azimuth_deg = np.fmod(angle_deg + turned_deg / max(count, 1) * np.arange(count), config.horizontal_fov)
    azimuth_rad = np.deg2rad(azimuth_deg - 0.5 * config.horizontal_fov)
    elevation_rad = np.deg2rad(np.linspace(config.upper_fov, config.lower_fov, config.channels))
    by_azimuth, by_elevation = np.argsort(azimuth_rad, kind="stable"), np.argsort(elevation_rad, kind="stable")
    fan = Fan(elevation_rad[by_elevation], azimuth_rad[by_azimuth])
    return Sweep(fan, np.argsort(by_elevation), np.argsort(by_azimuth))


class _Lidar(StateSensor):
    """What both have in common. `horizontal_angle` is where the next sweep begins, deg."""

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, view: SceneView
    ) -> None:
        super().__init__(actor_id, description, pose, state)
        self.config = LidarConfig.from_attributes(description.attributes)
        others = sum(sensor.config.points_per_second for sensor in state.sensors if isinstance(sensor, _Lidar))
        if others + self.config.points_per_second > MAX_TOTAL_POINTS_PER_SECOND:
            raise RpcError(
                f"all lidars together can have {MAX_TOTAL_POINTS_PER_SECOND} points_per_second: destroy some, or ask "
                "for fewer points"
            )
        self.horizontal_angle = 0.0
        self._view = view

    def _next_sweep(self) -> Sweep:
        dt, fov = self._state.delta, self.config.horizontal_fov
        rays = sweep(self.config, self.horizontal_angle, dt)
        self.horizontal_angle = math.fmod(self.horizontal_angle + self.config.rotation_frequency * fov * dt, fov)
        return rays

    def _frame(self, kind: wire.SensorType, counts: np.ndarray, points: np.ndarray) -> Frame:
        state = self._state
        angle_rad = math.radians(self.horizontal_angle)
        head = wire.lidar(kind, state.frame, state.elapsed, self.place, angle_rad, counts, points.nbytes)
        return head, points.tobytes()


class LidarSensor(_Lidar):
    """simplified: CARLA's formulas for intensity, lost points and noise; the rays meet plain shapes."""

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, view: SceneView
    ) -> None:
        super().__init__(actor_id, description, pose, state, view)
        self._returns = ReturnConfig.from_attributes(description.attributes)
        self._rng = np.random.default_rng(seed(description.attributes, state.seed))

    def frames(self) -> Iterator[Frame]:
        lost, rays = self._returns, self._next_sweep()
        shape = len(rays.row_of), len(rays.column_of)
        self._view.stage(self._state)
        nearness, faces = self._view.caster.cast_fan(self.pose, rays.fan, self.config.range)
        noise = np.empty((0, 0), np.float32)
        if lost.noise_stddev > _NEGLIGIBLE:
            noise = np.float32(lost.noise_stddev) * self._rng.standard_normal(shape, np.float32)
        points, counts = np.empty((shape[0] * shape[1], 4), np.float32), np.empty(shape[0], np.uint32)
        total = returns.lidar_points(
            nearness, faces, rays.fan.elevation_rad, rays.fan.azimuth_rad, rays.row_of, rays.column_of,
            self._rng.random(shape, np.float32), lost.general_rate,
            self._rng.random(shape, np.float32), lost.intensity_limit,
            lost.zero_intensity / max(lost.intensity_limit, _NEGLIGIBLE), 1.0 - lost.zero_intensity,
            lost.attenuation, noise, points, counts,
        )  # fmt: skip
        yield self._frame(wire.SensorType.LIDAR, counts, points[:total])


class SemanticLidarSensor(_Lidar):
    """simplified: angle of incidence, actor and class of every point; the rays meet plain shapes."""

    def frames(self) -> Iterator[Frame]:
        rays = self._next_sweep()
        stage = self._view.stage(self._state)
        nearness, faces = self._view.caster.cast_fan(self.pose, rays.fan, self.config.range)
        size = len(rays.row_of) * len(rays.column_of)
        points, counts = np.empty((size, 6), np.float32), np.empty(len(rays.row_of), np.uint32)
        total = returns.semantic_points(
            nearness, faces, rays.fan.elevation_rad, rays.fan.azimuth_rad, rays.row_of, rays.column_of,
            np.array(axes(self.pose)), stage.normals(), stage.owners(self._state.light_ids), stage.tags,
            points, points.view(np.uint32), counts,
        )  # fmt: skip
        yield self._frame(wire.SensorType.SEMANTIC_LIDAR, counts, points[:total])
