"""A route follower without learning: PID on speed, pure pursuit on the route. The baseline to beat."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envloop.task.observation import EgoState
from envloop.task.route import Projection, Route


@dataclass(frozen=True, slots=True)
class DriverConfig:
    """Gains of the PID on speed, and the look-ahead of pure pursuit: max(`lookahead_min_m`, `lookahead_s` * speed).

    They are those of the PyTorch system that this project reimplements, so that the baselines compare. The wheelbase is
    3 m and full lock 70 deg (CARLA's Tesla Model 3). `stop_gap_m` and `braking` shape the approach to an obstacle:
    v = sqrt(2 * braking * (gap - stop_gap)).
    """

    kp: float = 0.50
    ki: float = 0.30
    kd: float = 0.13
    integral_max: float = 10.0
    lookahead_min_m: float = 6.0
    lookahead_s: float = 0.8
    wheelbase_m: float = 3.0
    max_steer_deg: float = 70.0
    stop_gap_m: float = 4.0
    braking: float = 3.0


class RouteFollower:
    """PID + pure pursuit (Coulter 1992, CMU-RI-TR-92-01). Holds the PID's integrator: `reset` it between episodes."""

    def __init__(self, config: DriverConfig | None = None) -> None:
        self._config = config or DriverConfig()
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self._integral = 0.0
        self._last_error: float | None = None

    def act(
        self,
        ego: EgoState,
        route: Route,
        projection: Projection,
        target_mps: float,
        dt_s: float,
        gap_m: float = math.inf,
    ) -> NDArray[np.float32]:
        """[2] float32 in [-1, 1]: steer (right positive), then throttle (> 0) or brake (<= 0).

        Args:
          target_mps: speed to hold where the car is, usually the route's legal speed.
          dt_s: time since the last call, s.
          gap_m: free distance to an obstacle ahead on the route, m.
        """
        allowed = math.sqrt(2.0 * self._config.braking * max(0.0, gap_m - self._config.stop_gap_m))
        steer = pure_pursuit(ego, route, projection, self._config)
        return np.array([steer, self._accelerate(min(target_mps, allowed) - ego.speed_mps, dt_s)], dtype=np.float32)

    def _accelerate(self, error_mps: float, dt_s: float) -> float:
        config = self._config
        slope = 0.0 if self._last_error is None else (error_mps - self._last_error) / dt_s
        self._last_error = error_mps
        direct = config.kp * error_mps + config.kd * slope
        # At full throttle the integral would only wind up and overshoot the limit.
        if direct + config.ki * self._integral < 1.0 or error_mps < 0.0:
            self._integral = min(max(self._integral + error_mps * dt_s, 0.0), config.integral_max)
        return min(max(direct + config.ki * self._integral, -1.0), 1.0)


def pure_pursuit(ego: EgoState, route: Route, projection: Projection, config: DriverConfig) -> float:
    """Steering in [-1, 1] towards the route point one look-ahead away: tan(delta) = 2 L sin(alpha) / distance."""
    lookahead = max(config.lookahead_min_m, config.lookahead_s * ego.speed_mps)
    x, y, _ = route.point_at(projection.s + lookahead)
    alpha = math.atan2(y - ego.y, x - ego.x) - math.radians(ego.yaw_deg)
    delta = math.atan2(2.0 * config.wheelbase_m * math.sin(alpha), math.hypot(x - ego.x, y - ego.y))
    return min(max(math.degrees(delta) / config.max_steer_deg, -1.0), 1.0)
