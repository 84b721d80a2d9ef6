"""Casts rays at what is on a stage."""

from dataclasses import dataclass

import numpy as np

from minicarla.maps import Pose
from minicarla.render import rays
from minicarla.render.actors import axes
from minicarla.render.stage import Stage

_STEEPEST = 1e6  # tangent of the steepest elevation there is


@dataclass(frozen=True)
class Fan:
    """Directions of R x C rays in a sensor's frame.

    elevation_rad: [R] in [-pi/2, pi/2], ascending. azimuth_rad: [C] in [-pi, pi], ascending, positive to the right.
    """

    elevation_rad: np.ndarray
    azimuth_rad: np.ndarray


class RayCaster:
    """Finds what rays meet first. What it returns is its own memory, which the next call overwrites."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._found = np.empty((0, *rays.SCRATCH))
        self._ids = np.empty(0, np.int32)
        self._nearness = np.empty(0, np.float32)
        self._faces = np.empty(0, np.int32)
        self._compile()

    def _compile(self) -> None:
        """Casts a few rays, so that no tick has to wait for the compiler."""
        origin = Pose(0.0, 0.0, 1.0)
        self.cast_fan(origin, Fan(np.zeros(1), np.zeros(1)), 1.0)
        self.cast(origin, np.array([[1.0, 0.0, 0.0]]), np.ones(1))

    def cast_fan(self, pose: Pose, fan: Fan, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Casts a fan of rays from `pose`; `reach` is in m.

        Returns:
          nearness: [R, C] float32, 1/m along each ray. faces: [R, C] int32, ids on the stage; `rays.NOTHING` if the ray
          meets nothing within reach.
        """
        count = self._gather(pose, reach)
        rows, columns = len(fan.elevation_rad), len(fan.azimuth_rad)
        if self._nearness.size < rows * columns:
            self._nearness = np.empty(rows * columns, np.float32)
            self._faces = np.empty(rows * columns, np.int32)
        nearness = self._nearness[: rows * columns].reshape(rows, columns)
        faces = self._faces[: rows * columns].reshape(rows, columns)
        rays.scan_fan(
            count, self._found, self._ids, reach,
            np.clip(np.tan(fan.elevation_rad), -_STEEPEST, _STEEPEST), fan.azimuth_rad,
            np.stack([np.cos(fan.elevation_rad), np.sin(fan.elevation_rad)], axis=1),
            np.stack([np.cos(fan.azimuth_rad), np.sin(fan.azimuth_rad)]).astype(np.float32),
            nearness, faces,
        )  # fmt: skip
        return nearness, faces

    def cast(self, pose: Pose, directions: np.ndarray, reaches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Casts single rays: directions [N, 3] float64, unit vectors in the frame of `pose`; reaches [N] float64, m.

        Returns:
          nearness: [N] float64, 1/m. faces: [N] int32, as of `cast_fan`.
        """
        count = self._gather(pose, float(reaches.max(initial=0.0)))
        nearness, faces = np.empty(len(directions)), np.empty(len(directions), np.int32)
        rays.scan_list(count, self._found, self._ids, directions, reaches, nearness, faces)
        return nearness, faces

    def _gather(self, pose: Pose, reach: float) -> int:
        scene, library, placed = self._stage.scene, self._stage.library, self._stage.actors
        if self._stage.face_count > len(self._ids):
            room = 2 * self._stage.face_count
            self._found, self._ids = np.empty((room, *rays.SCRATCH)), np.empty(room, np.int32)
        eye = np.array([pose.x, pose.y, pose.z])
        turn = np.array(axes(pose))
        to_sensor = np.column_stack([turn, -turn @ eye])
        count = rays.gather_town(
            scene.mesh.corners, self._stage.planes, scene.chunk_start, scene.chunk_ball,
            eye, to_sensor, reach, self._found, self._ids,
        )  # fmt: skip
        return rays.gather_actors(
            library.corners, library.materials, library.start,
            placed.mesh, placed.to_world, placed.radius, placed.first_face,
            eye, to_sensor, reach, self._found, self._ids, count,
        )  # fmt: skip
