"""`carla.VehicleAckermannControl`: speed and steering angle turned into pedals and steering wheel.

Two nested PID loops as in CARLA's AckermannController.cpp (and the carla_ackermann_control ROS package before it): the
speed loop corrects a wanted acceleration, the acceleration loop corrects the pedal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.vehicle_params import VehicleParams

# speed kp, ki, kd, acceleration kp, ki, kd: CARLA's defaults
DEFAULT_SETTINGS = (0.15, 0.0, 0.25, 0.01, 0.0, 0.01)
FULL_STOP_SPEED = 0.1  # m/s, below which a target speed means standing
MAX_ACCEL = 3.0  # m/s^2
MAX_DECEL = 8.0


@dataclass(frozen=True, slots=True)
class AckermannTarget:
    """Angle (rad, right positive), its rate (rad/s, 0 = at once), speed (m/s), acceleration limit (m/s^2, 0 = none)."""

    steer: float
    steer_speed: float
    speed: float
    acceleration: float


@dataclass(slots=True)
class _Pid:
    kp: float
    ki: float
    kd: float
    integral: float = 0.0
    last_error: float = 0.0

    def run(self, error: float, dt: float) -> float:
        self.integral += error * dt
        slope = (error - self.last_error) / dt
        self.last_error = error
        return min(max(self.kp * error + self.ki * self.integral + self.kd * slope, -1.0), 1.0)


@dataclass(slots=True)
class AckermannController:
    """The controller of one vehicle; it drives until a `VehicleControl` is applied again."""

    settings: Sequence[float] = DEFAULT_SETTINGS
    target: AckermannTarget = field(default_factory=lambda: AckermannTarget(0.0, 0.0, 0.0, 0.0))
    _speed: _Pid = field(init=False)
    _accel: _Pid = field(init=False)
    _wanted_accel: float = 0.0
    _pedal: float = 0.0
    _steer_rad: float = 0.0
    _last_speed: float = 0.0

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget errors and integrals; the target and the settings stay."""
        self._speed, self._accel = _Pid(*self.settings[:3]), _Pid(*self.settings[3:6])
        self._wanted_accel = self._pedal = self._steer_rad = self._last_speed = 0.0

    def run(self, state: VehicleState, params: VehicleParams, control: Control, dt: float) -> None:
        """Write the pedals, the gear direction and the steering of the coming step into `control`."""
        target = self.target
        step = target.steer_speed * dt if target.steer_speed > 0.0 else math.inf
        self._steer_rad += min(max(target.steer - self._steer_rad, -step), step)
        control.steer = 0.0
        if params.max_steer > 0.0:  # a client may have taken the steering away
            control.steer = min(max(math.degrees(self._steer_rad) / params.max_steer, -1.0), 1.0)
        control.hand_brake = False
        speed = state.forward_speed
        accel = (speed - self._last_speed) / dt
        self._last_speed = speed
        if abs(target.speed) < FULL_STOP_SPEED and abs(speed) < FULL_STOP_SPEED:
            control.throttle, control.brake = 0.0, 1.0
            self._wanted_accel = self._pedal = 0.0
            return
        if abs(speed) < FULL_STOP_SPEED:
            control.reverse = target.speed < 0.0
        way = -1.0 if control.reverse else 1.0  # in reverse the pedals work backwards
        rise = min(target.acceleration, MAX_ACCEL) if target.acceleration > 0.0 else MAX_ACCEL
        wanted = self._wanted_accel + self._speed.run(way * (target.speed - speed), dt)
        self._wanted_accel = min(max(wanted, -MAX_DECEL), rise)
        pedal = self._pedal + self._accel.run(self._wanted_accel - way * accel, dt)
        self._pedal = min(max(pedal, -1.0), 1.0)
        control.throttle, control.brake = max(self._pedal, 0.0), max(-self._pedal, 0.0)
