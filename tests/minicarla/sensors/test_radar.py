"""The radar, as the stock client reads it."""

import math
import queue

import carla
import numpy as np
import pytest
from server_process import SyncWorld

NARROW = {"horizontal_fov": 6.0, "vertical_fov": 3.0, "range": 80.0, "points_per_second": 4000}
BUMPER = carla.Transform(carla.Location(2.6, 0.0, 0.7))


def detections(measurement: carla.RadarMeasurement) -> np.ndarray:
    """[N, 4]: velocity, azimuth, altitude, depth."""
    found = np.frombuffer(measurement.raw_data, "<f4").reshape(-1, 4).copy()
    assert len(measurement) == len(found)
    for detection, row in zip(measurement, found, strict=True):
        assert (detection.velocity, detection.azimuth, detection.altitude, detection.depth) == tuple(row)
    return found


def ahead(sync: SyncWorld, car: carla.Vehicle, metres: float, right: float = 0.0) -> carla.Vehicle:
    pose = car.get_transform()
    place = car.get_location() + metres * pose.get_forward_vector() + right * pose.get_right_vector()
    other = sync.spawn("vehicle.audi.tt", carla.Transform(place, pose.rotation))
    sync.world.tick()
    return other


def measured(sync: SyncWorld, events: queue.Queue) -> np.ndarray:
    frame = sync.world.tick()
    measurement = events.get(timeout=10.0)
    assert measurement.frame == frame
    return detections(measurement)


def test_speed_is_positive_for_what_drives_away(sync: SyncWorld):
    car = sync.car()
    other = ahead(sync, car, 25.0)
    for vehicle in (car, other):
        vehicle.set_simulate_physics(False)
    _, events = sync.listen(sync.spawn("sensor.other.radar", BUMPER, car, **NARROW))
    found = measured(sync, events)
    near = found[found[:, 3] < 25.0]
    assert len(near) > 50
    assert near[:, 3].min() == pytest.approx(25.0 - 2.6 - other.bounding_box.extent.x, abs=0.3)
    assert near[:, 0] == pytest.approx(0.0, abs=1e-4)
    other.set_simulate_physics(True)
    other.set_target_velocity(6.0 * car.get_transform().get_forward_vector())
    found = measured(sync, events)
    away = found[np.abs(found[:, 0]) > 1e-3]
    speed = other.get_velocity().length()
    assert len(away) > 50
    assert away[:, 0] == pytest.approx(speed * np.cos(away[:, 1]) * np.cos(away[:, 2]), rel=0.02)


def test_speed_is_negative_for_what_it_drives_up_to(sync: SyncWorld):
    car = sync.car()
    _, events = sync.listen(sync.spawn("sensor.other.radar", BUMPER, car, **NARROW))
    before = car.get_location()
    car.set_target_velocity(8.0 * car.get_transform().get_forward_vector())
    found = measured(sync, events)
    speed = car.get_location().distance(before) / 0.05
    assert speed > 7.0
    assert found[:, 0] == pytest.approx(-speed * np.cos(found[:, 1]) * np.cos(found[:, 2]), rel=0.02)


def test_azimuth_is_positive_to_the_right_and_altitude_upwards(sync: SyncWorld):
    car = sync.car()
    ahead(sync, car, 20.0, right=3.0)
    wide = NARROW | {"horizontal_fov": 40.0, "vertical_fov": 10.0}
    _, events = sync.listen(sync.spawn("sensor.other.radar", BUMPER, car, **wide))
    found = measured(sync, events)
    front = found[np.abs(found[:, 3] * np.cos(found[:, 1]) - (20.0 - 2.6 - 2.09)) < 0.4]
    sideways = front[:, 3] * np.sin(front[:, 1])
    on_car = front[(sideways > 1.5) & (sideways < 4.5)]
    assert len(on_car) > 3
    # Ground lies below: at 0.7 m under the sensor.
    low = found[found[:, 3] * np.sin(found[:, 2]) < -0.6]
    assert len(low) > 20
    assert (low[:, 2] < 0.0).all()
    assert np.degrees(np.abs(found[:, 1])).max() <= 20.01
    assert np.degrees(np.abs(found[:, 2])).max() <= 5.01


def test_number_and_spread_of_points(sync: SyncWorld):
    """All rays of a radar that looks at the ground from low above hit it: CARLA casts int(rate * dt) of them."""
    place = sync.spawn_points[0]
    place.location.z, place.rotation = 5.0, carla.Rotation(pitch=-90.0)
    _, events = sync.listen(sync.spawn("sensor.other.radar", place, points_per_second=1990, range=10.0))
    found = measured(sync, events)
    assert len(found) == 99
    assert found[:, 3] * np.cos(found[:, 1]) * np.cos(found[:, 2]) == pytest.approx(5.0, abs=0.2)
    # Uniform in radius, so half of them lie in the inner half of the cone.
    radius = np.hypot(np.tan(found[:, 1]), np.tan(found[:, 2]) / np.cos(found[:, 1])) / math.tan(math.radians(15.0))
    assert radius.max() <= 1.001
    assert np.median(radius) == pytest.approx(0.5, abs=0.12)


def test_the_same_seed_gives_the_same_rays_and_nothing_in_range_is_no_detection(sync: SyncWorld):
    def bytes_of(**attributes: float) -> bytes:
        radar, events = sync.listen(
            sync.spawn("sensor.other.radar", carla.Transform(carla.Location(z=3.0)), **attributes)
        )
        sync.ticks(2)
        data = b"".join(bytes(events.get(timeout=10.0).raw_data) for _ in range(2))
        radar.destroy()
        return data

    assert bytes_of(noise_seed=4) == bytes_of(noise_seed=4)
    assert bytes_of(noise_seed=4) != bytes_of(noise_seed=5)
    assert bytes_of(range=0.5) == b""


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("horizontal_fov", "0"),
        ("vertical_fov", "180"),
        ("range", "0"),
        ("points_per_second", "-1"),
        ("noise_seed", "x"),
    ],
)
def test_an_attribute_that_cannot_be_is_named(sync: SyncWorld, attribute: str, value: str):
    blueprint = sync.blueprints.find("sensor.other.radar")
    blueprint.set_attribute(attribute, value)
    with pytest.raises(RuntimeError, match=f"attribute that cannot be: {attribute} must be "):
        sync.world.spawn_actor(blueprint, carla.Transform())
