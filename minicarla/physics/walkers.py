"""Walkers: kinematic, they go where their control says at the speed it says."""

import math
from dataclasses import dataclass

from minicarla.geometry.types import Pose
from minicarla.physics.motion import Motion

WALKER_EXTENT = (0.188, 0.188, 0.930)  # m, half sizes: an adult's `Walker.bounding_box` on CARLA; origin at its centre
WALKER_MASS = 80.0  # kg, an adult


@dataclass(slots=True)
class WalkerControl:
    """`carla.WalkerControl`: a world direction, normalised when used, and a speed in m/s."""

    dx: float = 1.0
    dy: float = 0.0
    dz: float = 0.0
    speed: float = 0.0


@dataclass(slots=True)
class WalkerState(Motion):
    """A walker's motion; `z` is that of the body's centre, `half_height` (m) above its feet.

    `carried` is the velocity (m/s) at which a client has moved it in this tick, if one has. `walked` is its way so
    far, m.
    """

    half_height: float = WALKER_EXTENT[2]
    carried: tuple[float, float] | None = None
    walked: float = 0.0


def walker_at(pose: Pose, half_height: float = WALKER_EXTENT[2]) -> WalkerState:
    """A walker at rest at `pose`."""
    return WalkerState(pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll, half_height=half_height)


def step_walker(state: WalkerState, control: WalkerControl, dt: float, ground_z: float = 0.0) -> None:
    """Advances a walker by `dt` seconds in place: it faces where it goes and stands on `ground_z`.

    One that a client carries, or that does not simulate physics, stays where it has been put.
    """
    vx = vy = 0.0
    if state.carried is not None:
        vx, vy = state.carried
        state.carried = None
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
