"""Every sensor through the stock client: a wrong byte in a frame would end this process."""

import math

import carla
import numpy as np
import pytest
from server_process import RawRpc, SyncWorld


def pixels(image: carla.Image) -> np.ndarray:
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def test_camera_frame_is_the_ticks(sync: SyncWorld):
    car = sync.car()
    camera, images = sync.camera("rgb", car, image_size_x=80, image_size_y=60, fov=100.0)
    for _ in range(10):
        frame = sync.world.tick()
        image = images.get(timeout=10.0)
        assert image.frame == frame
        assert image.timestamp == pytest.approx(sync.world.get_snapshot().timestamp.elapsed_seconds)
    assert (image.width, image.height, image.fov) == (80, 60, 100.0)
    assert image.transform.location.distance(camera.get_location()) < 1e-4
    assert pixels(image).shape == (60, 80, 4)
    assert pixels(image)[..., :3].std() > 5.0
    assert images.empty()


def test_camera_kinds(sync: SyncWorld):
    car = sync.car()
    _, tags = sync.camera("semantic_segmentation", car)
    _, depths = sync.camera("depth", car)
    sync.world.tick()
    seen = set(np.unique(pixels(tags.get(timeout=10.0))[..., 2]).tolist())
    assert int(carla.CityObjectLabel.Roads) in seen
    assert int(carla.CityObjectLabel.Sky) in seen
    depth = depths.get(timeout=10.0)
    blue, green, red = (pixels(depth)[..., channel].astype(float) for channel in range(3))
    metres = 1000.0 * (red + 256.0 * green + 65536.0 * blue) / (256.0**3 - 1.0)
    # Camera 1.5 m above flat ground, fov 90 deg: the lowest row looks down by atan(17.5 / 32).
    assert metres[-1, 32] == pytest.approx(1.5 / (17.5 / 32.0), rel=0.1)
    depth.convert(carla.ColorConverter.LogarithmicDepth)


def test_instances_and_normals(sync: SyncWorld):
    car = sync.car()
    pose = car.get_transform()
    other = sync.spawn(
        "vehicle.audi.tt", carla.Transform(pose.location + 9.0 * pose.get_forward_vector(), pose.rotation)
    )
    _, instances = sync.camera("instance_segmentation", car)
    _, tags = sync.camera("semantic_segmentation", car)
    _, normals = sync.camera("normals", car)
    sync.world.tick()
    tagged = pixels(tags.get(timeout=10.0))[..., 2].copy()
    seen = pixels(instances.get(timeout=10.0)).astype(int)
    assert np.array_equal(seen[..., 2], tagged)
    ids = seen[..., 1] + 256 * seen[..., 0]
    cars = tagged == int(carla.CityObjectLabel.Car)
    assert cars.sum() > 20
    assert set(ids[cars].tolist()) == {other.id}
    up = pixels(normals.get(timeout=10.0))[tagged == int(carla.CityObjectLabel.Roads)]
    assert (up[:, 0] == 255).all()
    assert (abs(up[:, 1:3].astype(int) - 127.5) <= 3.0).all()


def test_cosmos_colours_are_those_of_the_classes(sync: SyncWorld):
    car = sync.car()
    pose = car.get_transform()
    sync.spawn("vehicle.audi.tt", carla.Transform(pose.location + 9.0 * pose.get_forward_vector(), pose.rotation))
    _, tags = sync.camera("semantic_segmentation", car)
    _, drawn = sync.camera("cosmos_visualization", car)
    sync.world.tick()
    tagged = pixels(tags.get(timeout=10.0))[..., 2]
    colours = pixels(drawn.get(timeout=10.0))[..., ::-1]
    for label, rgb in [("Car", (255, 0, 0)), ("RoadLines", (98, 183, 249)), ("Roads", (0, 0, 0)), ("Sky", (0, 0, 0))]:
        shown = colours[tagged == int(getattr(carla.CityObjectLabel, label))]
        assert len(shown) > 5, label
        assert (shown == (255, *rgb)).all(), label


def test_a_reader_of_a_new_camera_gets_the_very_next_tick(sync: SyncWorld):
    car = sync.car()
    for _ in range(20):
        camera, images = sync.camera("rgb", car, image_size_x=16, image_size_y=16)
        frame = sync.world.tick()
        assert images.get(timeout=10.0).frame == frame
        camera.stop()
        camera.destroy()


def test_a_camera_without_reader_or_without_rendering_sends_nothing(sync: SyncWorld):
    car = sync.car()
    camera, images = sync.camera("rgb", car)
    settings = sync.world.get_settings()
    settings.no_rendering_mode = True
    sync.world.apply_settings(settings)
    dark = range(sync.world.tick(), sync.ticks(3) + 1)
    settings.no_rendering_mode = False
    sync.world.apply_settings(settings)  # the wheel ticks here, too
    seen = []
    while not seen or seen[-1] < sync.world.get_snapshot().frame:
        seen.append(images.get(timeout=10.0).frame)
    assert not set(seen) & set(dark)
    camera.stop()
    sync.ticks(3)
    assert images.empty()
    camera.listen(images.put)
    frame = sync.world.tick()
    assert images.get(timeout=10.0).frame == frame


@pytest.mark.parametrize(("interval", "every"), [(0.1, 2), (0.15, 3), (0.05, 1), (0.01, 1)])
def test_sensor_tick(sync: SyncWorld, interval: float, every: int):
    car = sync.car()
    _, images = sync.camera("depth", car, sensor_tick=interval, image_size_x=8, image_size_y=8)
    frames = [sync.world.tick() for _ in range(12)]
    got = [images.get(timeout=10.0).frame for _ in range(12 // every)]
    assert got == frames[::every]
    sync.world.tick()


def test_collision_names_who_was_hit(sync: SyncWorld):
    car = sync.car()
    ahead = carla.Transform(
        car.get_location() + 12.0 * car.get_transform().get_forward_vector(), car.get_transform().rotation
    )
    other = sync.spawn("vehicle.audi.tt", ahead)
    _, events = sync.listen(sync.spawn("sensor.other.collision", carla.Transform(), car))
    _, others_events = sync.listen(sync.spawn("sensor.other.collision", carla.Transform(), other))
    car.apply_control(carla.VehicleControl(throttle=1.0))
    last = sync.ticks(100)
    event = events.get(timeout=10.0)
    assert last - 95 < event.frame <= last
    assert event.actor.id == car.id
    assert event.other_actor.id == other.id
    assert event.other_actor.type_id == "vehicle.audi.tt"
    mirrored = others_events.get(timeout=10.0)
    assert mirrored.frame == event.frame
    assert mirrored.other_actor.id == car.id
    assert mirrored.normal_impulse.x == pytest.approx(-event.normal_impulse.x, rel=1e-4)
    assert event.normal_impulse.length() > 100.0


def test_collision_with_the_town(sync: SyncWorld):
    for wall in sync.world.get_level_bbs(carla.CityObjectLabel.Buildings):
        facade = wall.rotation.get_right_vector()
        start = wall.location + (wall.extent.y + 6.0) * facade
        start.z = 0.0
        pose = carla.Transform(start, carla.Rotation(yaw=wall.rotation.yaw - 90.0))
        car = sync.world.try_spawn_actor(sync.blueprints.find("vehicle.tesla.model3"), pose)
        if car is not None:
            break
    _, events = sync.listen(sync.spawn("sensor.other.collision", carla.Transform(), car))
    sync.world.tick()
    car.set_target_velocity(10.0 * pose.get_forward_vector())
    sync.ticks(20)
    event = events.get(timeout=10.0)
    assert event.other_actor.type_id == "static.building"
    assert event.normal_impulse.dot(pose.get_forward_vector()) < -1000.0


def test_lane_invasion_is_seen_by_the_client(sync: SyncWorld):
    car = sync.car()
    _, events = sync.listen(sync.spawn("sensor.other.lane_invasion", carla.Transform(), car))
    sync.world.tick()
    right = car.get_transform().get_right_vector()
    car.set_target_velocity(-4.0 * right)
    place = car.get_transform()
    for _ in range(20):
        place.location -= 0.2 * right
        car.set_transform(place)
        sync.world.tick()
    event = events.get(timeout=10.0)
    assert event.crossed_lane_markings


def test_obstacle(sync: SyncWorld):
    car = sync.car()
    ahead = carla.Transform(
        car.get_location() + 9.0 * car.get_transform().get_forward_vector(), car.get_transform().rotation
    )
    other = sync.spawn("vehicle.audi.tt", ahead)
    front = carla.Transform(carla.Location(2.4, 0.0, 0.7))
    _, events = sync.listen(sync.spawn("sensor.other.obstacle", front, car, distance=20.0, only_dynamics=True))
    frame = sync.world.tick()
    event = events.get(timeout=10.0)
    assert event.frame == frame
    assert event.actor.id == car.id
    assert event.other_actor.id == other.id
    assert event.distance == pytest.approx(9.0 - 2.4 - 2.09, abs=0.6)


@pytest.mark.parametrize(
    ("sensor", "attribute", "value"),
    [
        ("sensor.other.obstacle", "distance", "1e8"),
        ("sensor.other.obstacle", "hit_radius", "-1"),
        ("sensor.other.gnss", "noise_alt_stddev", "-1"),
        ("sensor.other.imu", "noise_gyro_stddev_x", "-0.1"),
        ("sensor.other.imu", "noise_seed", "-1e99"),
        ("sensor.camera.rgb", "image_size_x", "0"),
        ("sensor.camera.depth", "fov", "0"),
        ("sensor.camera.depth", "lens_k", "1e20"),
        ("sensor.camera.rgb", "sensor_tick", "-1"),
    ],
)
def test_an_attribute_that_cannot_be_is_named(sync: SyncWorld, sensor: str, attribute: str, value: str):
    with pytest.raises(RuntimeError, match=f"'{sensor}' has an attribute that cannot be: {attribute} must be "):
        sync.spawn(sensor, carla.Transform(), **{attribute: value})


def test_gnss(sync: SyncWorld):
    car = sync.car()
    _, fixes = sync.listen(sync.spawn("sensor.other.gnss", carla.Transform(carla.Location(z=2.0)), car))
    sync.world.tick()
    fix = fixes.get(timeout=10.0)
    expected = sync.map.transform_to_geolocation(car.get_location() + carla.Location(z=2.0))
    assert fix.latitude == pytest.approx(expected.latitude, abs=1e-7)
    assert fix.longitude == pytest.approx(expected.longitude, abs=1e-7)
    assert fix.altitude == pytest.approx(2.0, abs=1e-3)


def test_gnss_noise_is_seeded(sync: SyncWorld):
    def fixes() -> list[float]:
        sensor = sync.spawn("sensor.other.gnss", carla.Transform(), noise_lat_stddev=1e-5, noise_seed=3)
        _, events = sync.listen(sensor)
        sync.ticks(3)
        return [events.get(timeout=10.0).latitude for _ in range(3)]

    first = fixes()
    assert len(set(first)) == 3
    assert fixes() == first


def test_imu(sync: SyncWorld):
    car = sync.car()
    _, readings = sync.listen(sync.spawn("sensor.other.imu", carla.Transform(), car))
    sync.world.tick()
    at_rest = readings.get(timeout=10.0)
    assert at_rest.accelerometer.z == pytest.approx(9.81, abs=0.01)
    north_of = math.radians((car.get_transform().rotation.yaw + 90.0) % 360.0)
    assert at_rest.compass == pytest.approx(north_of, abs=1e-3)
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.3))
    frame = sync.ticks(20)
    reading = next(reading for reading in iter(lambda: readings.get(timeout=10.0), None) if reading.frame == frame)
    assert reading.accelerometer.x > 1.0
    assert reading.gyroscope.z == pytest.approx(math.radians(car.get_angular_velocity().z), abs=1e-4)


def test_token_of_a_destroyed_sensor_is_an_error(sync: SyncWorld):
    rpc = RawRpc(sync.port)
    ((kind, (message,)),) = rpc.call("get_sensor_token", 999_999)
    assert kind == 0
    assert "has been destroyed" in message
    rpc.close()
