"""The camera that sees changes, as the stock client reads it, against the pictures of an rgb camera beside it."""

import math
import queue

import carla
import numpy as np
import pytest
from server_process import SyncWorld

from minicarla.sensors.events import NEVER, find_events

WIDTH, HEIGHT = 64, 36
SIZE = {"image_size_x": WIDTH, "image_size_y": HEIGHT}
PLACE = carla.Transform(carla.Location(1.6, 0.0, 1.5))
EVENT = np.dtype([("x", np.uint16), ("y", np.uint16), ("t", np.int64), ("pol", np.bool_)])


def brightness(images: queue.Queue) -> np.ndarray:
    """[H, W] log intensity of the next picture, CARLA's formula."""
    blue, green, red, _ = np.moveaxis(
        np.frombuffer(images.get(timeout=10.0).raw_data, np.uint8).reshape(HEIGHT, WIDTH, 4).astype(float), -1, 0
    )
    return np.log(0.001 + (0.2989 * red + 0.587 * green + 0.114 * blue) / 255.0)


def dvs(sync: SyncWorld, car: carla.Vehicle, **attributes: object) -> queue.Queue:
    return sync.listen(sync.spawn("sensor.camera.dvs", PLACE, car, **SIZE, **attributes))[1]


def received(events: queue.Queue, frame: int) -> np.ndarray:
    measurement = events.get(timeout=10.0)
    assert (measurement.frame, measurement.width, measurement.height) == (frame, WIDTH, HEIGHT)
    found = np.frombuffer(measurement.raw_data, EVENT)
    assert len(measurement) == len(found) > 0
    last = measurement[len(found) - 1]
    assert (last.x, last.y, last.t, last.pol) == tuple(found[-1])
    return found


def counted(found: np.ndarray, polarity: bool) -> np.ndarray:
    """[H, W] number of events."""
    total = np.zeros((HEIGHT, WIDTH), int)
    of_kind = found[found["pol"] == polarity]
    np.add.at(total, (of_kind["y"], of_kind["x"]), 1)
    return total


def darken(sync: SyncWorld) -> None:
    sync.world.set_weather(carla.WeatherParameters(sun_altitude_angle=5.0, cloudiness=80.0))


def test_events_are_the_thresholds_that_the_brightness_has_crossed(sync: SyncWorld):
    car = sync.car()
    events = dvs(sync, car, positive_threshold=0.2, negative_threshold=0.1)
    _, images = sync.camera("rgb", car)
    sync.world.tick()
    before = brightness(images)
    sync.world.tick()
    brightness(images)
    assert events.empty()  # nothing moves, nothing is sent
    darken(sync)
    frame = sync.world.tick()
    dark, found = brightness(images), received(events, frame)
    snapshot = sync.world.get_snapshot().timestamp
    begin, end = ((snapshot.elapsed_seconds - back) * 1e9 for back in (snapshot.delta_seconds, 0.0))
    assert begin - 1 <= found["t"].min() < found["t"].max() <= end + 1
    assert (np.diff(found["t"]) >= 0).all()
    expected = np.floor((before - dark).clip(0.0) / 0.1)
    clear = abs((before - dark) / 0.1 - np.round((before - dark) / 0.1)) > 1e-3
    assert expected.sum() > 100
    assert np.array_equal(counted(found, False)[clear], expected[clear])
    assert not counted(found, True)[(dark < before)].any()
    # Back in the light, the references are a crossing below where they were, not at the dark picture.
    sync.world.set_weather(carla.WeatherParameters.ClearNoon)
    frame = sync.world.tick()
    bright, found = brightness(images), received(events, frame)
    reference = before - 0.1 * expected
    expected = np.floor((bright - reference).clip(0.0) / 0.2)
    clear &= abs((bright - reference) / 0.2 - np.round((bright - reference) / 0.2)) > 1e-3
    clear &= bright > dark + 1e-3
    assert expected[clear].sum() > 50
    assert np.array_equal(counted(found, True)[clear], expected[clear])
    assert not counted(found, False)[clear].any()


def closest_ns(found: np.ndarray) -> int:
    """The least time between two events of one pixel."""
    ordered = found[np.lexsort((found["t"], found["x"], found["y"]))]
    same = (ordered["x"][1:] == ordered["x"][:-1]) & (ordered["y"][1:] == ordered["y"][:-1])
    return int(np.diff(ordered["t"])[same].min())


def test_a_pixel_rests_after_an_event(sync: SyncWorld):
    car = sync.car()
    free = dvs(sync, car, negative_threshold=0.05)
    resting = dvs(sync, car, negative_threshold=0.05, refractory_period_ns=10_000_000)
    sync.world.tick()
    darken(sync)
    frame = sync.world.tick()
    assert closest_ns(received(free, frame)) < 10_000_000
    found = received(resting, frame)
    assert closest_ns(found) >= 10_000_000
    assert counted(found, False).max() > 1


def test_grey_levels_instead_of_logarithms(sync: SyncWorld):
    car = sync.car()
    events = dvs(sync, car, use_log=False, negative_threshold=10.0)
    _, images = sync.camera("rgb", car)
    sync.world.tick()
    before = 255.0 * (np.exp(brightness(images)) - 0.001)
    darken(sync)
    frame = sync.world.tick()
    lost = before - 255.0 * (np.exp(brightness(images)) - 0.001)
    clear = abs(lost / 10.0 - np.round(lost / 10.0)) > 1e-3
    assert np.array_equal(counted(received(events, frame), False)[clear], np.floor(lost.clip(0.0) / 10.0)[clear])


def test_noisy_thresholds_are_the_same_for_the_same_seed(sync: SyncWorld):
    car = sync.car()
    noisy = [dvs(sync, car, sigma_negative_threshold=0.2) for _ in range(2)]
    exact = dvs(sync, car)
    sync.world.tick()
    darken(sync)
    frame = sync.world.tick()
    one, other = (received(events, frame) for events in noisy)
    assert np.array_equal(one, other)
    assert not np.array_equal(counted(one, False), counted(received(exact, frame), False))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("positive_threshold", 0.0), ("negative_threshold", -1.0), ("log_eps", 0.0), ("refractory_period_ns", -1)],
)
def test_what_cannot_be_is_refused(sync: SyncWorld, attribute: str, value: float):
    with pytest.raises(RuntimeError, match=attribute):
        sync.spawn("sensor.camera.dvs", PLACE, **{attribute: value})
    assert math.isfinite(sync.world.tick())


def test_a_change_too_large_for_a_frame_ends_with_it():
    """A threshold of a ten-thousandth of the change, and room for three events."""
    before, now = np.zeros(4, np.float32), np.array([0.0, 100.0, 100.0, -100.0], np.float32)
    reference, last_ns = before.copy(), np.full(4, NEVER, np.int64)
    at, time_ns, brighter = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.bool_)
    threshold = np.array([0.01], np.float32)
    arrays = reference, last_ns, at, time_ns, brighter
    assert find_events(before, now, 5, 10_000, threshold, threshold, 0, *arrays) == 3
    assert at.tolist() == [1, 1, 1]
    assert time_ns == pytest.approx([6, 7, 8], abs=1)
    # The pixels that were left out go on from where they are.
    assert reference.tolist() == pytest.approx([0.0, 0.03, 100.0, -100.0])
    assert find_events(now, now, 10_005, 10_000, threshold, threshold, 0, *arrays) == 0
