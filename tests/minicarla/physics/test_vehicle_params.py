"""The table of vehicles: CARLA's boxes, figures that a real vehicle can have, and refusals."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.physics.vehicle_params import VEHICLES, vehicle_params

MODEL3 = vehicle_params("vehicle.tesla.model3")
blueprints = st.sampled_from(sorted(VEHICLES))


def test_the_model_3_has_carlas_box_and_steering() -> None:
    assert MODEL3.extent == pytest.approx((2.396, 1.082, 0.744))
    assert MODEL3.max_steer == 70.0


@settings(deadline=None)
@given(blueprint=blueprints)
def test_figures_are_of_a_real_vehicle(blueprint: str) -> None:
    params = VEHICLES[blueprint]
    assert params.wheelbase < 2.0 * params.extent[0]
    assert params.track < 2.0 * params.extent[1]
    assert params.brake_decel <= params.grip
    assert (params.wheels == 2) == (params.base_type in ("bicycle", "motorcycle"))
    assert params.box_centre[1] - params.extent[2] > -0.2  # no box is buried


def test_a_changed_copy_keeps_its_derived_figures_in_step() -> None:
    heavy = dataclasses.replace(MODEL3, mass=2.0 * MODEL3.mass)
    assert heavy.aero == pytest.approx(0.5 * MODEL3.aero)


def test_an_unknown_vehicle_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"Unknown vehicle 'vehicle\.x'"):
        vehicle_params("vehicle.x")


def test_impossible_figures_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        dataclasses.replace(MODEL3, mass=0.0)
