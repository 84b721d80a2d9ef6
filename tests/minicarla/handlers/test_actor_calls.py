"""Spawning, destroying, attaching, batches."""

import carla
import pytest
from server_process import RawRpc, SyncWorld

SpawnActor, DestroyActor, FutureActor = carla.command.SpawnActor, carla.command.DestroyActor, carla.command.FutureActor


def test_spawn_and_destroy(sync: SyncWorld):
    car = sync.spawn("vehicle.tesla.model3", sync.spawn_points[0], role_name="hero", color="1,2,3")
    assert car.attributes["role_name"] == "hero"
    assert car.attributes["color"] == "1,2,3"
    assert car.attributes["number_of_wheels"] == "4"
    assert car.semantic_tags == [int(carla.CityObjectLabel.Car)]
    sync.world.tick()
    assert car.is_alive
    assert car.get_location().distance(sync.spawn_points[0].location) < 0.1
    assert [actor.id for actor in sync.world.get_actors().filter("vehicle.*")] == [car.id]
    assert car.destroy()
    sync.world.tick()
    assert not car.is_alive
    assert len(sync.world.get_actors().filter("vehicle.*")) == 0


def test_bounding_box_is_a_model_3s(sync: SyncWorld):
    box = sync.car().bounding_box
    assert (box.extent.x, box.extent.y, box.extent.z) == pytest.approx((2.396, 1.082, 0.744), abs=0.01)
    assert box.location.z == pytest.approx(box.extent.z, abs=0.05)


def test_place_that_is_taken(sync: SyncWorld):
    sync.car()
    blueprint = sync.blueprints.find("vehicle.audi.tt")
    with pytest.raises(RuntimeError, match=r"^Spawn failed because of collision at spawn position$"):
        sync.world.spawn_actor(blueprint, sync.spawn_points[0])
    assert sync.world.try_spawn_actor(blueprint, sync.spawn_points[0]) is None
    above = sync.spawn_points[0]
    above.location.z += 10.0
    assert sync.world.try_spawn_actor(blueprint, above) is not None


def test_place_inside_a_building(sync: SyncWorld):
    wall = sync.world.get_level_bbs(carla.CityObjectLabel.Buildings)[0]
    assert sync.world.try_spawn_actor(sync.blueprints.find("vehicle.audi.tt"), carla.Transform(wall.location)) is None


def test_ids_are_never_used_twice(sync: SyncWorld):
    first = sync.car()
    first.destroy()
    assert sync.car().id > first.id


def test_unattached_and_attached_poses(sync: SyncWorld):
    car = sync.car()
    offset = carla.Transform(carla.Location(1.5, -0.5, 2.0), carla.Rotation(pitch=-15.0, yaw=30.0, roll=5.0))
    sensor = sync.spawn("sensor.camera.rgb", offset, car)
    assert sensor.parent.id == car.id
    yaw_before = car.get_transform().rotation.yaw
    car.set_transform(carla.Transform(car.get_location(), carla.Rotation(yaw=yaw_before + 40.0)))
    sync.world.tick()
    car_pose = car.get_transform()
    expected = carla.Location(offset.location)
    car_pose.transform(expected)
    seen = sensor.get_transform()
    assert seen.location.distance(expected) < 1e-3
    assert seen.rotation.pitch == pytest.approx(-15.0, abs=1e-3)
    assert seen.rotation.roll == pytest.approx(5.0, abs=1e-3)
    assert (seen.rotation.yaw - car_pose.rotation.yaw - 30.0) % 360.0 == pytest.approx(0.0, abs=1e-2)
    sensor.set_transform(carla.Transform(carla.Location(0.0, 0.0, 3.0)))
    sync.world.tick()
    assert sensor.get_location().distance(car.get_location() + carla.Location(z=3.0)) < 1e-3


def test_what_was_attached_survives_its_parent(sync: SyncWorld):
    car = sync.car()
    sensor = sync.spawn("sensor.other.imu", carla.Transform(), car)
    sync.world.tick()
    place = sensor.get_location()
    car.destroy()
    sync.ticks(2)
    assert sensor.is_alive
    assert sensor.get_location().distance(place) < 1e-3


def test_batch_of_spawns_with_commands_after_them(sync: SyncWorld):
    car = sync.blueprints.find("vehicle.tesla.model3")
    control = carla.command.ApplyVehicleControl(FutureActor, carla.VehicleControl(throttle=1.0))
    batch = [SpawnActor(car, sync.spawn_points[3]).then(control), SpawnActor(car, sync.spawn_points[3])]
    good, bad = sync.client.apply_batch_sync(batch, True)
    assert not good.error
    assert "collision" in bad.error
    sync.ticks(40)
    assert sync.world.get_actor(good.actor_id).get_velocity().length() > 2.0
    (gone, missing) = sync.client.apply_batch_sync([DestroyActor(good.actor_id), DestroyActor(good.actor_id)], True)
    assert not gone.error
    assert "there is no actor" in missing.error


def test_every_command_is_answered(sync: SyncWorld):
    car, other = sync.car(), sync.car(5)
    walker = sync.spawn("walker.pedestrian.0001", sync.spawn_points[9])
    light = sync.world.get_actors().filter("traffic.traffic_light")[0]
    up, commands = carla.Vector3D(0.0, 0.0, 1.0), carla.command
    place = carla.Transform(carla.Location(50.0, 50.0, 1.0))
    batch = [
        commands.ApplyVehicleControl(car, carla.VehicleControl(throttle=0.5)),
        commands.ApplyVehicleAckermannControl(car, carla.VehicleAckermannControl(speed=3.0)),
        commands.ApplyWalkerControl(walker, carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.4, False)),
        commands.ApplyVehiclePhysicsControl(car, car.get_physics_control()),
        commands.ApplyTransform(other, place),
        commands.ApplyWalkerState(walker, place, 1.0),
        commands.ApplyTargetVelocity(car, up),
        commands.ApplyTargetAngularVelocity(car, up),
        commands.ApplyImpulse(car, up),
        commands.ApplyForce(car, up),
        commands.ApplyAngularImpulse(car, up),
        commands.ApplyTorque(car, up),
        commands.SetSimulatePhysics(other, False),
        commands.SetEnableGravity(other, False),
        commands.SetVehicleLightState(car.id, carla.VehicleLightState.Brake),
    ]
    assert [response.error for response in sync.client.apply_batch_sync(batch, True)] == [""] * len(batch)
    assert other.get_location().distance(place.location) < 1e-3
    assert car.get_light_state() == carla.VehicleLightState.Brake
    wrong = [commands.ApplyVehicleControl(light, carla.VehicleControl()), commands.DestroyActor(light)]
    is_no_vehicle, not_destroyed = sync.client.apply_batch_sync(wrong, True)
    assert "is no vehicle" in is_no_vehicle.error
    assert "destroy_actor" in not_destroyed.error


def test_commands_that_the_wheel_cannot_make(sync: SyncWorld):
    car = sync.car()
    light = sync.world.get_actors().filter("traffic.traffic_light")[0]
    rpc = RawRpc(sync.port)
    place = [1.0, 2.0, 0.0]
    known = [[[17, [car.id, True]]], [[19, [car.id, place]]], [[21, [light.id, 1]]]]
    assert rpc.call("apply_batch", known, False) == [[[1, car.id]], [[1, car.id]], [[1, light.id]]]
    sync.world.tick()
    assert car.get_location().distance(carla.Location(*place)) < 0.1
    assert light.get_state() == carla.TrafficLightState.Yellow
    wrong = [[[20, ["stat fps"]]], [[99, [1]]], [[2, [car.id]]], [[2, []]], [], 7, [[6, [car.id, "x"]]]]
    responses = rpc.call("apply_batch", wrong, False)
    assert [response[0][0] for response in responses] == [0] * len(wrong)
    assert "console_command" in responses[0][0][1][0]
    rpc.close()


def test_unknown_blueprint_attribute_and_image_size(sync: SyncWorld):
    with pytest.raises(RuntimeError, match="too large"):
        sync.spawn("sensor.camera.rgb", carla.Transform(), image_size_x=100000, image_size_y=100000)
    with pytest.raises(RuntimeError, match="attribute that cannot be"):
        sync.spawn("sensor.camera.rgb", carla.Transform(), fov=400.0)
    with pytest.raises(IndexError):
        sync.blueprints.find("sensor.lidar.none")


@pytest.mark.parametrize("sensor", ["sensor.other.rss", "sensor.other.v2x", "sensor.other.v2x_custom"])
def test_what_can_only_be_looked_at_says_so_when_it_is_spawned(sync: SyncWorld, sensor: str):
    assert sync.blueprints.find(sensor).has_attribute("role_name")
    with pytest.raises(RuntimeError, match=f"{sensor}' cannot be spawned: "):
        sync.spawn(sensor, carla.Transform())


def test_walker_walks_where_it_is_told(sync: SyncWorld):
    walker = sync.spawn("walker.pedestrian.0001", sync.spawn_points[20])
    sync.world.tick()
    start = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, 1.0, 0.0), 1.5, False))
    sync.ticks(20)
    assert walker.get_location().y - start.y == pytest.approx(1.5, abs=0.1)
    assert walker.get_control().speed == pytest.approx(1.5)
    assert walker.get_velocity().y == pytest.approx(1.5, abs=1e-3)


def test_cars_run_into_props(sync: SyncWorld):
    car = sync.car()
    ahead = carla.Transform(car.get_location() + 10.0 * car.get_transform().get_forward_vector())
    prop = sync.spawn("static.prop.streetbarrier", ahead)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    sync.ticks(80)
    assert car.get_location().distance(prop.get_location()) < 4.0
    assert prop.get_location().distance(ahead.location) < 1e-3
