"""`carla.VehiclePhysicsControl` and `carla.VehicleTelemetryData` of minicarla's vehicles.

Of what a client sets these have an effect: mass, drag coefficient, steering curve, and of the wheels the largest
steering angle of the front ones, the mean tyre friction and longitudinal stiffness, and the radius. Gears, final ratio
and largest engine speed say which gear is in and how fast the engine turns. The rest (torque curve, damping, brake
torques, lateral stiffness) is kept and given back, but the drive here has no engine. Defaults are CARLA's; wheel
positions are in cm, as CARLA's.
"""

import dataclasses
import math
from itertools import pairwise
from typing import Any

from minicarla.geometry.poses import attached_pose
from minicarla.geometry.types import Pose
from minicarla.limits import MAX_CURVE_POINTS, MAX_FRICTION, MAX_MASS_KG, MIN_MASS_KG
from minicarla.physics import tyre_slip
from minicarla.physics.gearbox import FINAL_RATIO, FORWARD_GEARS, MAX_RPM, Gears
from minicarla.physics.vehicle import GRAVITY
from minicarla.physics.vehicle_params import VehicleParams, vehicle_params
from minicarla.protocol.rpc_types import ArgumentError, Wire, items, number, numbers
from minicarla.world.actors import Vehicle

NOMINAL_FRICTION = 3.5  # CARLA's default tire_friction: the grip of the parameters
MAX_STEERING_FACTOR = 10.0  # of the steering curve; more would turn the wheels round
FRONTAL_AREA_SHARE = 0.85  # of width times height; Gillespie, Fundamentals of Vehicle Dynamics, ch. 4
TANDEM_AXLE_M = 1.35  # behind the driven axle of a vehicle with six wheels: the usual distance
_MAX_RPM, _FINAL_RATIO, _GEARS = 1, 9, 10
_MASS, _DRAG, _STEERING_CURVE, _WHEELS, _LENGTH = 11, 12, 14, 15, 17
_FRICTION, _MAX_STEER, _RADIUS, _LONG_STIFFNESS = 0, 2, 3, 8  # of a wheel
_WHEEL_TELEMETRY = 11  # numbers
_TORQUE_CURVE = [[0.0, 400.0], [1890.7, 500.0], [5729.6, 400.0]]


def _frontal_area(params: VehicleParams) -> float:
    _, ey, ez = params.extent
    return FRONTAL_AREA_SHARE * 4.0 * ey * ez


def wheel_places(params: VehicleParams) -> list[tuple[float, float]]:
    """Forward and right of the vehicle's origin (m): left and right wheel of each axle, from the front to the back.

    As on CARLA, whose two-wheelers have four wheels for their physics: here each pair of them is in one place.
    """
    half_base, half_track = 0.5 * params.wheelbase, 0.5 * params.track
    axles = [half_base, -half_base, -half_base - TANDEM_AXLE_M][: max(params.wheels // 2, 2)]
    return [(forward, right) for forward in axles for right in (-half_track, half_track)]


def _world_cm(vehicle: Vehicle, forward: float, right: float) -> Wire:
    place = attached_pose(vehicle.pose, Pose(forward, right, vehicle.params.wheel_radius))
    return [100.0 * place.x, 100.0 * place.y, 100.0 * place.z]


def describe(vehicle: Vehicle) -> Wire:
    """The array of `get_physics_control`: what a client has set, or the defaults."""
    control = vehicle.physics_control or _default(vehicle)
    places = [_world_cm(vehicle, *place) for place in wheel_places(vehicle.params)]
    frictions = [wheel[_FRICTION] for wheel in control[_WHEELS]]
    if vehicle.trigger_friction is not None:
        frictions = [vehicle.trigger_friction] * len(places)
    rows = zip(control[_WHEELS], frictions, places, strict=True)
    wheels = [[friction, *wheel[1:-1], place] for wheel, friction, place in rows]
    return [*control[:_WHEELS], wheels, *control[_WHEELS + 1 :]]


def _default(vehicle: Vehicle) -> Wire:
    params = vehicle.params
    wheels = []
    for forward, _ in wheel_places(params):
        front = forward > 0.0
        friction = [NOMINAL_FRICTION, 0.25, params.max_steer if front else 0.0, params.wheel_radius * 100.0]
        torque = [1500.0, 0.0 if front else 3000.0]
        wheels.append([*friction, *torque, 2.0, 17.0, tyre_slip.STIFFNESS, [0.0, 0.0, 0.0]])
    gears = [list(gear) for gear in FORWARD_GEARS]
    engine = [_TORQUE_CURVE, MAX_RPM, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, FINAL_RATIO, gears]
    drag = params.drag_area / _frontal_area(params)
    curve = [list(point) for point in params.steering_curve]
    return [*engine, params.mass, drag, [0.0, 0.0, 0.0], curve, wheels, False]


def _checked(control: Any, wheels: int) -> Wire:
    """A client's array with nothing in it but what belongs there: other clients will be given it."""
    fields = items(control, "physics control", at_least=_LENGTH)
    rows = [items(wheel, "wheel", at_least=10) for wheel in items(fields[_WHEELS], "wheels")]
    if len(rows) != wheels:
        raise ArgumentError(f"this vehicle has {wheels} wheels, not {len(rows)}")
    engine = [number(value, "physics control") for value in fields[1:6]]
    gearbox = [number(value, "physics control") for value in fields[7:10]]
    return [
        _points(fields[0], 2, "torque curve"),
        *engine,
        bool(fields[6]),
        *gearbox,
        _points(fields[10], 3, "forward gears"),
        number(fields[_MASS], "mass"),
        number(fields[_DRAG], "drag coefficient"),
        list(numbers(fields[13], 3, "centre of mass")),
        _points(fields[_STEERING_CURVE], 2, "steering curve"),
        [[*numbers(row, 9, "wheel"), [0.0, 0.0, 0.0]] for row in rows],
        bool(fields[16]),
    ]


def _points(value: Any, size: int, what: str) -> list[list[float]]:
    points = items(value, what)
    if len(points) > MAX_CURVE_POINTS:
        raise ArgumentError(f"{what} must not have more than {MAX_CURVE_POINTS} points")
    return [list(numbers(point, size, what)) for point in points]


def apply(vehicle: Vehicle, control: Any) -> None:
    """Take over a client's physics control; ArgumentError, and no change, if it cannot be."""
    base = vehicle_params(vehicle.type_id)
    count = len(wheel_places(base))
    fields = _checked(control, count)
    wheels, curve, mass, drag = fields[_WHEELS], fields[_STEERING_CURVE], fields[_MASS], fields[_DRAG]
    radius = sum(wheel[_RADIUS] for wheel in wheels) / count / 100.0
    max_steer = max(wheel[_MAX_STEER] for wheel in wheels[:2])
    if not MIN_MASS_KG <= mass <= MAX_MASS_KG:
        raise ArgumentError(f"mass must lie in [{MIN_MASS_KG:g}, {MAX_MASS_KG:g}] kg, not {mass}")
    if not all(0.0 <= wheel[_FRICTION] <= MAX_FRICTION for wheel in wheels):
        raise ArgumentError(f"tire friction must lie in [0, {MAX_FRICTION:g}]")
    if drag < 0.0 or radius < 1e-3 or not 0.0 <= max_steer < 90.0:
        raise ArgumentError("drag must be >= 0, wheel radius at least 0.1 cm, max_steer_angle in [0, 90)")
    if not curve or any(later[0] <= earlier[0] for earlier, later in pairwise(curve)):
        raise ArgumentError("the steering curve needs points of rising speed")
    if not all(0.0 <= factor <= MAX_STEERING_FACTOR for _, factor in curve):
        raise ArgumentError(f"the steering curve's factors must lie in [0, {MAX_STEERING_FACTOR:g}]")
    try:
        gears = Gears.of(fields[_GEARS], fields[_FINAL_RATIO], fields[_MAX_RPM], radius)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    vehicle.physics_control = fields
    vehicle.regear(gears)
    stiffness = sum(wheel[_LONG_STIFFNESS] for wheel in wheels) / count
    params = dataclasses.replace(
        base,
        mass=mass,
        drag_area=drag * _frontal_area(base),
        grip=_grip(vehicle, base),
        max_steer=max_steer,
        wheel_radius=radius,
        steering_curve=tuple((speed, factor) for speed, factor in curve),
        launch_accel=tyre_slip.launch_accel(base, stiffness),
    )
    vehicle.tune(dataclasses.replace(params, slip_loss=tyre_slip.slip_loss(params, stiffness)))


def set_trigger_friction(vehicle: Vehicle, friction: float | None) -> None:
    """The tyres' friction while the vehicle is in a volume that has one of its own; None outside."""
    vehicle.trigger_friction = friction
    grip = _grip(vehicle, vehicle_params(vehicle.type_id))
    vehicle.tune(dataclasses.replace(vehicle.params, grip=grip))


def _grip(vehicle: Vehicle, base: VehicleParams) -> float:
    friction = vehicle.trigger_friction
    if friction is None:
        if vehicle.physics_control is None:
            return base.grip
        wheels = vehicle.physics_control[_WHEELS]
        friction = sum(wheel[_FRICTION] for wheel in wheels) / len(wheels)
    return base.grip * friction / NOMINAL_FRICTION


def telemetry(vehicle: Vehicle) -> Wire:
    """The array of `get_telemetry_data`.

    A wheel's friction, slip angle (deg; the car's, for its wheels do not slip apart), turning speed (rad/s) and load
    (N, an even share) are known here; slip ratio, torque and forces are 0.
    """
    state, params = vehicle.state, vehicle.params
    base = vehicle_params(vehicle.type_id)
    forward, side = state.forward_speed, state.side_speed
    count = len(wheel_places(params))
    slip = math.degrees(math.atan2(side, abs(forward))) if forward or side else 0.0
    load = params.mass * GRAVITY / count
    friction = NOMINAL_FRICTION * params.grip / base.grip
    wheel = [friction, slip, 0.0, forward / params.wheel_radius, load, 1.0, *[0.0] * (_WHEEL_TELEMETRY - 6)]
    drag = params.aero * params.mass * forward * forward  # N
    pedals = [vehicle.control.steer, vehicle.control.throttle, vehicle.control.brake]
    rpm = vehicle.gears.rpm(vehicle.drive.gear, abs(forward), state.throttle_input)
    return [forward, *pedals, rpm, vehicle.drive.gear, drag, [wheel] * count]
