"""What the longitudinal stiffness of the tyres does to the drive.

A tyre that pushes with a force F slips: it lags behind its wheel by F / (stiffness * gravity), as a part of the wheel's
speed. That is PhysX's tyre model, and so CARLA's, as long as the tyre does not saturate. The wheels turn faster than
the car drives, which costs power and, at the launch, momentum. `VehicleParams` are those of a car on tyres of CARLA's
default stiffness, so only the difference to them counts here.
"""

import math

from minicarla.physics.vehicle import GRAVITY
from minicarla.physics.vehicle_params import VehicleParams

STIFFNESS = 1000.0  # kg: of one of CARLA's tyres, per unit gravity
WHEEL_INERTIA_MASS = 10.0  # kg: a disc of 20 kg, Unreal's default for a wheel, turns as heavily as half of it slides


def slip_loss(params: VehicleParams, stiffness: float) -> float:
    """`VehicleParams.slip_loss` of tyres of a mean `stiffness` (kg per unit gravity); inf for those that never push.

    The power P that default tyres leave pushes with F, where 1 / F = v / P + 1 / S - 1 / S_default and S is the force
    of all tyres at a slip of 1.
    """
    if stiffness <= 0.0:
        return math.inf
    return params.mass * params.power * (1.0 / _whole(params, stiffness) - 1.0 / _whole(params, STIFFNESS))


def launch_accel(params: VehicleParams, stiffness: float) -> float:
    """What the torque that gives `params.launch_accel` on default tyres gives on these, m/s^2.

    The same torque speeds up the car and its wheels, which slip more: a + j a / (1 - a / d) does not change, where j is
    the wheels' share of the inertia and d what the tyres would give at a slip of 1.
    """
    if stiffness == STIFFNESS:
        return params.launch_accel
    if stiffness <= 0.0:
        return 0.0
    wheels = WHEEL_INERTIA_MASS * _wheels(params) / params.mass
    usual, most = _whole(params, STIFFNESS) / params.mass, _whole(params, stiffness) / params.mass
    torque = params.launch_accel * (1.0 + wheels * usual / (usual - params.launch_accel))
    half = 0.5 * (most * (1.0 + wheels) + torque)
    return half - math.sqrt(half * half - torque * most)


def _wheels(params: VehicleParams) -> int:
    return max(params.wheels, 4)  # two-wheelers have four for their physics


def _whole(params: VehicleParams, stiffness: float) -> float:
    """N of all tyres at a slip of 1."""
    return _wheels(params) * stiffness * GRAVITY
