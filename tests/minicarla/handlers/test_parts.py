"""Components, bones, doors and wheels by hand, and pushes at a place."""

import math

import carla
import pytest
from server_process import RawRpc, SyncWorld

FRONT_LEFT, BACK_RIGHT = carla.VehicleWheelLocation.FL_Wheel, carla.VehicleWheelLocation.BR_Wheel


def test_a_component_is_where_it_says(sync: SyncWorld):
    car = sync.car(blueprint="vehicle.audi.tt")
    blinker = "front-blinker-r-1"  # the one that CARLA's example asks for
    assert blinker in car.get_component_names()
    inside = car.get_component_relative_transform(blinker).location
    extent = car.bounding_box.extent
    assert inside.x == pytest.approx(extent.x, abs=0.05)
    assert 0.0 < inside.y < extent.y
    world = car.get_transform().transform(carla.Location(inside))
    assert car.get_component_world_transform(blinker).location.distance(world) < 1e-3
    with pytest.raises(RuntimeError, match="has no component 'spoiler', only VehicleMesh, VehicleBounds"):
        car.get_component_world_transform("spoiler")


@pytest.mark.parametrize("blueprint", ["static.prop.bin", "sensor.other.gnss"])
def test_every_actor_has_components(sync: SyncWorld, blueprint: str):
    actor = sync.spawn(blueprint, sync.spawn_points[0])
    sync.world.tick()
    for name in actor.get_component_names():
        assert actor.get_component_world_transform(name).location.distance(actor.get_location()) < 1.0
    assert actor.get_socket_names() == []
    with pytest.raises(RuntimeError, match=rf"actor {actor.id} \({blueprint}\) has no skeleton"):
        actor.get_bone_names()


@pytest.mark.parametrize(("blueprint", "wheels"), [("vehicle.audi.tt", 4), ("vehicle.carlamotors.european_hgv", 6)])
def test_bones_are_the_wheels_that_physics_control_has(sync: SyncWorld, blueprint: str, wheels: int):
    vehicle = sync.car(blueprint=blueprint)
    vehicle.apply_control(carla.VehicleControl(steer=1.0))
    sync.ticks(20)
    names, bones = vehicle.get_bone_names(), vehicle.get_vehicle_bone_world_transforms()
    assert names[:3] == ["Vehicle_Base", "Wheel_Front_Left", "Wheel_Front_Right"]
    assert names == vehicle.get_socket_names()
    assert len(bones) == len(vehicle.get_bone_relative_transforms()) == 1 + wheels
    for bone, wheel in zip(bones[1:], vehicle.get_physics_control().wheels, strict=True):
        assert bone.location.distance(carla.Location(0.01 * wheel.position)) < 1e-3
    turned = [bone.rotation.yaw - bones[0].rotation.yaw for bone in bones[1:]]
    steer = vehicle.get_wheel_steer_angle(FRONT_LEFT)
    assert steer > 50.0
    assert [
        math.cos(math.radians(angle - aim)) for angle, aim in zip(turned, [steer, steer, 0, 0, 0, 0], strict=False)
    ] == [pytest.approx(1.0)] * wheels


def test_wheels_are_set_by_hand_only_without_physics(sync: SyncWorld):
    car = sync.car()
    car.set_wheel_steer_direction(FRONT_LEFT, 30.0)
    assert car.get_wheel_steer_angle(FRONT_LEFT) == 0.0
    car.set_simulate_physics(False)
    car.set_wheel_steer_direction(FRONT_LEFT, 30.0)
    car.set_wheel_steer_direction(BACK_RIGHT, -10.0)
    car.set_wheel_pitch_angle(BACK_RIGHT, 45.0)
    assert [car.get_wheel_steer_angle(wheel) for wheel in (FRONT_LEFT, BACK_RIGHT)] == [30.0, -10.0]
    assert car.get_wheel_pitch_angle(BACK_RIGHT) == 45.0
    car.set_simulate_physics(True)
    assert car.get_wheel_steer_angle(BACK_RIGHT) == car.get_wheel_pitch_angle(BACK_RIGHT) == 0.0


def test_a_wheel_or_door_that_there_is_not_is_refused(sync: SyncWorld):
    car = sync.car()
    with RawRpc(sync.port) as rpc:
        assert rpc.call("get_wheel_steer_angle", car.id, 4) == [
            [0, [f"actor {car.id} (vehicle.tesla.model3) has wheels 0 to 3, no 4"]]
        ]
        assert "there is no door 7" in rpc.call("open_vehicle_door", car.id, 7)[0][1][0]
        assert rpc.call("open_vehicle_door", car.id, 6) == [[False]]


@pytest.mark.parametrize("blueprint", ["vehicle.dodge.charger_2020", "vehicle.audi.tt"])
def test_doors_open_and_close_and_the_car_drives_on(sync: SyncWorld, blueprint: str):
    car = sync.car(blueprint=blueprint)
    car.open_door(carla.VehicleDoor.All)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    sync.ticks(20)
    car.close_door(carla.VehicleDoor.FL)
    assert car.get_velocity().length() > 1.0
    assert car.get_failure_state() == carla.VehicleFailureState.NONE


def test_a_push_beside_the_middle_also_turns(sync: SyncWorld):
    def pushed(method: str, size: float, ahead: float) -> tuple[float, float]:
        car = sync.car(blueprint="vehicle.mini.cooper_s")
        place, box = car.get_transform(), car.bounding_box
        right, forward = place.get_right_vector(), place.get_forward_vector()
        middle = place.transform(carla.Location(box.location)) + ahead * forward
        push = size * right
        with RawRpc(sync.port) as rpc:
            answer = rpc.call(method, car.id, [push.x, push.y, push.z], [middle.x, middle.y, middle.z])
        assert answer == [[False]]
        sync.world.tick()
        turn, side = car.get_angular_velocity().z, car.get_velocity().dot(right)
        car.destroy()
        sync.world.tick()
        return turn, side

    centred, in_front, behind = (pushed("add_actor_impulse_at_location", 4000.0, ahead) for ahead in (0.0, 1.0, -1.0))
    assert centred[0] == pytest.approx(0.0, abs=2.0)
    assert in_front[0] > 20.0
    assert behind[0] < -20.0
    assert centred[1] > 2.0
    # The same push as a force that lasts one tick.
    assert pushed("add_actor_force_at_location", 4000.0 / 0.05, 1.0) == pytest.approx(in_front, rel=0.1)
