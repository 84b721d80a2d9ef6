"""Places on route 0 of Town01, actors, and the pinhole formula that pictures are checked against."""

import dataclasses
import math

import carla
import numpy as np

from minicarla.maps import Pose
from minicarla.render import Renderer, VisualActor, Weather

Seen = tuple[VisualActor, Pose]

MODEL3 = (2.396, 1.081, 0.744)
START = Pose(317.74, 129.49, 0.0, yaw=180.0)
MIDDLE = Pose(200.0, 129.49, 0.0, yaw=180.0)
NORTHBOUND = Pose(92.34, 110.0, 0.0, yaw=-90.0)


def car(
    pose: Pose,
    actor_id: int = 1,
    blueprint: str = "vehicle.tesla.model3",
    extent: tuple[float, float, float] = MODEL3,
    colour: tuple[int, int, int] = (180, 30, 30),
) -> Seen:
    return VisualActor(actor_id, blueprint, extent, colour), pose


def shown(renderer: Renderer, seen: list[Seen], weather: Weather, light_states: dict[str, int]) -> None:
    """`Renderer.update` with what is seen where it is."""
    places = np.array([dataclasses.astuple(pose) for _, pose in seen], np.float64).reshape(-1, 6)
    renderer.update([actor for actor, _ in seen], places, weather, light_states)


def moved(pose: Pose, forward: float = 0.0, right: float = 0.0, up: float = 0.0) -> Pose:
    """The pose shifted along its own level axes, m."""
    yaw_rad = math.radians(pose.yaw)
    x = pose.x + forward * math.cos(yaw_rad) - right * math.sin(yaw_rad)
    y = pose.y + forward * math.sin(yaw_rad) + right * math.cos(yaw_rad)
    return Pose(x, y, pose.z + up, pose.pitch, pose.yaw, pose.roll)


def front_camera(vehicle: Pose) -> Pose:
    """Where the task's camera is on a vehicle."""
    return moved(vehicle, forward=1.6, up=1.5)


def pixel_of(
    point: tuple[float, float, float], camera: Pose, width: int = 256, height: int = 144, fov_deg: float = 90.0
) -> tuple[float, float, float]:
    """Column, row and depth (m) of a world point, by CARLA's transform and K=[[f, 0, W/2], [0, f, H/2], [0, 0, 1]]."""
    transform = carla.Transform(
        carla.Location(camera.x, camera.y, camera.z), carla.Rotation(camera.pitch, camera.yaw, camera.roll)
    )
    forward, right, up, _ = np.array(transform.get_inverse_matrix()) @ (*point, 1.0)
    focal = width / (2.0 * math.tan(math.radians(fov_deg) / 2.0))
    return width / 2 + focal * right / forward, height / 2 - focal * up / forward, float(forward)
