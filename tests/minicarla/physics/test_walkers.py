"""Walkers go where they are told, at the speed they are told, and face that way."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import Pose
from minicarla.physics.rows import WalkerControl, WalkerState
from minicarla.physics.walkers import WALKER_EXTENT, step_walker

DT = 0.05


@settings(deadline=None)
@given(heading=st.floats(-179.0, 179.0), speed=st.floats(0.1, 5.0), length=st.floats(0.01, 10.0))
def test_distance_direction_and_facing(heading: float, speed: float, length: float) -> None:
    dx, dy = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    state = WalkerState()
    for _ in range(20):
        step_walker(state, WalkerControl(length * dx, length * dy, 0.0, speed), DT)
    assert (state.x, state.y) == pytest.approx((speed * dx, speed * dy), abs=1e-9)
    assert (state.vx, state.vy) == pytest.approx((speed * dx, speed * dy))
    assert state.yaw == pytest.approx(heading)


@pytest.mark.parametrize("control", [WalkerControl(1.0, 0.0, 0.0, 0.0), WalkerControl(0.0, 0.0, 0.0, 2.0)])
def test_without_speed_or_direction_it_stands(control: WalkerControl) -> None:
    state = WalkerState(1.0, 2.0, 0.93, yaw=30.0, half_height=WALKER_EXTENT[2])
    state.vx = 1.5
    step_walker(state, control, DT)
    assert (state.x, state.y, state.vx, state.yaw) == (1.0, 2.0, 0.0, 30.0)
    assert state.ax == pytest.approx(-1.5 / DT)


def test_its_origin_is_its_middle() -> None:
    adult, child = WalkerState(z=2.0, half_height=0.93), WalkerState(z=2.0, half_height=0.55)
    for state in (adult, child):
        step_walker(state, WalkerControl(), DT, ground_z=1.0)
    assert (adult.z, child.z) == (1.0 + WALKER_EXTENT[2], 1.55)


def test_without_physics_it_stays() -> None:
    state = WalkerState(1.0, 2.0, 3.0, half_height=WALKER_EXTENT[2])
    state.simulate_physics = False
    step_walker(state, WalkerControl(speed=2.0), DT)
    assert state.pose == Pose(1.0, 2.0, 3.0)
