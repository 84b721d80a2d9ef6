"""The lidars: which way their rays go, and what the stock client gets."""

import math

import carla
import numpy as np
import pytest
from server_process import SyncWorld

from minicarla.sensors.lidar import LidarConfig, points_per_channel, sweep

ROOF = carla.Transform(carla.Location(z=2.4))
EXACT = {"dropoff_general_rate": 0.0, "dropoff_intensity_limit": 0.0}
SEMANTIC = np.dtype([("place", "<f4", 3), ("cosine", "<f4"), ("actor", "<u4"), ("tag", "<u4")])


def config(**changes: float) -> LidarConfig:
    attributes = {
        "channels": 32, "range": 10.0, "points_per_second": 56000, "rotation_frequency": 10.0, "upper_fov": 10.0,
        "lower_fov": -30.0, "horizontal_fov": 360.0,
    }  # fmt: skip
    return LidarConfig.from_attributes({name: str(value) for name, value in (attributes | changes).items()})


def points(measurement: carla.LidarMeasurement) -> np.ndarray:
    """[N, 4]: x, y, z, intensity; a copy, for the measurement's memory goes with it."""
    return np.frombuffer(measurement.raw_data, "<f4").reshape(-1, 4).copy()


def semantic(measurement: carla.SemanticLidarMeasurement) -> np.ndarray:
    return np.frombuffer(measurement.raw_data, SEMANTIC).copy()


@pytest.mark.parametrize(
    ("channels", "rate", "dt", "expected"),
    # The last is CARLA's rounding of a half: away from zero.
    [(64, 1_300_000, 0.05, 1016), (32, 56_000, 0.05, 88), (1, 10, 0.05, 1), (32, 100, 0.05, 0), (4, 200, 0.05, 3)],
)
def test_points_of_a_channel(channels: int, rate: int, dt: float, expected: int):
    assert points_per_channel(config(channels=channels, points_per_second=rate), dt) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rotation_frequency": 50.0},
        {"horizontal_fov": 90.0, "rotation_frequency": 20.0},
        {"channels": 1},
        {"upper_fov": -20.0, "lower_fov": 15.0},
        {"upper_fov": 0.0, "lower_fov": 0.0},
        {"rotation_frequency": 0.0},
    ],
)
def test_rays_look_where_carlas_formula_says(changes: dict[str, float]):
    settings, dt, angle = config(**changes), 0.05, 12.5
    rays = sweep(settings, angle, dt)
    count = points_per_channel(settings, dt)
    step = settings.rotation_frequency * settings.horizontal_fov * dt / count
    for channel in range(settings.channels):
        between = 0.0
        if settings.channels > 1:
            between = (settings.upper_fov - settings.lower_fov) / (settings.channels - 1)
        vertical = settings.upper_fov - channel * between
        assert math.degrees(rays.fan.elevation_rad[rays.row_of[channel]]) == pytest.approx(vertical, abs=1e-9)
    for k in range(count):
        horizontal = math.fmod(angle + step * k, settings.horizontal_fov) - settings.horizontal_fov / 2.0
        assert math.degrees(rays.fan.azimuth_rad[rays.column_of[k]]) == pytest.approx(horizontal, abs=1e-9)


def test_a_lidar_measures_the_ground_under_it(sync: SyncWorld):
    place = sync.spawn_points[0]
    place.location.z = 4.0
    lidar = sync.spawn(
        "sensor.lidar.ray_cast", place, channels=8, upper_fov=-40, lower_fov=-75, range=30, points_per_second=16000,
        rotation_frequency=20, **EXACT,
    )  # fmt: skip
    _, clouds = sync.listen(lidar)
    frame = sync.world.tick()
    cloud = clouds.get(timeout=10.0)
    assert (cloud.frame, cloud.channels) == (frame, 8)
    assert [cloud.get_point_count(channel) for channel in range(8)] == [100] * 8
    found = points(cloud)
    assert len(cloud) == len(found) == 800
    # A road, its paint, the kerbs and the pavement lie within 20 cm around the road's height.
    assert found[:, 2].min() >= -4.06
    assert found[:, 2].max() <= -3.8
    assert np.median(found[:, 2]) == pytest.approx(-4.0, abs=0.02)
    angles = np.degrees(np.arctan2(found[:, 2], np.hypot(found[:, 0], found[:, 1])))
    assert angles.reshape(8, 100) == pytest.approx(np.repeat(np.linspace(-40, -75, 8)[:, None], 100, 1), abs=1e-3)
    azimuths = np.degrees(np.arctan2(found[:100, 1], found[:100, 0]))
    assert azimuths == pytest.approx(-180.0 + 3.6 * np.arange(100), abs=1e-3)
    assert found[:, 3] == pytest.approx(np.exp(-0.004 * np.linalg.norm(found[:, :3], axis=1)), rel=1e-5)
    assert cloud.horizontal_angle == pytest.approx(0.0, abs=1e-6)  # a whole turn
    assert cloud.transform.location.z == pytest.approx(4.0)


def test_the_horizontal_angle_goes_on_from_tick_to_tick(sync: SyncWorld):
    _, clouds = sync.listen(sync.spawn("sensor.lidar.ray_cast", ROOF, rotation_frequency=3, horizontal_fov=200))
    sync.ticks(9)
    angles = [math.degrees(clouds.get(timeout=10.0).horizontal_angle) for _ in range(9)]
    assert angles == pytest.approx([(30.0 * (tick + 1)) % 200.0 for tick in range(9)], abs=1e-3)


def test_a_semantic_lidar_names_what_it_sees(sync: SyncWorld):
    car = sync.car()
    forward = car.get_transform().get_forward_vector()
    ahead = carla.Transform(car.get_location() + 10.0 * forward, car.get_transform().rotation)
    other = sync.spawn("vehicle.audi.tt", ahead)
    light = sync.world.get_actors().filter("traffic.traffic_light")[0]
    beside = light.get_transform()
    beside.location += 6.0 * beside.get_right_vector() + carla.Location(z=3.0)
    wide = {"channels": 32, "points_per_second": 320000, "rotation_frequency": 20, "range": 40}
    _, clouds = sync.listen(sync.spawn("sensor.lidar.ray_cast_semantic", ROOF, car, **wide))
    _, others = sync.listen(sync.spawn("sensor.lidar.ray_cast_semantic", beside, upper_fov=30, **wide))
    sync.world.tick()
    seen = semantic(clouds.get(timeout=10.0))
    on_other = seen[seen["actor"] == other.id]
    assert len(on_other) > 20
    assert set(on_other["tag"].tolist()) == {int(carla.CityObjectLabel.Car)}
    box = other.bounding_box
    assert on_other["place"][:, 0].min() == pytest.approx(10.0 - box.extent.x, abs=0.3)
    assert np.abs(on_other["place"][:, 1]).max() <= box.extent.y + 0.05
    assert on_other["place"][:, 2].max() <= 2.0 * box.extent.z - 2.4 + 0.05
    ground = seen[seen["tag"] == int(carla.CityObjectLabel.Roads)]
    assert set(ground["actor"].tolist()) == {0}
    # On level ground the cosine of the angle to its normal is height over distance.
    distance = np.linalg.norm(ground["place"], axis=1)
    assert ground["cosine"] == pytest.approx(-ground["place"][:, 2] / distance, abs=1e-3)
    around = semantic(others.get(timeout=10.0))
    tags = set(around["tag"][around["actor"] == light.id].tolist())
    assert int(carla.CityObjectLabel.TrafficLight) in tags
    assert tags <= {int(carla.CityObjectLabel.TrafficLight), int(carla.CityObjectLabel.Poles)}


def test_points_are_lost_as_the_attributes_say(sync: SyncWorld):
    wide = {"channels": 32, "points_per_second": 640000, "rotation_frequency": 20, "range": 50}

    def cloud(**attributes: float) -> np.ndarray:
        lidar, clouds = sync.listen(sync.spawn("sensor.lidar.ray_cast", ROOF, **wide, **attributes))
        sync.world.tick()
        found = points(clouds.get(timeout=10.0))
        lidar.destroy()
        return found

    everything = cloud(**EXACT)
    general = cloud(dropoff_general_rate=0.3, dropoff_intensity_limit=0.0)
    assert len(general) / len(everything) == pytest.approx(0.7, abs=0.02)
    # Of points of intensity i at most the limit l, a share (z / l) i + 1 - z stays.
    limit, zero = 0.9, 0.8
    kept = cloud(dropoff_general_rate=0.0, dropoff_intensity_limit=limit, dropoff_zero_intensity=zero)
    dim = everything[:, 3] <= limit
    assert (kept[:, 3] > limit).sum() == (~dim).sum()
    expected = (zero / limit * everything[dim, 3] + 1.0 - zero).mean()
    assert (kept[:, 3] <= limit).sum() / dim.sum() == pytest.approx(expected, abs=0.03)
    assert len(cloud(dropoff_general_rate=1.0)) == 0


def test_noise_moves_points_along_their_rays_and_is_seeded(sync: SyncWorld):
    place = sync.spawn_points[0]
    place.location.z = 5.0
    down = {"channels": 16, "upper_fov": -50, "lower_fov": -80, "points_per_second": 64000, "rotation_frequency": 20}

    def cloud(**attributes: float) -> np.ndarray:
        lidar, clouds = sync.listen(sync.spawn("sensor.lidar.ray_cast", place, **down, **attributes))
        sync.world.tick()
        found = points(clouds.get(timeout=10.0))
        lidar.destroy()
        return found

    exact, noisy = cloud(**EXACT), cloud(**EXACT, noise_stddev=0.2, noise_seed=5)
    lengths = [np.linalg.norm(found[:, :3], axis=1) for found in (exact, noisy)]
    assert (lengths[1] - lengths[0]).std() == pytest.approx(0.2, rel=0.1)
    directions = [found[:, :3] / length[:, None] for found, length in zip((exact, noisy), lengths, strict=True)]
    assert directions[1] == pytest.approx(directions[0], abs=1e-5)
    assert noisy[:, 3] == pytest.approx(exact[:, 3])
    assert np.array_equal(cloud(noise_stddev=0.2, noise_seed=5), cloud(noise_stddev=0.2, noise_seed=5))
    assert not np.array_equal(cloud(noise_seed=5), cloud(noise_seed=6))


def test_two_lidars_and_two_cameras_at_once(sync: SyncWorld):
    car = sync.car()
    queues = [
        sync.listen(sync.spawn("sensor.lidar.ray_cast", ROOF, car, **EXACT, range=50))[1],
        sync.listen(sync.spawn("sensor.lidar.ray_cast_semantic", ROOF, car, range=50))[1],
        sync.camera("rgb", car)[1],
        sync.camera("semantic_segmentation", car)[1],
    ]
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(20):
        frame = sync.world.tick()
        cloud, labelled, *images = [events.get(timeout=10.0) for events in queues]
        assert {data.frame for data in (cloud, labelled, *images)} == {frame}
        assert np.array_equal(points(cloud)[:, :3], semantic(labelled)["place"])
    assert car.get_velocity().length() > 3.0


def test_a_lidar_without_points_in_a_tick_sends_an_empty_cloud(sync: SyncWorld):
    _, clouds = sync.listen(sync.spawn("sensor.lidar.ray_cast", ROOF, points_per_second=100))
    frame = sync.world.tick()
    cloud = clouds.get(timeout=10.0)
    assert (cloud.frame, len(cloud), cloud.channels, cloud.get_point_count(31)) == (frame, 0, 32, 0)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("channels", "0"), ("channels", "-3"), ("channels", "100000"), ("range", "0"), ("range", "-1"),
        ("range", "nan"), ("points_per_second", "0"), ("points_per_second", "999999999"), ("rotation_frequency", "-1"),
        ("upper_fov", "91"), ("lower_fov", "-91"), ("horizontal_fov", "0"), ("horizontal_fov", "361"),
        ("atmosphere_attenuation_rate", "-0.1"), ("dropoff_general_rate", "1.5"), ("dropoff_intensity_limit", "-1"),
        ("dropoff_zero_intensity", "2"), ("noise_stddev", "-1"), ("noise_seed", "many"), ("channels", "3.5"),
        ("sensor_tick", "-1"), ("sensor_tick", "often"),
    ],
)  # fmt: skip
def test_an_attribute_that_cannot_be_is_named(sync: SyncWorld, attribute: str, value: str):
    blueprint = sync.blueprints.find("sensor.lidar.ray_cast")
    blueprint.set_attribute(attribute, value)
    with pytest.raises(RuntimeError, match=f"attribute that cannot be: {attribute} must be "):
        sync.world.spawn_actor(blueprint, ROOF)


def test_all_lidars_together_have_a_limit(sync: SyncWorld):
    for _ in range(6):
        sync.spawn("sensor.lidar.ray_cast", ROOF, points_per_second=3_000_000)
    with pytest.raises(RuntimeError, match="points_per_second: destroy some"):
        sync.spawn("sensor.lidar.ray_cast", ROOF, points_per_second=3_000_000)
