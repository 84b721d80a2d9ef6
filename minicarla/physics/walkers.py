"""Walkers: kinematic, they go where their control says at the speed it says."""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from minicarla.numba_cache import CACHE
from minicarla.physics.rows import WalkerControl, WalkerState

WALKER_EXTENT = (0.188, 0.188, 0.930)  # m, half sizes: an adult's `Walker.bounding_box` on CARLA; origin at its centre
WALKER_MASS = 80.0  # kg, an adult


@register_jitable
def carry(
    state: WalkerState,
    control: WalkerControl,
    x: float,
    y: float,
    z: float,
    pitch: float,
    yaw: float,
    roll: float,
    speed: float,
) -> None:
    """Put a walker's feet there (m, deg), on its way ahead at `speed` m/s; a client's crowd does so at every tick."""
    state.x, state.y, state.z = x, y, z + state.half_height
    state.pitch, state.yaw, state.roll = pitch, yaw, roll
    yaw_rad = math.radians(yaw)
    control.dx, control.dy, control.dz, control.speed = math.cos(yaw_rad), math.sin(yaw_rad), 0.0, speed
    state.is_carried, state.carried_vx, state.carried_vy = True, speed * control.dx, speed * control.dy


@register_jitable
def step_walker(state: WalkerState, control: WalkerControl, dt: float, ground_z: float = 0.0) -> None:
    """Advances a walker by `dt` seconds in place: it faces where it goes and stands on `ground_z`.

    One that a client carries, or that does not simulate physics, stays where it has been put.
    """
    vx = vy = 0.0
    if state.is_carried:
        vx, vy = state.carried_vx, state.carried_vy
        state.is_carried = False
        state.ax, state.ay = (vx - state.vx) / dt, (vy - state.vy) / dt
        state.vx, state.vy = vx, vy
        state.walked += math.hypot(vx, vy) * dt
        return
    length = math.hypot(control.dx, control.dy)
    if state.simulate_physics and length > 0.0 and control.speed > 0.0:
        vx = control.speed * control.dx / length
        vy = control.speed * control.dy / length
        state.yaw = math.degrees(math.atan2(vy, vx))
        state.walked += control.speed * dt
    state.ax = (vx - state.vx) / dt
    state.ay = (vy - state.vy) / dt
    state.vx, state.vy = vx, vy
    if state.simulate_physics:
        state.x += vx * dt
        state.y += vy * dt
        state.z = ground_z + state.half_height


@njit(cache=CACHE)
def step_walkers(rows: np.ndarray, which: np.ndarray, dt: float, ground_z: float) -> None:
    """`step_walker` for all of them on level ground. rows: of type `rows.WALKERS`; which: [W] int64, their numbers."""
    for number in which:
        walker = rows[number]
        step_walker(walker.state, walker.control, dt, ground_z)
