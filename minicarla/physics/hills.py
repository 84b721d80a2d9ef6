"""Vehicles on ground that is not flat: the dynamics of `vehicle` in the plane that the four wheels stand on.

Gravity pulls along the plane, the tyres hold against it as far as they grip, and z, pitch and roll are the plane's. A
vehicle whose wheels cannot follow the ground, over a sharp crest or an edge, flies until it touches again.

The flat path of `vehicle` is separate, so that level towns cost nothing and give the same numbers as ever.
"""

import math
from typing import Protocol

from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.vehicle import (
    GRAVITY,
    REST,
    SUSPENSION_TRAVEL,
    follow_control,
    lateral,
    longitudinal,
    path_curvature,
    steering_factor,
    step_by,
    wrap_degrees,
)
from minicarla.physics.vehicle_params import VehicleParams

KICK = 1.0  # m/s away from the ground beyond what it climbs: an impulse upwards, not a road's unevenness


class Ground(Protocol):
    """What the wheels stand on: `minicarla.maps.surface.Surface` is one."""

    def stance(
        self, x: float, y: float, z: float, yaw_rad: float, half_length: float, half_width: float
    ) -> tuple[float, float, float]:
        """z (m), pitch (rad, nose up) and roll (rad, right side down) of something on four wheels at (x, y)."""


def step_on_hills(state: VehicleState, control: Control, params: VehicleParams, dt: float, ground: Ground) -> None:
    """Advances `state` by `dt` seconds in place, as `vehicle.step_vehicle` does on the flat."""
    step_by(_substep, state, control, params, dt, ground)


def _substep(state: VehicleState, control: Control, params: VehicleParams, dt: float, ground: Ground) -> None:
    follow_control(state, control, dt)
    half_length, half_width = 0.5 * params.wheelbase, 0.5 * params.track
    yaw_rad = math.radians(state.yaw)
    ground_z, pitch, roll = ground.stance(state.x, state.y, state.z, yaw_rad, half_length, half_width)
    climb = _climb(state.vx, state.vy, yaw_rad, pitch, roll)
    if state.z - ground_z > SUSPENSION_TRAVEL or state.vz > climb + KICK:
        _fly(state, dt, ground, half_length, half_width)
        return
    forward_axis, right_axis = _axes(yaw_rad, pitch, roll)
    velocity = (state.vx, state.vy, state.vz)
    forward, side = _dot(velocity, forward_axis), _dot(velocity, right_axis)
    gravity = GRAVITY if state.gravity else 0.0
    steer_rad = math.radians(
        state.steer_input * params.max_steer * steering_factor(params.steering_curve, abs(forward) * 3.6)
    )
    state.steer = math.degrees(steer_rad)
    throttle = state.throttle_input
    forward, tyre_accel = longitudinal(
        forward, throttle, state.brake_input, control, params, dt, pull=-gravity * forward_axis[2]
    )
    held = forward == 0.0
    side -= gravity * right_axis[2] * dt
    forward, side, yaw_rate_rad, turned_rad = lateral(
        forward, side, math.radians(state.yaw_rate), path_curvature(steer_rad, params), tyre_accel, params, dt
    )
    if state.holds_velocity:
        forward, side = state.held_forward, state.held_right
    elif held and throttle == 0.0 and max(abs(side), abs(yaw_rate_rad)) < REST:
        forward = side = yaw_rate_rad = 0.0
    forward_axis, right_axis = _axes(yaw_rad + turned_rad, pitch, roll)
    vx, vy, vz = (forward * ahead + side * aside for ahead, aside in zip(forward_axis, right_axis, strict=True))
    x, y = state.x + 0.5 * (state.vx + vx) * dt, state.y + 0.5 * (state.vy + vy) * dt
    falling_z = state.z + (climb - 0.5 * gravity * dt) * dt  # where it would be without ground
    new_z, new_pitch, new_roll = ground.stance(
        x, y, max(state.z, falling_z), yaw_rad + turned_rad, half_length, half_width
    )
    if falling_z - new_z > SUSPENSION_TRAVEL:
        state.z, state.vz = falling_z, climb - gravity * dt
    else:
        state.z, state.vz = new_z, vz
        state.pitch, state.roll = math.degrees(new_pitch), math.degrees(new_roll)
    state.x, state.y, state.vx, state.vy = x, y, vx, vy
    state.yaw = wrap_degrees(math.degrees(yaw_rad + turned_rad))
    state.yaw_rate = math.degrees(yaw_rate_rad)


def _fly(state: VehicleState, dt: float, ground: Ground, half_length: float, half_width: float) -> None:
    """Free fall; where it ends, the ground takes the part of the velocity that is at right angles to it."""
    if state.gravity:
        state.vz -= GRAVITY * dt
    before = state.z
    state.x += state.vx * dt
    state.y += state.vy * dt
    state.z += state.vz * dt
    state.yaw = wrap_degrees(state.yaw + state.yaw_rate * dt)
    yaw_rad = math.radians(state.yaw)
    z, pitch, roll = ground.stance(state.x, state.y, max(before, state.z), yaw_rad, half_length, half_width)
    if state.z > z:
        return
    (fx, fy, fz), (rx, ry, rz) = _axes(yaw_rad, pitch, roll)
    normal = (fy * rz - fz * ry, fz * rx - fx * rz, fx * ry - fy * rx)  # forward x right is up in a left-handed frame
    impact = min(_dot((state.vx, state.vy, state.vz), normal), 0.0)
    state.vx -= impact * normal[0]
    state.vy -= impact * normal[1]
    state.vz -= impact * normal[2]
    state.z, state.pitch, state.roll = z, math.degrees(pitch), math.degrees(roll)


def _climb(vx: float, vy: float, yaw_rad: float, pitch: float, roll: float) -> float:
    """m/s upwards that something has which moves at (vx, vy) along the plane."""
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    return (vx * cos + vy * sin) * math.tan(pitch) - (vy * cos - vx * sin) * math.tan(roll) / math.cos(pitch)


def _axes(yaw_rad: float, pitch: float, roll: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Forward and right of a body, unit vectors in the world; the convention of `geometry.poses`."""
    cy, sy, cp, sp = math.cos(yaw_rad), math.sin(yaw_rad), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return (cp * cy, cp * sy, sp), (cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr)


def _dot(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
