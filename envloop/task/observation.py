"""What the policy sees: a stack of four frames, and a vector of plain numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from envloop.errors import TaskError
from envloop.task.commands import COMMANDS, Turn, command_at, one_hot
from envloop.task.route import Projection, Route, wrap_degrees

STACK = 4
ACCEL_SCALE = 10.0  # m/s^2; about what the tyres hold


@dataclass(frozen=True, slots=True)
class EgoState:
    """The car at one tick, plain numbers in CARLA's world frame: m, deg (clockwise), m/s, m/s^2."""

    x: float
    y: float
    z: float = 0.0
    yaw_deg: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    ax: float = 0.0
    ay: float = 0.0

    @property
    def speed_mps(self) -> float:
        """Ground speed, m/s, never negative."""
        return math.hypot(self.vx, self.vy)

    @property
    def lateral_accel(self) -> float:
        """Acceleration across the body, m/s^2, right positive."""
        yaw_rad = math.radians(self.yaw_deg)
        return self.ay * math.cos(yaw_rad) - self.ax * math.sin(yaw_rad)

    @property
    def forward_accel(self) -> float:
        """Acceleration along the body, m/s^2, forward positive."""
        yaw_rad = math.radians(self.yaw_deg)
        return self.ax * math.cos(yaw_rad) + self.ay * math.sin(yaw_rad)


@dataclass(frozen=True, slots=True)
class VectorConfig:
    """Layout and scales of the vector observation.

    The scales are such that what steers the car is not lost beside the encoder's 50 features in [-1, 1]. Ten points
    2.5 m apart reach 25 m: more than the 21 m that a car at 30 km/h needs to stop (half a second of delay, 4.2 m, then
    17.4 m at 2 m/s^2), and long enough to hold a whole junction turn (10 m) together with its 14 m run-up.

    Attributes:
      points: of the route ahead, as seen from the car.
      spacing_m: between two of them along the route, m.
      speed_scale: speed, m/s, that is shown as 1.
      lateral_scale: distance from the route, m, that is shown as 1.
      point_scale: distance of a point, m, that is shown as 1.
      guidance: "points" of the route ahead, or the "command" of a navigator (`task.commands`), as NoCrash has it: the
        vector is then the speed and a one-hot of `COMMANDS`, and where the lane and the route are is for the camera.
      actuators: append the last action (steer, accel) and the measured acceleration along and across the car, each
        / `ACCEL_SCALE`: pedals and wheel follow an action late, and what they do now is not in the rest.
    """

    points: int = 10
    spacing_m: float = 2.5
    speed_scale: float = 10.0
    lateral_scale: float = 1.5
    point_scale: float = 25.0
    guidance: Literal["points", "command"] = field(default="points", metadata={"before": "points"})
    actuators: bool = field(default=False, metadata={"before": False})

    def __post_init__(self) -> None:
        if self.points < 1:
            raise TaskError(f"vector.points is {self.points}; it must be at least 1.")
        for name in ("spacing_m", "speed_scale", "lateral_scale", "point_scale"):
            if not getattr(self, name) > 0.0:
                raise TaskError(f"vector.{name} is {getattr(self, name):g}; it must be positive.")
        if self.guidance not in ("points", "command"):
            raise TaskError(f"vector.guidance is {self.guidance!r}; choose 'points' or 'command'.")

    @property
    def size(self) -> int:
        """Length of the vector: 23 for 10 points, 53 for 25, 5 for the command, and 4 more with the actuators."""
        return self._guided + (4 if self.actuators else 0)

    @property
    def _guided(self) -> int:
        return 3 + 2 * self.points if self.guidance == "points" else 1 + len(COMMANDS)


def heading_error_deg(ego: EgoState, projection: Projection) -> float:
    """The car's yaw less the route's tangent, deg in (-180, 180]; positive when it points to the right of the route."""
    return wrap_degrees(ego.yaw_deg - projection.heading_deg)


def vector_observation(
    ego: EgoState,
    projection: Projection,
    route: Route,
    config: VectorConfig,
    action: tuple[float, float] = (0.0, 0.0),
    turns: Sequence[Turn] = (),
) -> NDArray[np.float32]:
    """[config.size] float32: the speed and where the route leads, all divided by the config's scales.

    With guidance by points: speed, signed lateral deviation, heading error / pi, then the points ahead in the ego
    frame, (x forward, y right) pairs, nearest first. By command: speed, then the one-hot of the next of `turns`. With
    the config's actuators also the last action and the acceleration along and across the car.
    """
    vector = np.empty(config.size, dtype=np.float32)
    vector[0] = ego.speed_mps / config.speed_scale
    end = len(vector) - (4 if config.actuators else 0)
    if config.guidance == "command":
        vector[1:end] = one_hot(command_at(turns, projection.s))
    else:
        vector[1] = projection.lateral / config.lateral_scale
        vector[2] = heading_error_deg(ego, projection) / 180.0
        vector[3:end:2], vector[4:end:2] = _points_ahead(ego, projection, route, config)
    if config.actuators:
        felt = ego.forward_accel / ACCEL_SCALE, ego.lateral_accel / ACCEL_SCALE
        # A launched car's first acceleration is the launch's, and an impact's has no bound.
        vector[end:] = (*action, *(min(max(part, -1.0), 1.0) for part in felt))
    return vector


def _points_ahead(
    ego: EgoState, projection: Projection, route: Route, config: VectorConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[points] x forward, [points] y right, / point_scale."""
    yaw_rad = math.radians(ego.yaw_deg)
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    ahead = route.points_ahead(projection.s, config.points, config.spacing_m)  # [points, 2]
    dx, dy = ahead[:, 0] - ego.x, ahead[:, 1] - ego.y
    return (dx * cos + dy * sin) / config.point_scale, (dy * cos - dx * sin) / config.point_scale


class FrameStack:
    """The last four frames, oldest first. The first real frame is repeated, so no blank picture is ever seen."""

    def __init__(self, depth: int = STACK) -> None:
        if depth < 1:
            raise ValueError(f"A frame stack needs a depth of at least 1, not {depth}.")
        self._depth = depth
        self._frames: list[NDArray[np.uint8]] = []

    def reset(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Start an episode with `frame` [84, 84]; returns [depth, 84, 84]."""
        self._frames = [frame] * self._depth
        return np.array(self._frames)

    def push(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Append `frame` [84, 84], drop the oldest; returns a fresh [depth, 84, 84] that later pushes leave alone."""
        if not self._frames:
            return self.reset(frame)
        self._frames = [*self._frames[1:], frame]
        return np.array(self._frames)
