"""CARLA's radar."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minicarla.limits import MAX_LIDAR_RANGE_M, MAX_RADAR_POINTS_PER_SECOND
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.render.actors import axes
from minicarla.sensors.base import StateSensor
from minicarla.sensors.scene import SceneView
from minicarla.world.attributes import Attributes, integer, positive, seed
from minicarla.world.state import SimulationState

_WIDEST_DEG = 179.0  # beyond it the cone's edge runs to infinity


@dataclass(frozen=True, slots=True)
class RadarConfig:
    """Attributes of `sensor.other.radar`. range: m. horizontal_fov, vertical_fov: deg."""

    horizontal_fov: float
    vertical_fov: float
    range: float
    points_per_second: int

    @classmethod
    def from_attributes(cls, attributes: Attributes) -> "RadarConfig":
        """ValueError, which names the attribute, for one that cannot be."""
        return cls(
            horizontal_fov=positive(attributes, "horizontal_fov", _WIDEST_DEG),
            vertical_fov=positive(attributes, "vertical_fov", _WIDEST_DEG),
            range=positive(attributes, "range", MAX_LIDAR_RANGE_M),
            points_per_second=integer(attributes, "points_per_second", 1, MAX_RADAR_POINTS_PER_SECOND),
        )


def directions(config: RadarConfig, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 3] float64: random rays in a radar's frame, as long as they reach, m.

    ARadar::SendLineTraces: they end in an ellipse at the range, denser towards its middle.
    """
    radius, angle_rad = rng.random((2, count), np.float32).astype(np.float64) * [[1.0], [2.0 * math.pi]]
    half_y, half_z = (
        config.range * math.tan(math.radians(0.5 * fov)) for fov in (config.horizontal_fov, config.vertical_fov)
    )
    return np.stack(
        [np.full(count, config.range), half_y * radius * np.cos(angle_rad), half_z * radius * np.sin(angle_rad)], axis=1
    )


class RadarSensor(StateSensor):
    """simplified: CARLA's random rays in a cone, with relative speeds; they meet plain shapes."""

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, view: SceneView
    ) -> None:
        super().__init__(actor_id, description, pose, state)
        self.config = RadarConfig.from_attributes(description.attributes)
        self._rng = np.random.default_rng(seed(description.attributes, state.seed))
        self._last_place = np.array([pose.x, pose.y, pose.z])
        self._last_time = state.elapsed
        self._view = view

    def frames(self) -> Iterator[Frame]:
        state, pose = self._state, self.pose
        velocity = self._velocity()
        rays = directions(self.config, int(self.config.points_per_second * state.delta), self._rng)
        lengths = np.linalg.norm(rays, axis=1)
        rays /= lengths[:, None]
        stage = self._view.stage(state)
        nearness, faces = self._view.caster.cast(pose, rays, lengths)
        hit = faces >= 0
        rays, faces = rays[hit], faces[hit]
        targets = self._velocities(stage.owners(state.light_ids)[faces])
        # Positive: the distance grows.
        speed = ((targets - velocity) * (rays @ np.array(axes(pose)))).sum(axis=1)
        detections = np.stack(
            [speed, np.arctan2(rays[:, 1], rays[:, 0]), np.arcsin(np.clip(rays[:, 2], -1.0, 1.0)), 1.0 / nearness[hit]],
            axis=1,
        )
        body = detections.astype("<f4").tobytes()
        yield wire.radar(state.frame, state.elapsed, self.place, len(body)), body

    def _velocity(self) -> np.ndarray:
        """[3] m/s in the world, from where it was when it last measured, or was spawned."""
        pose, now = self.pose, self._state.elapsed
        place = np.array([pose.x, pose.y, pose.z])
        moved, passed = place - self._last_place, now - self._last_time
        self._last_place, self._last_time = place, now
        return moved / max(passed, 1e-6)

    def _velocities(self, owners: np.ndarray) -> np.ndarray:
        """[N, 3] m/s in the world, of the actors with these ids; the town stands."""
        ids, place = np.unique(owners, return_inverse=True)
        actors = self._state.actors
        known = [actors[actor_id].motion()[6:9] if actor_id else (0.0, 0.0, 0.0) for actor_id in ids.tolist()]
        return np.array(known, np.float64).reshape(-1, 3)[place]
