"""Controls, physics control, teleports and forces through the stock client. How a car drives: see the physics tests."""

import math

import carla
import pytest
from server_process import SyncWorld


def speed(car: carla.Vehicle) -> float:
    return car.get_velocity().length()


def state_of(car: carla.Vehicle) -> tuple[float, ...]:
    pose, velocity, turn = car.get_transform(), car.get_velocity(), car.get_angular_velocity()
    place = pose.location
    return (place.x, place.y, place.z, pose.rotation.yaw, velocity.x, velocity.y, turn.z, car.get_acceleration().x)


def test_control_is_shown_and_obeyed(sync: SyncWorld):
    car = sync.car()
    car.apply_control(carla.VehicleControl(throttle=0.75, steer=-0.25, brake=0.0, manual_gear_shift=True, gear=2))
    sync.ticks(80)
    shown = car.get_control()
    assert (shown.throttle, shown.steer, shown.brake) == (0.75, -0.25, 0.0)
    assert (shown.manual_gear_shift, shown.gear) == (True, 2)
    assert speed(car) > 3.0
    car.apply_control(carla.VehicleControl(brake=1.0))
    sync.ticks(60)
    assert speed(car) < 0.1


def test_control_is_clamped_and_nan_is_refused(sync: SyncWorld):
    car = sync.car()
    car.apply_control(carla.VehicleControl(throttle=5.0, steer=-9.0))
    sync.world.tick()
    assert (car.get_control().throttle, car.get_control().steer) == (1.0, -1.0)
    car.apply_control(carla.VehicleControl(throttle=math.nan))
    sync.world.tick()
    assert car.get_control().throttle == 1.0
    assert math.isfinite(speed(car))


def test_control_before_tick_acts_in_that_tick(sync: SyncWorld):
    car = sync.car()
    for throttle in (0.1, 0.9, 0.4):
        car.apply_control(carla.VehicleControl(throttle=throttle))
        sync.world.tick()
        assert car.get_control().throttle == pytest.approx(throttle)


def test_reverse(sync: SyncWorld):
    car = sync.car()
    forward = car.get_transform().get_forward_vector()
    car.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
    sync.ticks(30)
    assert car.get_velocity().dot(forward) < -1.0
    assert car.get_control().gear == -1


def test_ackermann_reaches_its_speed_and_a_control_ends_it(sync: SyncWorld):
    car = sync.car()
    settings = car.get_ackermann_controller_settings()
    assert settings.speed_kp == pytest.approx(0.15)
    settings.speed_kp = 0.2
    car.apply_ackermann_controller_settings(settings)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=6.0, acceleration=2.0))
    sync.ticks(200)
    assert speed(car) == pytest.approx(6.0, abs=0.5)
    assert car.get_ackermann_controller_settings().speed_kp == pytest.approx(0.2)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=0.0))
    sync.ticks(200)
    assert speed(car) < 0.2
    car.apply_control(carla.VehicleControl(throttle=1.0))
    sync.ticks(40)
    assert speed(car) > 3.0


def test_physics_control_comes_back_and_has_effect(sync: SyncWorld):
    car = sync.car()
    control = car.get_physics_control()
    assert control.mass == pytest.approx(1845.0)
    assert [wheel.max_steer_angle for wheel in control.wheels] == [70.0, 70.0, 0.0, 0.0]
    front, back = control.wheels[0].position, control.wheels[2].position
    assert math.hypot(front.x - back.x, front.y - back.y) / 100.0 == pytest.approx(2.875, abs=0.01)
    wheels = control.wheels
    for wheel in wheels[:2]:
        wheel.max_steer_angle = 20.0
    control.mass, control.wheels = 3000.0, wheels
    control.steering_curve = [carla.Vector2D(0.0, 1.0)]
    car.apply_physics_control(control)
    assert car.get_physics_control() == control
    car.apply_control(carla.VehicleControl(steer=1.0))
    sync.ticks(20)
    assert car.get_wheel_steer_angle(carla.VehicleWheelLocation.FR_Wheel) == pytest.approx(20.0, abs=0.1)
    assert car.get_wheel_steer_angle(carla.VehicleWheelLocation.BL_Wheel) == 0.0
    car.add_impulse(carla.Vector3D(3000.0, 0.0, 0.0))
    sync.world.tick()
    assert speed(car) < 1.1


def test_impossible_physics_control_changes_nothing(sync: SyncWorld):
    car = sync.car()
    control = car.get_physics_control()
    control.mass = -1.0
    car.apply_physics_control(control)
    assert car.get_physics_control().mass == pytest.approx(1845.0)


def test_teleport_keeps_velocity_and_zero_velocity_makes_a_new_car(sync: SyncWorld):
    veteran, rookie = sync.car(0), sync.car(30)
    place = sync.spawn_points[60]
    place.location.z = 0.0
    veteran.apply_control(carla.VehicleControl(throttle=1.0, steer=0.3))
    sync.ticks(40)
    going = speed(veteran)
    veteran.set_transform(place)
    sync.world.tick()
    assert speed(veteran) == pytest.approx(going, rel=0.2)

    def drive(car: carla.Vehicle) -> list[tuple[float, ...]]:
        car.set_transform(place)
        car.set_target_velocity(carla.Vector3D())
        car.set_target_angular_velocity(carla.Vector3D())
        states = []
        for _ in range(20):
            car.apply_control(carla.VehicleControl(throttle=0.6, steer=0.1))
            sync.world.tick()
            states.append(state_of(car))
        return states

    with_a_past = drive(veteran)
    veteran.destroy()
    assert drive(rookie) == with_a_past


def test_target_and_constant_velocity(sync: SyncWorld):
    car = sync.car()
    forward = car.get_transform().get_forward_vector()
    car.set_target_velocity(5.0 * forward)
    sync.world.tick()
    assert speed(car) == pytest.approx(5.0, abs=0.3)
    car.enable_constant_velocity(carla.Vector3D(3.0, 0.0, 0.0))
    sync.ticks(20)
    assert car.get_velocity().dot(forward) == pytest.approx(3.0, abs=1e-3)
    car.disable_constant_velocity()
    car.apply_control(carla.VehicleControl(brake=1.0))
    sync.ticks(40)
    assert speed(car) < 0.1


def test_without_physics_a_car_stays_where_it_is_put(sync: SyncWorld):
    car = sync.car()
    car.set_simulate_physics(False)
    up = car.get_location() + carla.Location(z=5.0)
    car.set_location(up)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    sync.ticks(10)
    assert car.get_location().distance(up) < 1e-3
    car.set_simulate_physics(True)
    sync.ticks(60)
    assert car.get_location().z == pytest.approx(0.0, abs=0.01)


def test_without_gravity_a_car_does_not_fall(sync: SyncWorld):
    place = sync.spawn_points[0]
    place.location.z = 4.0
    car = sync.spawn("vehicle.mini.cooper_s", place)
    car.set_enable_gravity(False)
    sync.ticks(20)
    assert car.get_location().z == pytest.approx(4.0, abs=0.05)


def test_impulse_force_and_torque(sync: SyncWorld):
    car = sync.car()
    mass = car.get_physics_control().mass
    forward = car.get_transform().get_forward_vector()
    car.add_impulse(2.0 * mass * forward)
    sync.world.tick()
    assert car.get_velocity().dot(forward) == pytest.approx(2.0, abs=0.2)
    before = car.get_velocity().dot(forward)
    car.add_force(20.0 * mass * forward)
    sync.world.tick()
    assert car.get_velocity().dot(forward) - before == pytest.approx(20.0 * 0.05, abs=0.2)
    sync.world.tick()
    assert car.get_velocity().dot(forward) - before < 1.2  # a force acts for one tick
    car.add_angular_impulse(carla.Vector3D(0.0, 0.0, 5000.0))
    sync.world.tick()
    assert car.get_angular_velocity().z > 10.0


def test_impulse_beyond_all_measure_does_not_break_the_world(sync: SyncWorld):
    car = sync.car()
    for _ in range(20):
        car.add_impulse(carla.Vector3D(9e8, 0.0, 0.0))
    sync.ticks(3)
    assert speed(car) <= 300.0
    assert math.isfinite(car.get_location().x)


def test_lights_and_telemetry(sync: SyncWorld):
    car = sync.car()
    lights = carla.VehicleLightState(carla.VehicleLightState.LowBeam | carla.VehicleLightState.Brake)
    car.set_light_state(lights)
    assert car.get_light_state() == lights
    assert sync.world.get_vehicles_light_states() == {car.id: lights}
    car.apply_control(carla.VehicleControl(throttle=0.5))
    sync.ticks(20)
    telemetry = car.get_telemetry_data()
    assert telemetry.speed == pytest.approx(speed(car), abs=0.01)
    assert telemetry.throttle == 0.5
    assert len(telemetry.wheels) == 4
    assert telemetry.wheels[0].omega > 0.0


def test_methods_for_vehicles_refuse_others(sync: SyncWorld):
    walker = sync.spawn("walker.pedestrian.0001", sync.spawn_points[9])
    sync.world.tick()
    (response,) = sync.client.apply_batch_sync(
        [carla.command.ApplyVehicleControl(walker.id, carla.VehicleControl())], False
    )
    assert response.error == f"actor {walker.id} (walker.pedestrian.0001) is no vehicle"
