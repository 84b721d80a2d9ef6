"""Tyre friction, sticky control and gears, as the stock client sets and sees them."""

import math

import carla
import pytest
from server_process import SyncWorld


def with_friction(car: carla.Vehicle, friction: float, **others: float) -> carla.VehiclePhysicsControl:
    control = car.get_physics_control()
    wheels = control.wheels
    for wheel in wheels:
        wheel.tire_friction = friction
    control.wheels = wheels
    for name, value in others.items():
        setattr(control, name, value)
    return control


def friction_of(car: carla.Vehicle) -> float:
    return car.get_physics_control().wheels[0].tire_friction


def rolling(sync: SyncWorld, speed: float, friction: float, spawn_point: int = 0, **others: float) -> carla.Vehicle:
    """A car on its way along its road, with everything but the friction as it comes."""
    car = sync.car(spawn_point)
    car.apply_physics_control(with_friction(car, friction, **others))
    car.set_target_velocity(speed * car.get_transform().get_forward_vector())
    sync.world.tick()
    return car


@pytest.mark.parametrize(("friction", "decel"), [(3.5, 7.5), (1.75, 4.25), (0.7, 1.7)])
def test_friction_limits_braking(sync: SyncWorld, friction: float, decel: float):
    car = rolling(sync, 10.0, friction)
    car.apply_control(carla.VehicleControl(brake=1.0))
    sync.ticks(5)  # the pedal comes down
    before = car.get_velocity().length()
    sync.ticks(10)
    drag = 0.2  # rolling and air, less than
    assert decel <= (before - car.get_velocity().length()) / 0.5 <= decel + drag


def test_without_friction_a_car_neither_brakes_nor_drives_nor_turns(sync: SyncWorld):
    car = rolling(sync, 10.0, 0.0, drag_coefficient=0.0)
    begin = car.get_velocity()
    for control in (
        carla.VehicleControl(brake=1.0),
        carla.VehicleControl(throttle=1.0, steer=0.5),
        carla.VehicleControl(hand_brake=True),
        carla.VehicleControl(),
    ):
        car.apply_control(control)
        sync.ticks(5)
        assert car.get_velocity().distance(begin) < 1e-3
    assert car.get_telemetry_data().wheels[0].tire_friction == 0.0


def test_a_negative_friction_changes_nothing(sync: SyncWorld):
    car = sync.car()
    car.apply_physics_control(with_friction(car, -1.0))
    assert friction_of(car) == 3.5


def test_a_volume_changes_the_grip_of_those_inside(sync: SyncWorld):
    inside, outside = rolling(sync, 8.0, 2.0), rolling(sync, 8.0, 2.0, spawn_point=40)
    place = inside.get_transform()
    place.location += 12.0 * place.get_forward_vector()
    ice = sync.spawn("static.trigger.friction", place, friction=0.0, extent_x=500, extent_y=500, extent_z=300)
    assert ice.bounding_box.extent == carla.Vector3D(5.0, 5.0, 3.0)
    for car in (inside, outside):
        car.apply_control(carla.VehicleControl(brake=0.3))
    frictions = []
    while inside.get_velocity().length() > 0.1 and len(frictions) < 200:
        speed = inside.get_velocity().length()
        sync.world.tick()
        frictions.append(round(friction_of(inside), 3))
        if frictions[-2:] == [0.0, 0.0]:
            assert inside.get_velocity().length() == pytest.approx(speed, abs=0.02)  # only the air slows it
    assert [frictions[0], min(frictions), frictions[-1]] == [2.0, 0.0, 2.0]
    assert friction_of(outside) == 2.0
    inside.set_transform(place)
    sync.world.tick()
    assert friction_of(inside) == 0.0
    ice.destroy()
    assert friction_of(inside) == 2.0


def test_a_volume_that_cannot_be_is_refused(sync: SyncWorld):
    for name in ("friction", "extent_x"):
        with pytest.raises(RuntimeError, match=f"static.trigger.friction.* {name}"):
            sync.spawn("static.trigger.friction", sync.spawn_points[0], **{name: -1.0})


@pytest.mark.parametrize("sticky", [True, False])
def test_a_control_that_does_not_stick_holds_for_one_tick(sync: SyncWorld, sticky: bool):
    place = sync.spawn_points[0]
    place.location.z = 0.0
    car = sync.spawn("vehicle.tesla.model3", place, sticky_control=sticky)
    sync.world.tick()
    pressed = []
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.1, manual_gear_shift=True, gear=1))
    for _ in range(3):
        sync.world.tick()
        shown = car.get_control()
        pressed.append((shown.throttle, round(shown.steer, 3), shown.manual_gear_shift))
    held, let_go = (1.0, 0.1, True), (0.0, 0.0, False)
    assert pressed == [held] + 2 * [held if sticky else let_go]


def test_gears_and_engine_follow_the_speed(sync: SyncWorld):
    car = sync.car()
    assert (car.get_control().gear, car.get_telemetry_data().engine_rpm) == (1, 0.0)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    gears, engine = [], []
    for _ in range(100):
        sync.world.tick()
        gears.append(car.get_control().gear)
        engine.append(car.get_telemetry_data().engine_rpm)
    assert gears == sorted(gears)
    assert set(gears) == {1, 2, 3}
    change = gears.index(2)
    assert engine[change] == pytest.approx(engine[change - 1] / 2.0, rel=0.1)
    control = car.get_physics_control()
    speed, ratio = car.get_telemetry_data().speed, control.forward_gears[2].ratio * control.final_ratio
    turns = speed / (2.0 * math.pi * 0.01 * control.wheels[0].radius) * ratio
    assert engine[-1] == pytest.approx(60.0 * turns, rel=1e-3)


def test_gears_by_hand(sync: SyncWorld):
    def reached(gear: int) -> float:
        car = sync.car()
        forward = car.get_transform().get_forward_vector()
        car.apply_control(carla.VehicleControl(throttle=1.0, manual_gear_shift=True, gear=gear))
        sync.ticks(30)
        speed = car.get_velocity().dot(forward)
        assert (car.get_control().gear, car.get_control().reverse) == (gear, gear < 0)
        car.destroy()
        sync.world.tick()
        return speed

    speeds = {gear: reached(gear) for gear in (-1, 0, 1, 2, 4)}
    assert speeds[0] == 0.0
    assert speeds[-1] == pytest.approx(-speeds[1], rel=0.05)
    assert speeds[1] > 1.5 * speeds[2] > 1.5 * speeds[4] > 1.0


def test_another_gearbox_is_taken_over(sync: SyncWorld):
    car = sync.car()
    control = car.get_physics_control()
    control.forward_gears = [carla.GearPhysicsControl(ratio=9.0, down_ratio=0.0, up_ratio=1.0)]
    control.final_ratio, control.max_rpm = 1.0, 16000.0
    car.apply_physics_control(control)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    sync.ticks(100)
    assert car.get_control().gear == 1
    assert car.get_telemetry_data().engine_rpm > 3000.0
    control.max_rpm = 0.0
    car.apply_physics_control(control)  # refused: the engine could not turn
    assert car.get_physics_control().max_rpm == 16000.0


@pytest.mark.parametrize(
    ("blueprint", "wheels"),
    [("vehicle.bh.crossbike", 4), ("vehicle.yamaha.yzf", 4), ("vehicle.carlamotors.european_hgv", 6)],
)
def test_wheels_are_as_many_as_carlas(sync: SyncWorld, blueprint: str, wheels: int):
    vehicle = sync.car(blueprint=blueprint)
    control = with_friction(vehicle, 2.5)
    assert len(control.wheels) == len(vehicle.get_telemetry_data().wheels) == wheels
    vehicle.apply_physics_control(control)
    assert vehicle.get_physics_control() == control
