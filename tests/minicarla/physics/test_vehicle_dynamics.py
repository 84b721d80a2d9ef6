"""Vehicle dynamics against closed forms, the Model 3's figures, and properties that must hold for any driving."""

import dataclasses
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import Pose
from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.vehicle import (
    ROLLING_RESISTANCE,
    apply_impulse,
    halt,
    path_curvature,
    set_velocity,
    steering_factor,
    step_vehicle,
    wrap_degrees,
)
from minicarla.physics.vehicle_params import STEERING_CURVE, VEHICLES, VehicleParams, vehicle_params

MODEL3 = vehicle_params("vehicle.tesla.model3")
KMH = 1.0 / 3.6
DT = 0.05

blueprints = st.sampled_from(sorted(VEHICLES))
unit = st.floats(0.0, 1.0)
steer = st.floats(-1.0, 1.0)


def speed(state: VehicleState) -> float:
    return math.hypot(state.vx, state.vy)


def energy(state: VehicleState, params: VehicleParams) -> float:
    return state.vx**2 + state.vy**2 + params.gyration_sq * math.radians(state.yaw_rate) ** 2


def drive(state: VehicleState, control: Control, seconds: float, params: VehicleParams = MODEL3) -> VehicleState:
    for _ in range(round(seconds / DT)):
        step_vehicle(state, control, params, DT)
    return state


def time_to(target: float, control: Control, params: VehicleParams = MODEL3) -> float:
    state, elapsed = VehicleState(), 0.0
    while speed(state) < target:
        step_vehicle(state, control, params, DT)
        elapsed += DT
        assert elapsed < 60.0
    return elapsed


class TestLongitudinal:
    def test_0_to_30_kmh_takes_about_two_seconds(self) -> None:
        assert 1.8 <= time_to(30 * KMH, Control(throttle=1.0)) <= 2.2

    def test_0_to_100_kmh_is_that_of_a_rear_drive_model_3(self) -> None:
        assert 5.5 <= time_to(100 * KMH, Control(throttle=1.0)) <= 6.8

    def test_the_drive_lags_the_pedal(self) -> None:
        state = VehicleState()
        step_vehicle(state, Control(throttle=1.0), MODEL3, DT)
        assert 0.0 < state.ax < 0.5 * MODEL3.launch_accel

    @pytest.mark.parametrize("start", [30 * KMH, 50 * KMH, 90 * KMH])
    def test_braking_distance_is_v_squared_over_2a(self, start: float) -> None:
        # From the moment that the brakes are on: their lag is another thing.
        state = VehicleState(vx=start, brake_input=1.0)
        drive(state, Control(brake=1.0), 6.0)
        assert speed(state) == 0.0
        decel = MODEL3.brake_decel + ROLLING_RESISTANCE + 0.5 * MODEL3.aero * start**2  # drag: mean over v^2
        assert state.x == pytest.approx(start**2 / (2.0 * decel), rel=0.02)
        assert 7.0 <= start**2 / (2.0 * state.x) <= 8.0

    def test_full_braking_stays_between_7_and_8(self) -> None:
        state = VehicleState(vx=20.0, brake_input=1.0)
        while speed(state) > 1.0:
            step_vehicle(state, Control(brake=1.0), MODEL3, DT)
            assert 7.0 <= -state.ax <= 8.0

    def test_coasting_follows_its_differential_equation(self) -> None:
        # Without air drag: dv/dt = -(c + k v), so v reaches 0 at ln(1 + k v0 / c) / k.
        params = dataclasses.replace(MODEL3, drag_area=0.0)
        state, elapsed = VehicleState(vx=30 * KMH), 0.0
        while speed(state) > 0.0:
            step_vehicle(state, Control(), params, DT)
            elapsed += DT
        rate = params.engine_drag
        assert elapsed == pytest.approx(math.log1p(rate * 30 * KMH / ROLLING_RESISTANCE) / rate, rel=0.02)

    def test_it_stands_still_without_throttle_and_does_not_creep(self) -> None:
        state = drive(VehicleState(), Control(), 5.0)
        assert (state.x, state.y, speed(state)) == (0.0, 0.0, 0.0)

    def test_reverse_is_the_mirror_image_of_forward_at_low_speed(self) -> None:
        forward = drive(VehicleState(), Control(throttle=0.4), 2.0)
        backward = drive(VehicleState(), Control(throttle=0.4, reverse=True), 2.0)
        assert backward.x == pytest.approx(-forward.x)
        assert backward.forward_speed == pytest.approx(-forward.forward_speed)

    def test_reverse_engaged_while_rolling_forward_slows_first(self) -> None:
        state = drive(VehicleState(vx=5.0), Control(throttle=1.0, reverse=True), 0.5)
        assert 0.0 < state.forward_speed < 5.0
        assert drive(state, Control(throttle=1.0, reverse=True), 3.0).forward_speed < -3.0

    def test_the_hand_brake_beats_the_throttle(self) -> None:
        state = drive(VehicleState(), Control(throttle=1.0, hand_brake=True), 2.0)
        assert speed(state) == 0.0
        state = drive(VehicleState(vx=10.0), Control(hand_brake=True), 1.0)
        assert 10.0 - speed(state) == pytest.approx(MODEL3.handbrake_decel + ROLLING_RESISTANCE, abs=1.3)

    def test_more_throttle_settles_at_a_higher_speed(self) -> None:
        # What a speed controller needs: a steady state for every pedal, rising with it.
        settled = [speed(drive(VehicleState(), Control(throttle=pedal), 60.0)) for pedal in (0.1, 0.2, 0.3, 0.4, 0.5)]
        assert all(low + 1.0 < high for low, high in pairwise(settled))
        assert 25 * KMH < settled[1] < 40 * KMH

    @settings(deadline=None)
    @given(blueprint=blueprints)
    def test_every_vehicle_gets_going_and_stops(self, blueprint: str) -> None:
        params = VEHICLES[blueprint]
        state = drive(VehicleState(), Control(throttle=1.0), 5.0, params)
        assert speed(state) > 10 * KMH
        assert speed(drive(state, Control(brake=1.0), 8.0, params)) == 0.0


class TestSteering:
    def test_a_steady_turn_is_the_circle_of_its_wheel_angle(self) -> None:
        # Centre of mass on a circle of sqrt(R^2 + l_r^2), R the rear axle's radius: plain geometry.
        params = dataclasses.replace(MODEL3, engine_drag=0.0, drag_area=0.0, steering_curve=((0.0, 1.0),))
        control = Control(steer=0.2, throttle=ROLLING_RESISTANCE / params.launch_accel)
        state = VehicleState(vx=5.0, steer_input=0.2, throttle_input=control.throttle)
        drive(state, control, 2.0, params)
        wheel_rad = math.radians(0.2 * 70.0)
        rear = params.wheelbase / math.tan(wheel_rad) + 0.5 * params.track
        radius = math.hypot(rear, 0.5 * params.wheelbase)
        assert speed(state) / math.radians(state.yaw_rate) == pytest.approx(radius, rel=1e-3)
        # It comes back to where it was after a full circle, to 1 % of the radius.
        period = 2.0 * math.pi / math.radians(state.yaw_rate)
        x, y, yaw = state.x, state.y, state.yaw
        steps = 200
        for _ in range(steps):
            step_vehicle(state, control, params, period / steps)
        assert math.hypot(state.x - x, state.y - y) < 0.02 * radius
        assert abs(wrap_degrees(state.yaw - yaw)) < 2.0

    def test_right_is_positive_and_turns_clockwise_from_above(self) -> None:
        state = drive(VehicleState(vx=6.0), Control(steer=0.3, throttle=0.2), 1.0)
        assert state.yaw > 5.0
        assert state.yaw_rate > 0.0
        assert state.y > 0.5

    def test_in_reverse_the_same_wheel_turns_the_other_way(self) -> None:
        state = drive(VehicleState(vx=-3.0), Control(steer=0.3, throttle=0.2, reverse=True), 1.0)
        assert state.yaw < -5.0

    def test_full_lock_is_70_degrees_at_rest_and_takes_its_time(self) -> None:
        state = VehicleState()
        step_vehicle(state, Control(steer=1.0), MODEL3, DT)
        assert 0.0 < state.steer < 20.0
        drive(state, Control(steer=1.0), 0.4)
        assert state.steer == pytest.approx(70.0)

    def test_the_wheel_returns_faster_than_it_turns_in(self) -> None:
        away = drive(VehicleState(), Control(steer=1.0), 0.2).steer_input
        back = 1.0 - drive(VehicleState(steer_input=1.0), Control(), 0.2).steer_input
        assert back == pytest.approx(2.0 * away)

    def test_a_wheel_that_crosses_the_middle_does_not_jump(self) -> None:
        state = VehicleState(steer_input=0.1)
        inputs = []
        for _ in range(10):
            step_vehicle(state, Control(steer=-0.5), MODEL3, 0.02)
            inputs.append(state.steer_input)
        assert inputs == sorted(inputs, reverse=True)
        assert max(a - b for a, b in pairwise([0.1, *inputs])) <= 0.1 + 1e-9
        assert -0.5 < inputs[-1] < -0.3

    @pytest.mark.parametrize(("kmh", "factor"), [(0, 1.0), (10, 0.95), (20, 0.9), (40, 0.85), (90, 0.75), (200, 0.7)])
    def test_the_steering_curve_is_linear_between_its_points(self, kmh: float, factor: float) -> None:
        assert steering_factor(STEERING_CURVE, kmh) == pytest.approx(factor)

    def test_too_fast_a_turn_runs_wide_within_the_tyres_grip(self) -> None:
        state = VehicleState(vx=15.0, steer_input=1.0)
        drive(state, Control(steer=1.0, throttle=0.3), 1.0)
        lateral = speed(state) * math.radians(state.yaw_rate)
        assert 0.7 * MODEL3.grip < lateral <= MODEL3.grip
        asked = path_curvature(math.radians(state.steer), MODEL3)
        assert math.radians(state.yaw_rate) / speed(state) < 0.2 * asked

    @settings(max_examples=40, deadline=None)
    @given(blueprint=blueprints, start=st.floats(0.0, 40.0), turn=steer, pedal=unit, brake=unit)
    def test_the_tyres_never_give_more_than_their_grip(
        self, blueprint: str, start: float, turn: float, pedal: float, brake: float
    ) -> None:
        params = VEHICLES[blueprint]
        state = VehicleState(vx=start)
        for _ in range(40):
            step_vehicle(state, Control(throttle=pedal, steer=turn, brake=brake), params, DT)
            air = params.aero * start**2 + ROLLING_RESISTANCE
            assert math.hypot(state.ax, state.ay) <= 1.04 * params.grip + air

    @settings(max_examples=40, deadline=None)
    @given(
        start=st.floats(-10.0, 30.0),
        side=st.floats(-8.0, 8.0),
        spin=st.floats(-200.0, 200.0),
        controls=st.lists(st.tuples(unit, steer, unit, st.booleans()), min_size=1, max_size=30),
    )
    def test_left_and_right_are_symmetric(
        self, start: float, side: float, spin: float, controls: list[tuple[float, float, float, bool]]
    ) -> None:
        right = VehicleState(vx=start, vy=side, yaw_rate=spin)
        left = VehicleState(vx=start, vy=-side, yaw_rate=-spin)
        for throttle, turn, brake, reverse in controls:
            step_vehicle(right, Control(throttle, turn, brake, reverse=reverse), MODEL3, DT)
            step_vehicle(left, Control(throttle, -turn, brake, reverse=reverse), MODEL3, DT)
        assert (left.x, -left.y, -left.yaw_rate) == pytest.approx((right.x, right.y, right.yaw_rate), abs=1e-6)
        assert abs(wrap_degrees(left.yaw + right.yaw)) == pytest.approx(0.0, abs=1e-6)


class TestEnergyAndStability:
    @settings(max_examples=60, deadline=None)
    @given(
        blueprint=blueprints,
        start=st.floats(-15.0, 40.0),
        side=st.floats(-15.0, 15.0),
        spin=st.floats(-400.0, 400.0),
        controls=st.lists(st.tuples(steer, unit, st.booleans()), min_size=1, max_size=30),
        dt=st.sampled_from([0.01, 0.05, 0.1]),
    )
    def test_kinetic_energy_never_grows_without_throttle(
        self,
        blueprint: str,
        start: float,
        side: float,
        spin: float,
        controls: list[tuple[float, float, bool]],
        dt: float,
    ) -> None:
        # Without the drags that would hide a gain.
        params = dataclasses.replace(VEHICLES[blueprint], engine_drag=0.0, drag_area=0.0)
        state = VehicleState(vx=start, vy=side, yaw_rate=spin)
        for turn, brake, hand_brake in controls:
            before = energy(state, params)
            step_vehicle(state, Control(0.0, turn, brake, hand_brake), params, dt)
            assert energy(state, params) <= before * (1.0 + 1e-9) + 1e-12

    @pytest.mark.parametrize("turn", [0.1, 0.5, 1.0])
    def test_turning_in_takes_its_spin_from_the_speed(self, turn: float) -> None:
        params = dataclasses.replace(MODEL3, engine_drag=0.0, drag_area=0.0)
        state = VehicleState(vx=8.0)
        for tick in range(40):
            before = energy(state, params)
            step_vehicle(state, Control(steer=turn if tick < 20 else -turn), params, DT)
            assert energy(state, params) < before

    @settings(max_examples=20, deadline=None)
    @given(side=st.floats(-10.0, 10.0), spin=st.floats(-300.0, 300.0))
    def test_what_a_crash_leaves_comes_to_an_exact_stop(self, side: float, spin: float) -> None:
        state = drive(VehicleState(vx=3.0, vy=side, yaw_rate=spin), Control(brake=1.0), 6.0)
        assert (state.vx, state.vy, state.yaw_rate) == (0.0, 0.0, 0.0)
        assert (state.ax, state.ay) == (0.0, 0.0)

    def test_a_sideways_slide_is_stopped_by_friction(self) -> None:
        state = VehicleState(vy=6.0)
        drive(state, Control(), 2.0)
        assert speed(state) == 0.0
        assert state.y == pytest.approx(6.0**2 / (2.0 * MODEL3.grip), rel=0.1)

    @pytest.mark.parametrize("dt", [0.01, 0.02, 0.1, 0.5])
    def test_the_step_size_does_not_decide_the_path(self, dt: float) -> None:
        def end(step: float) -> VehicleState:
            state = VehicleState(vx=8.0)
            for _ in range(round(3.0 / step)):
                step_vehicle(state, Control(throttle=0.4, steer=0.1), MODEL3, step)
            return state

        one, other = end(DT), end(dt)
        assert math.hypot(one.x - other.x, one.y - other.y) < 0.5
        assert one.yaw == pytest.approx(other.yaw, abs=1.5)

    def test_the_same_controls_give_the_same_bits(self) -> None:
        def run() -> VehicleState:
            state = VehicleState(vx=3.0)
            for tick in range(200):
                control = Control(0.5 + 0.5 * math.sin(tick), math.cos(0.1 * tick), float(tick % 50 == 0))
                step_vehicle(state, control, MODEL3, DT)
            return state

        assert bytes(run()) == bytes(run())

    def test_the_model_3_drives_as_it_always_has(self) -> None:
        # Trained policies depend on it. The numbers are of the version before tyre friction limited the brakes.
        state = VehicleState()
        for tick in range(400):
            pedals = math.sin(0.05 * tick)
            control = Control(max(pedals, 0.0), 0.3 * math.sin(0.11 * tick), max(-pedals - 0.5, 0.0), 300 < tick < 310)
            step_vehicle(state, control, MODEL3, DT)
        reached = (state.x, state.y, state.yaw, state.vx, state.vy, state.yaw_rate)
        golden = (
            79.36740976206409,
            -7.67564080215775,
            -10.71278633553758,
            2.42224983595937,
            -0.53553437348414,
            -3.02675763273,
        )
        assert reached == pytest.approx(golden, rel=1e-9)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 7.0, -3.0])
    def test_a_control_out_of_range_cannot_break_the_state(self, value: float) -> None:
        state = drive(VehicleState(vx=5.0), Control(throttle=value, steer=value, brake=value), 2.0)
        assert all(map(math.isfinite, (state.x, state.y, state.vx, state.vy, state.yaw, state.yaw_rate)))
        assert 0.0 <= state.throttle_input <= 1.0
        assert -1.0 <= state.steer_input <= 1.0


class TestSnapshotFields:
    def test_acceleration_is_the_change_of_velocity(self) -> None:
        state = VehicleState(vx=6.0)
        for _ in range(30):
            vx, vy = state.vx, state.vy
            step_vehicle(state, Control(throttle=0.6, steer=0.2), MODEL3, DT)
            assert (state.ax, state.ay) == pytest.approx(((state.vx - vx) / DT, (state.vy - vy) / DT))

    def test_yaw_rate_is_the_change_of_yaw_and_yaw_stays_wrapped(self) -> None:
        state = drive(VehicleState(vx=-6.0, yaw=170.0), Control(steer=0.3, throttle=0.2), 1.0)
        before = state.yaw
        step_vehicle(state, Control(steer=0.3, throttle=0.2), MODEL3, DT)
        assert wrap_degrees(state.yaw - before) == pytest.approx(state.yaw_rate * DT, rel=0.02)
        assert -180.0 <= state.yaw < 180.0
        assert state.yaw < 0.0

    @settings(deadline=None)
    @given(yaw=st.floats(-180.0, 179.0))
    def test_the_world_has_no_preferred_direction(self, yaw: float) -> None:
        control = Control(throttle=0.6, steer=0.15)
        plain = drive(VehicleState(), control, 2.0)
        turned = drive(VehicleState(yaw=yaw), control, 2.0)
        cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        assert turned.x == pytest.approx(plain.x * cos - plain.y * sin, abs=1e-9)
        assert turned.y == pytest.approx(plain.x * sin + plain.y * cos, abs=1e-9)


class TestPlacement:
    def test_a_car_above_the_road_falls_as_things_fall_and_lands_level(self) -> None:
        state = VehicleState(z=0.5, pitch=3.0, vx=2.0)
        steps = 0
        while state.z > 0.0:
            step_vehicle(state, Control(throttle=1.0), MODEL3, DT)
            steps += 1
            assert state.vx == 2.0 or state.z == 0.0
        assert steps * DT == pytest.approx(math.sqrt(2 * 0.5 / 9.81), abs=1.5 * DT)
        step_vehicle(state, Control(), MODEL3, DT)
        assert (state.z, state.vz, state.pitch) == (0.0, 0.0, 0.0)

    def test_without_gravity_it_stays_up_there(self) -> None:
        assert drive(VehicleState(z=0.5, gravity=False), Control(throttle=1.0), 1.0).z == 0.5

    def test_it_stands_on_the_ground_it_is_given(self) -> None:
        state = VehicleState(z=4.0, vx=5.0)
        step_vehicle(state, Control(), MODEL3, DT, ground_z=4.02)
        assert state.z == 4.02

    def test_without_physics_it_is_where_it_was_put(self) -> None:
        state = VehicleState(vx=9.0, yaw_rate=30.0, simulate_physics=False)
        state.put(Pose(5.0, 6.0, 0.0, yaw=90.0))
        drive(state, Control(throttle=1.0, steer=1.0), 1.0)
        assert state.pose == Pose(5.0, 6.0, 0.0, yaw=90.0)
        assert (state.vx, state.vy, state.yaw_rate) == (0.0, 0.0, 0.0)

    def test_teleport_keeps_the_velocity_and_halt_forgets_everything(self) -> None:
        state = drive(VehicleState(), Control(throttle=1.0, steer=0.3), 2.0)
        velocity = (state.vx, state.vy)
        state.put(Pose(1.0, 2.0, 0.0, yaw=45.0))
        assert (state.vx, state.vy) == velocity
        halt(state)
        assert bytes(state) == bytes(VehicleState(1.0, 2.0, yaw=45.0))

    def test_constant_velocity_holds_against_brakes_and_follows_the_heading(self) -> None:
        state = VehicleState(yaw=90.0, constant_velocity=(7.0, 0.0))
        drive(state, Control(brake=1.0), 2.0)
        assert (state.vx, state.vy) == pytest.approx((0.0, 7.0))
        assert state.y == pytest.approx(14.0, abs=0.2)
        state.constant_velocity = None
        assert speed(drive(state, Control(brake=1.0), 2.0)) == 0.0

    def test_a_set_velocity_is_taken_at_once(self) -> None:
        state = VehicleState()
        set_velocity(state, 8.0, 0.0)
        step_vehicle(state, Control(), MODEL3, DT)
        assert state.x == pytest.approx(8.0 * DT, rel=0.01)

    def test_an_impulse_changes_velocity_by_its_share_of_the_mass(self) -> None:
        state = VehicleState()
        apply_impulse(state, MODEL3, 1845.0, -3690.0)
        assert (state.vx, state.vy) == (1.0, -2.0)
