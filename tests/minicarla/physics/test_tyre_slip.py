"""Longitudinal stiffness of tyres: the balances of power and torque that it must keep, solved another way."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.tyre_slip import STIFFNESS, WHEEL_INERTIA_MASS, launch_accel, slip_loss
from minicarla.physics.vehicle import longitudinal, step_vehicle
from minicarla.physics.vehicle_params import VEHICLES, VehicleParams, vehicle_params

MODEL3 = vehicle_params("vehicle.tesla.model3")
blueprints = st.sampled_from(sorted(VEHICLES))


def slip(force: float, stiffness: float, wheels: int = 4) -> float:
    """The car's lag behind its wheels, as a part of the wheels' speed."""
    return force / (wheels * stiffness * 9.81)


def on_tyres(stiffness: float, base: VehicleParams = MODEL3) -> VehicleParams:
    return dataclasses.replace(base, launch_accel=launch_accel(base, stiffness), slip_loss=slip_loss(base, stiffness))


def driven_m(params: VehicleParams, seconds: float) -> float:
    state = VehicleState()
    for _ in range(round(seconds / 0.05)):
        step_vehicle(state, Control(throttle=1.0), params, 0.05)
    return state.x


@pytest.mark.parametrize("stiffness", [100.0, 400.0, 2000.0])
@pytest.mark.parametrize("v", [30.0, 40.0])
def test_the_wheels_turn_at_the_same_power(stiffness: float, v: float) -> None:
    def engine_power(force: float, stiffness: float) -> float:
        return force * v / (1.0 - slip(force, stiffness))

    _, accel = longitudinal(v, 1.0, 0.0, Control(), on_tyres(stiffness), 1e-6)
    assert accel < launch_accel(MODEL3, stiffness)
    available = engine_power(MODEL3.power / v, STIFFNESS)
    assert engine_power(MODEL3.mass * accel, stiffness) == pytest.approx(available, rel=1e-6)


@given(blueprint=blueprints, stiffness=st.floats(1.0, 1e5))
def test_the_launch_has_the_same_torque(blueprint: str, stiffness: float) -> None:
    params = VEHICLES[blueprint]
    wheels = max(params.wheels, 4)

    def torque(accel: float, stiffness: float) -> float:
        wheel_accel = accel / (1.0 - slip(params.mass * accel, stiffness, wheels))
        return params.mass * accel + wheels * WHEEL_INERTIA_MASS * wheel_accel

    assert torque(launch_accel(params, stiffness), stiffness) == pytest.approx(
        torque(params.launch_accel, STIFFNESS), rel=1e-4
    )


@given(blueprint=blueprints)
def test_stiffer_tyres_win_the_race_and_default_ones_change_nothing(blueprint: str) -> None:
    params = VEHICLES[blueprint]
    assert on_tyres(STIFFNESS, params) == params
    soft, usual, stiff = (driven_m(on_tyres(kg, params), 5.0) for kg in (100.0, STIFFNESS, 2000.0))
    assert soft < 0.995 * usual
    assert usual < stiff < 1.05 * usual


def test_tyres_without_stiffness_do_not_push() -> None:
    assert driven_m(on_tyres(0.0), 1.0) == driven_m(on_tyres(-5.0), 1.0) == 0.0
