"""Rows: what Python's objects write compiled loops read, and the loops do to many what the functions do to one."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import Pose
from minicarla.physics.rows import Place, Row, Rows, VehicleState
from minicarla.physics.vehicle import shift_gears, step_vehicle, step_vehicles
from minicarla.physics.vehicle_params import VEHICLES
from minicarla.protocol.rpc_types import Description
from minicarla.world.actors import Vehicle

unit = st.floats(-1.0, 1.0)


def vehicle(blueprint: str) -> Vehicle:
    return Vehicle(1, Description(blueprint, {}, []), Pose(1.0, 2.0, 0.0, yaw=30.0), None)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(VEHICLES)), st.floats(-30.0, 30.0), st.floats(-5.0, 5.0), st.floats(-90.0, 90.0),
    st.lists(st.tuples(unit, unit, unit, st.booleans()), min_size=1, max_size=8), st.sampled_from([0.05, 0.01, 0.4]),
)  # fmt: skip
def test_many_vehicles_move_as_one_does_bit_for_bit(blueprint, vx, vy, yaw_rate, controls, dt):
    rows = Rows()
    alone, among = vehicle(blueprint), vehicle(blueprint)
    among.enter(rows)
    for car in (alone, among):
        car.state.vx, car.state.vy, car.state.yaw_rate = vx, vy, yaw_rate
    for throttle, steer, brake, reverse in controls:
        for car in (alone, among):
            c = car.control
            c.throttle, c.steer, c.brake, c.reverse = max(throttle, 0.0), steer, max(brake, 0.0), reverse
        step_vehicle(alone.state, alone.control, alone.params, dt)
        step_vehicles(rows.vehicles, np.array([among.row.number]), dt, 0.0)
        assert bytes(among.state) == bytes(alone.state)


def test_gears_follow_the_speed():
    rows, car = Rows(), vehicle("vehicle.tesla.model3")
    car.enter(rows)
    gears = []
    for speed in np.linspace(0.0, 60.0, 200):
        car.state.vx = speed
        shift_gears(rows.vehicles, np.array([car.row.number]))
        gears.append(car.drive.gear)
    assert gears == sorted(gears)
    assert (gears[0], gears[-1]) == (1, 5)


def test_a_row_keeps_its_numbers_when_it_moves_and_is_used_again():
    rows, car, other = Rows(), vehicle("vehicle.audi.tt"), vehicle("vehicle.audi.tt")
    car.enter(rows)
    car.state.vx = 7.0
    assert rows.vehicles[car.row.number]["state"]["vx"] == 7.0
    assert car.body.state is car.state
    place = car.row.number
    car.leave()
    other.enter(rows)
    assert other.row.number == place
    assert (car.state.vx, other.state.vx) == (7.0, 0.0)
    assert car.pose == other.pose == Pose(1.0, 2.0, 0.0, yaw=30.0)


def test_what_stands_alone_starts_with_physics_and_at_rest():
    state = VehicleState(3.0, yaw=90.0, constant_velocity=(7.0, 0.0))
    assert (state.x, state.yaw, state.vx, state.simulate_physics, state.gravity) == (3.0, 90.0, 0.0, True, True)
    assert state.constant_velocity == (7.0, 0.0)
    state.constant_velocity = None
    assert state.constant_velocity is None
    assert math.isclose(Row().part(Place).z, 0.0)
