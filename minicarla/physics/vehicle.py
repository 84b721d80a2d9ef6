"""Vehicle dynamics: a single-track (bicycle) model with ideal rolling up to the tyres' grip, and sliding beyond it.

In grip the car is the kinematic bicycle of Rajamani (Vehicle Dynamics and Control, 2nd ed., sec. 2.2) about its centre
of mass, which lies mid-wheelbase. The tyres supply at most `grip` m/s^2 (friction circle): a faster turn runs wide
(understeer), and what a collision leaves of lateral speed and spin is rubbed off at that rate. Rolling does no work, so
kinetic energy never grows without throttle. Here a car on its wheels is level; `hills` has what slopes add.

Step size: any; longer steps than 0.05 s are split. The functions work on one vehicle, and are compiled into the loops
over all of them at the end.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from minicarla.limits import MAX_SPEED, MAX_SPIN_DEG_S
from minicarla.numba_cache import CACHE
from minicarla.physics.gearbox import change_gear
from minicarla.physics.rows import Control, Drive, VehicleState
from minicarla.physics.vehicle_params import VehicleParams

GRAVITY = 9.81  # m/s^2
ROLLING_RESISTANCE = 0.012 * GRAVITY  # m/s^2; car tyres on asphalt, Gillespie, Fundamentals of Vehicle Dynamics, ch. 4

# Per second, of the full range: UWheeledVehicleMovementComponent's input rates (rise, fall), kept by CARLA's vehicles.
THROTTLE_RATE = (6.0, 10.0)
BRAKE_RATE = (6.0, 10.0)
STEERING_RATE = (2.5, 5.0)

YAW_LAG_S = 0.06  # tyre relaxation and body inertia, estimated
FRONT_GRIP = 0.95  # the front axle saturates first: understeer
MIN_SIDE_GRIP = 0.3  # part of the grip that is left sideways under full braking: anti-lock brakes, estimated
SUSPENSION_TRAVEL = 0.05  # m above the ground at which the wheels still touch it
REST = 0.005  # m/s and rad/s below which a car without throttle stands
MAX_SUBSTEP_S = 0.05


def halt(state: VehicleState) -> None:
    """Zeroes every motion, and the lagging pedals and steering with it: the state of a car just spawned."""
    state.vx = state.vy = state.vz = state.yaw_rate = 0.0
    state.ax = state.ay = state.az = 0.0
    state.steer = state.throttle_input = state.brake_input = state.steer_input = 0.0


def set_velocity(state: VehicleState, vx: float, vy: float, vz: float = 0.0) -> None:
    """`Actor.set_target_velocity`: replaces the world velocity once; the tyres take over from there."""
    state.vx, state.vy, state.vz = vx, vy, vz


@register_jitable
def apply_impulse(state: VehicleState, params: VehicleParams, jx: float, jy: float, jz: float = 0.0) -> None:
    """`Actor.add_impulse` at the centre of mass, N*s in the world frame."""
    state.vx += jx / params.mass
    state.vy += jy / params.mass
    state.vz += jz / params.mass


@register_jitable
def spun(yaw_rate: float, params: VehicleParams, angular_impulse: float) -> float:
    """Deg/s after an angular impulse about the vertical axis, N m s."""
    inertia = params.mass * params.gyration_sq
    changed = yaw_rate + math.degrees(angular_impulse / inertia)
    return min(max(changed, -MAX_SPIN_DEG_S), MAX_SPIN_DEG_S)


@register_jitable
def steering_factor(curve: tuple[tuple[float, float], ...], speed_kmh: float) -> float:
    """Part of the largest wheel angle that the steering gives at a speed; linear between the curve's points."""
    last_speed, last_factor = curve[0][0], curve[0][1]
    if speed_kmh <= last_speed:
        return last_factor
    for number in range(1, len(curve)):
        speed, factor = curve[number][0], curve[number][1]
        if speed_kmh < speed:
            return last_factor + (factor - last_factor) * (speed_kmh - last_speed) / (speed - last_speed)
        last_speed, last_factor = speed, factor
    return last_factor


@register_jitable
def path_curvature(steer_rad: float, params: VehicleParams) -> float:
    """Curvature of the rear axle's path, 1/m, for an inner front wheel at `steer_rad` (Ackermann geometry)."""
    tangent = math.tan(steer_rad)
    return tangent / (params.wheelbase + 0.5 * params.track * abs(tangent))


@register_jitable
def step_vehicle(
    state: VehicleState, control: Control, params: VehicleParams, dt: float, ground_z: float = 0.0
) -> None:
    """Advances `state` by `dt` seconds in place.

    Args:
      state: its acceleration becomes the step's velocity change over `dt`, as CARLA's snapshot has it.
      control: values out of range are clamped, NaN counts as 0.
      params: the vehicle's.
      dt: s, > 0.
      ground_z: height of the road under the vehicle, m; a vehicle above it falls, without grip, until it touches.
    """
    step_by(_substep, state, control, params, dt, ground_z)


@register_jitable
def step_by(
    substep: Callable[..., None], state: VehicleState, control: Control, params: VehicleParams, dt: float, ground: Any
) -> None:
    """A step of `dt` s, made of as many `substep`s on the `ground` as its length asks for."""
    if not state.simulate_physics:
        state.vx = state.vy = state.vz = state.yaw_rate = 0.0
        state.ax = state.ay = state.az = 0.0
        return
    vx, vy, vz = state.vx, state.vy, state.vz
    steps = 1 if dt <= MAX_SUBSTEP_S else math.ceil(dt / MAX_SUBSTEP_S - 1e-9)
    for _ in range(steps):
        substep(state, control, params, dt / steps, ground)
    state.ax = (state.vx - vx) / dt
    state.ay = (state.vy - vy) / dt
    state.az = (state.vz - vz) / dt


@register_jitable
def _substep(state: VehicleState, control: Control, params: VehicleParams, dt: float, ground_z: float) -> None:
    follow_control(state, control, dt)
    vx, vy, yaw_rate = state.vx, state.vy, state.yaw_rate
    if state.z - ground_z > SUSPENSION_TRAVEL or state.vz > 0.0:
        _fly(state, dt, ground_z)
        return
    state.z = ground_z
    state.vz = state.pitch = state.roll = 0.0
    throttle = state.throttle_input
    if throttle == 0.0 and vx == 0.0 and vy == 0.0 and yaw_rate == 0.0 and not state.holds_velocity:
        state.steer = state.steer_input * params.max_steer * params.steering_curve[0][1]
        return
    yaw_rad = math.radians(state.yaw)
    cos_yaw, sin_yaw = math.cos(yaw_rad), math.sin(yaw_rad)
    forward = vx * cos_yaw + vy * sin_yaw
    side = vy * cos_yaw - vx * sin_yaw
    steer_rad = math.radians(
        state.steer_input * params.max_steer * steering_factor(params.steering_curve, abs(forward) * 3.6)
    )
    state.steer = math.degrees(steer_rad)
    forward, tyre_accel = longitudinal(forward, throttle, state.brake_input, control, params, dt)
    forward, side, yaw_rate_rad, turned_rad = lateral(
        forward, side, math.radians(yaw_rate), path_curvature(steer_rad, params), tyre_accel, params, dt
    )
    if state.holds_velocity:
        forward, side = state.held_forward, state.held_right
    elif throttle == 0.0 and max(abs(forward), abs(side), abs(yaw_rate_rad)) < REST:
        forward = side = yaw_rate_rad = 0.0
    yaw_rad += turned_rad
    cos_yaw, sin_yaw = math.cos(yaw_rad), math.sin(yaw_rad)
    state.vx = forward * cos_yaw - side * sin_yaw
    state.vy = forward * sin_yaw + side * cos_yaw
    state.x += 0.5 * (vx + state.vx) * dt
    state.y += 0.5 * (vy + state.vy) * dt
    state.yaw = wrap_degrees(math.degrees(yaw_rad))
    state.yaw_rate = math.degrees(yaw_rate_rad)


@register_jitable
def release(control: Control, drive: Drive) -> None:
    """Nothing pressed, the wheel straight, forward."""
    control.throttle = control.steer = control.brake = 0.0
    control.hand_brake = control.reverse = drive.manual_gear = False
    control.hand_gear = 1.0


@register_jitable
def follow_control(state: VehicleState, control: Control, dt: float) -> None:
    """Moves pedals and steering towards what is commanded, as fast as they go."""
    state.throttle_input = _approach(state.throttle_input, _clamp_unit(control.throttle), THROTTLE_RATE, dt)
    state.brake_input = _approach(state.brake_input, _clamp_unit(control.brake), BRAKE_RATE, dt)
    target = _clamp_unit(control.steer) if control.steer >= 0.0 else -_clamp_unit(-control.steer)
    if target != state.steer_input:
        state.steer_input = _approach_signed(state.steer_input, target, STEERING_RATE, dt)


@register_jitable
def longitudinal(
    forward: float,
    throttle: float,
    brake: float,
    control: Control,
    params: VehicleParams,
    dt: float,
    pull: float = 0.0,
) -> tuple[float, float]:
    """Speed along the body after drive, brakes and drag; and what of that the tyres give, m/s^2, signed.

    `pull` is what gravity adds along the body, m/s^2.
    """
    speed = abs(forward)
    drive = 0.0
    if throttle > 0.0 and not control.hand_brake:
        drive = min(params.launch_accel * control.hand_gear, params.grip)
        momentum = params.mass * speed + params.slip_loss + 1e-6
        if momentum > 0.0:
            drive = min(drive, params.power / momentum)
        drive *= throttle
        if control.reverse:
            drive = -drive
    braking = min(brake * params.brake_decel + (1.0 - throttle) * params.engine_drag * speed, params.brake_decel)
    if control.hand_brake:
        braking += params.handbrake_decel
    braking = min(braking, params.grip)
    drag = min(ROLLING_RESISTANCE, params.grip) + params.aero * speed * speed
    driven = forward + (drive + pull) * dt
    loss = (braking + drag) * dt
    # Brakes and drag hold a standing car, they never drive it backwards.
    if abs(driven) <= loss:
        return 0.0, -forward / dt - pull
    return driven - math.copysign(loss, driven), drive - math.copysign(braking, driven)


@register_jitable
def lateral(
    forward: float,
    side: float,
    yaw_rate_rad: float,
    curvature: float,
    tyre_accel: float,
    params: VehicleParams,
    dt: float,
) -> tuple[float, float, float, float]:
    """What steering and side forces make of the velocity in one step.

    Between coasting (velocity and spin stay) and ideal rolling on the path that the wheels ask for, as far towards the
    latter as the friction circle allows. Neither end has more kinetic energy than the start, and energy is convex: so
    what comes out has no more either.

    Args:
      forward, side: velocity in the body frame, m/s.
      curvature: of the path that the wheels ask for, 1/m.
      tyre_accel: what the tyres already give lengthwise, m/s^2.

    Returns:
      forward, side in the turned body frame, yaw rate (rad/s), angle turned (rad).
    """
    gyration_sq, half_wheelbase = params.gyration_sq, 0.5 * params.wheelbase
    used_sq = tyre_accel * tyre_accel
    free_sq = max(params.grip * params.grip - used_sq, (MIN_SIDE_GRIP * params.grip) ** 2)
    side_grip = math.sqrt(free_sq)
    wanted = forward * curvature
    if abs(wanted * forward) > FRONT_GRIP * side_grip:
        wanted = math.copysign(FRONT_GRIP * side_grip / abs(forward), wanted)
    spin_limit = 0.5 * side_grip * half_wheelbase / gyration_sq * dt  # one axle, half of the weight
    spin = max(-spin_limit, min(spin_limit, (wanted - yaw_rate_rad) * dt / (YAW_LAG_S + dt)))
    rolling_rate = yaw_rate_rad + spin
    turned = 0.5 * (yaw_rate_rad + rolling_rate) * dt
    cos_turn, sin_turn = math.cos(turned), math.sin(turned)
    coasting_forward = forward * cos_turn + side * sin_turn
    coasting_side = side * cos_turn - forward * sin_turn

    rolling_side = rolling_rate * half_wheelbase  # the rear axle does not slip
    energy = forward * forward + side * side + gyration_sq * yaw_rate_rad * yaw_rate_rad
    rest = energy - rolling_side * rolling_side - gyration_sq * rolling_rate * rolling_rate
    if rest < 0.0:
        scale = math.sqrt(energy / (energy - rest))
        rolling_side, rolling_rate, rest = rolling_side * scale, rolling_rate * scale, 0.0
    rolling_forward = math.copysign(min(abs(forward), math.sqrt(rest)), forward)

    along, across = (rolling_forward - coasting_forward) / dt, (rolling_side - coasting_side) / dt
    share = _grip_share(along, across, tyre_accel, free_sq)
    return (
        coasting_forward + share * along * dt,
        coasting_side + share * across * dt,
        yaw_rate_rad + share * (rolling_rate - yaw_rate_rad),
        turned,
    )


@register_jitable
def _grip_share(along: float, across: float, tyre_accel: float, free_sq: float) -> float:
    """The part (at most 1) of an acceleration (along, across) that fits the friction circle beside `tyre_accel` along.

    The circle's radius squared is tyre_accel^2 + free_sq; m/s^2.
    """
    wanted_sq = along * along + across * across
    mixed = along * tyre_accel
    if wanted_sq + 2.0 * mixed <= free_sq:
        return 1.0
    return (math.sqrt(mixed * mixed + wanted_sq * free_sq) - mixed) / wanted_sq


@register_jitable
def _fly(state: VehicleState, dt: float, ground_z: float) -> None:
    if state.gravity:
        state.vz -= GRAVITY * dt
    state.x += state.vx * dt
    state.y += state.vy * dt
    state.z += state.vz * dt
    state.yaw = wrap_degrees(state.yaw + state.yaw_rate * dt)
    if state.z <= ground_z:
        state.z = ground_z
        state.vz = 0.0


@register_jitable
def wrap_degrees(angle: float) -> float:
    """The same direction in [-180, 180)."""
    return angle if -180.0 <= angle < 180.0 else (angle + 180.0) % 360.0 - 180.0


@register_jitable
def _clamp_unit(value: float) -> float:
    if 0.0 <= value <= 1.0:
        return value
    return 1.0 if value > 1.0 else 0.0


@register_jitable
def _approach(value: float, target: float, rates: tuple[float, float], dt: float) -> float:
    if target > value:
        return min(target, value + rates[0] * dt)
    return max(target, value - rates[1] * dt)


@register_jitable
def _approach_signed(value: float, target: float, rates: tuple[float, float], dt: float) -> float:
    """Like `_approach` for a value around zero: growing away from zero is a rise, coming back to it a fall."""
    if value * target < 0.0:
        returned = max(0.0, abs(value) - rates[1] * dt)
        return math.copysign(returned, value)
    sign = 1.0 if value > 0.0 or (value == 0.0 and target > 0.0) else -1.0
    return sign * _approach(abs(value), abs(target), rates, dt)


@njit(cache=CACHE)
def ready_vehicles(rows: np.ndarray, which: np.ndarray, dt: float) -> int:
    """What comes before a step of `dt` s: forces, the limit of speed, controls that hold for one tick.

    Args:
      rows: of type `rows.VEHICLES`. which: [V] int64, numbers of those that are meant.

    Returns:
      How many of them an Ackermann controller drives.
    """
    by_ackermann = 0
    for number in which:
        vehicle = rows[number]
        state, drive = vehicle.state, vehicle.drive
        force = drive.force
        if force[0] != 0.0 or force[1] != 0.0 or force[2] != 0.0 or drive.torque != 0.0:
            apply_impulse(state, vehicle.params, force[0] * dt, force[1] * dt, force[2] * dt)
            state.yaw_rate = spun(state.yaw_rate, vehicle.params, drive.torque * dt)
            force[0] = force[1] = force[2] = drive.torque = 0.0
        if not (abs(state.vx) <= MAX_SPEED and abs(state.vy) <= MAX_SPEED and abs(state.vz) <= MAX_SPEED):
            fastest = max(abs(state.vx), abs(state.vy), abs(state.vz)) / MAX_SPEED
            state.vx, state.vy, state.vz = state.vx / fastest, state.vy / fastest, state.vz / fastest
        if not drive.sticky:
            if not drive.control_is_new:
                release(vehicle.control, drive)
            drive.control_is_new = False
        by_ackermann += drive.by_ackermann
    return by_ackermann


@njit(cache=CACHE)
def shift_gears(rows: np.ndarray, which: np.ndarray) -> None:
    """The gears of the coming step; see `ready_vehicles` for the arguments."""
    for number in which:
        vehicle = rows[number]
        change_gear(vehicle.state, vehicle.control, vehicle.drive, vehicle.params)


@njit(cache=CACHE)
def step_vehicles(rows: np.ndarray, which: np.ndarray, dt: float, ground_z: float) -> None:
    """`step_vehicle` for all of them on level ground; see `ready_vehicles` for the arguments."""
    for number in which:
        vehicle = rows[number]
        step_vehicle(vehicle.state, vehicle.control, vehicle.params, dt, ground_z)
