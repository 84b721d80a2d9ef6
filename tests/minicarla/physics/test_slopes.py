"""Vehicles on slopes, against closed forms of an inclined plane."""

import math

import pytest

from minicarla.physics.hills import step_on_hills
from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.vehicle import GRAVITY, ROLLING_RESISTANCE
from minicarla.physics.vehicle_params import vehicle_params

MODEL3 = vehicle_params("vehicle.tesla.model3")
DT = 0.05
GRADE = 0.1
ANGLE = math.atan(GRADE)


class Plane:
    """z = grade * x from x = `start` on, level before."""

    def __init__(self, grade: float = GRADE, start: float = -1e9) -> None:
        self._grade, self._start = grade, start

    def height(self, x: float) -> float:
        return self._grade * max(x - self._start, 0.0) if self._start > -1e9 else self._grade * x

    def stance(self, x, y, z, yaw_rad, half_length, half_width):
        dx, dy = half_length * math.cos(yaw_rad), -half_width * math.sin(yaw_rad)
        front, rear = self.height(x + dx), self.height(x - dx)
        left, right = self.height(x - dy), self.height(x + dy)
        pitch, roll = math.atan2(front - rear, 2 * half_length), math.atan2(left - right, 2 * half_width)
        return 0.5 * (front + rear), pitch, roll


def drive(state: VehicleState, control: Control, seconds: float, ground: Plane, dt: float = DT) -> VehicleState:
    for _ in range(round(seconds / dt)):
        step_on_hills(state, control, MODEL3, dt, ground)
    return state


def on_the_slope(yaw: float = 0.0) -> VehicleState:
    return VehicleState(yaw=yaw)


def along(state: VehicleState) -> float:
    return math.hypot(state.vx, state.vz)


@pytest.mark.parametrize("dt", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("grade", [0.02, 0.1, 0.3])
def test_a_car_without_brakes_rolls_downhill_as_on_an_inclined_plane(grade: float, dt: float) -> None:
    """Gravity along the slope less rolling resistance; drag and the idling engine take a little at first."""
    angle = math.atan(grade)
    state = drive(on_the_slope(), Control(), 1.0, Plane(grade), dt)
    expected = GRAVITY * math.sin(angle) - ROLLING_RESISTANCE
    assert state.forward_speed < 0.0, "backwards: it looks uphill"
    assert state.forward_speed == pytest.approx(-expected, rel=0.12)
    assert state.z == pytest.approx(grade * state.x, abs=1e-6)


@pytest.mark.parametrize("yaw", [0.0, 180.0, 90.0, -90.0, 30.0])
@pytest.mark.parametrize("control", [Control(brake=1.0), Control(hand_brake=True)])
def test_brakes_hold_a_car_on_a_slope(yaw: float, control: Control) -> None:
    state = drive(on_the_slope(yaw), control, 5.0, Plane())
    assert math.hypot(state.x, state.y) < 0.05  # while the brakes are being pressed
    x = state.x
    assert drive(state, control, 60.0, Plane()).x == x, "and not a micrometre later"


def test_on_a_barely_sloping_road_rolling_resistance_holds_it() -> None:
    assert drive(on_the_slope(), Control(), 10.0, Plane(0.01)).x == 0.0


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0.0, 1.0, 0.0), (180.0, -1.0, 0.0), (90.0, 0.0, 1.0), (-90.0, 0.0, -1.0)]
)
def test_it_lies_as_the_slope_does(yaw: float, pitch: float, roll: float) -> None:
    """The slope rises to the east. Positive pitch lifts the nose, positive roll lowers the right side."""
    state = drive(on_the_slope(yaw), Control(hand_brake=True), 0.2, Plane())
    degrees = math.degrees(ANGLE)
    assert (state.pitch, state.roll) == (pytest.approx(pitch * degrees), pytest.approx(roll * degrees))


def test_a_climb_costs_what_gravity_takes() -> None:
    """At full throttle, uphill and on the level: the difference is g sin(angle)."""
    level, hill = (drive(on_the_slope(), Control(throttle=1.0), 1.0, Plane(grade)) for grade in (0.0, GRADE))
    step_level, step_hill = level.forward_speed, hill.forward_speed
    drive(level, Control(throttle=1.0), 0.5, Plane(0.0))
    drive(hill, Control(throttle=1.0), 0.5, Plane())
    lost = (level.forward_speed - step_level) - (hill.forward_speed - step_hill)
    assert lost / 0.5 == pytest.approx(GRAVITY * math.sin(ANGLE), rel=0.1)


def test_rolling_to_and_fro_wins_no_energy() -> None:
    """In a valley: what is left of the height after every swing shrinks."""

    class Valley(Plane):
        def height(self, x: float) -> float:
            return 0.002 * x * x

    ground = Valley()
    state = VehicleState(-50.0, 0.0, ground.stance(-50.0, 0.0, 0.0, 0.0, 0.5 * MODEL3.wheelbase, 0.8)[0])
    energy = GRAVITY * state.z
    for _ in range(1200):
        step_on_hills(state, Control(), MODEL3, DT, ground)
        now = GRAVITY * state.z + 0.5 * (state.vx**2 + state.vy**2 + state.vz**2)
        assert now <= energy + 0.02
        energy = min(energy, now)
    assert abs(state.x) < 20.0


def test_a_car_on_a_side_slope_keeps_its_line_within_its_grip() -> None:
    level, state = (drive(on_the_slope(90.0), Control(throttle=0.5), 4.0, Plane(grade)) for grade in (0.0, GRADE))
    assert state.y == pytest.approx(level.y, rel=0.02)
    assert abs(state.x) < 0.2


def test_it_jumps_off_an_edge_and_lands() -> None:
    ground = Plane(-0.6, start=30.0)
    state = VehicleState(vx=25.0)
    heights = []
    for _ in range(150):
        step_on_hills(state, Control(), MODEL3, DT, ground)
        heights.append(state.z - ground.stance(state.x, 0.0, state.z, 0.0, 1.44, 0.8)[0])
    assert max(heights) > 0.5
    assert heights[-1] == pytest.approx(0.0, abs=0.06)
    assert min(heights) > -0.5


def test_constant_velocity_is_that_along_the_slope() -> None:
    state = on_the_slope()
    state.constant_velocity = (10.0, 0.0)
    drive(state, Control(), 1.0, Plane())
    assert along(state) == pytest.approx(10.0)
    assert state.vz == pytest.approx(10.0 * math.sin(ANGLE))
    assert math.hypot(state.x, state.z) == pytest.approx(9.75), "it starts from rest"
