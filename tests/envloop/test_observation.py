import math

import numpy as np
import pytest
from settings_of_record import VECTOR

from envloop.errors import TaskError
from envloop.task.observation import (
    EgoState,
    FrameStack,
    VectorConfig,
    heading_error_deg,
    vector_observation,
)
from envloop.task.pictures import PICTURES, grey_84, signal_84
from envloop.task.route import ROUTE_0

CONFIG = VECTOR


def ego_at(s: float, lateral: float = 0.0, turn_deg: float = 0.0, speed: float = 5.0) -> EgoState:
    x, y, _ = ROUTE_0.point_at(s)
    heading_rad = math.radians(ROUTE_0.heading_at(s))
    yaw_rad = heading_rad + math.radians(turn_deg)
    return EgoState(
        x=x - lateral * math.sin(heading_rad),
        y=y + lateral * math.cos(heading_rad),
        yaw_deg=math.degrees(yaw_rad),
        vx=speed * math.cos(yaw_rad),
        vy=speed * math.sin(yaw_rad),
    )


def vector(ego: EgoState, config: VectorConfig = CONFIG) -> np.ndarray:
    return vector_observation(ego, ROUTE_0.project(ego.x, ego.y), ROUTE_0, config)


@pytest.mark.parametrize(("points", "size"), [(10, 23), (25, 53)])
def test_the_vector_has_the_configured_size(points, size):
    config = VectorConfig(points=points)
    observed = vector(ego_at(10.0), config)
    assert config.size == size
    assert observed.shape == (size,)
    assert observed.dtype == np.float32


def test_the_vector_holds_what_the_table_says():
    observed = vector(ego_at(50.0, lateral=0.7, turn_deg=30.0, speed=6.0))
    assert observed[0] == pytest.approx(6.0 / 30.0)
    assert observed[1] == pytest.approx(0.7 / 3.5)
    assert observed[2] == pytest.approx(30.0 / 180.0)


def test_points_ahead_are_in_the_ego_frame():
    straight = vector(ego_at(50.0)) * 50.0
    assert straight[3::2] == pytest.approx(2.5 * np.arange(1, 11), abs=1e-4)
    assert straight[4::2] == pytest.approx(np.zeros(10), abs=1e-4)
    # A car turned to the right sees the route on its left, which is negative y.
    assert (vector(ego_at(50.0, turn_deg=20.0))[4::2] < 0.0).all()
    # A car right of the route sees it on its left too.
    assert vector(ego_at(50.0, lateral=1.0))[4::2] * 50.0 == pytest.approx(-np.ones(10), abs=1e-4)
    # Before the right turn, the route bends to the right.
    assert vector(ego_at(212.0))[-1] * 50.0 > 5.0


@pytest.mark.parametrize("lateral", [-2.0, 0.0, 2.0])
def test_the_vector_is_never_zero_and_continuous_along_route_0(lateral):
    # Neither the points ahead may vanish nor the heading jump between two nearby places.
    last = None
    for s in np.arange(0.0, ROUTE_0.length, 0.1):
        observed = vector(ego_at(float(s), lateral, turn_deg=5.0))
        pairs = observed[3:].reshape(-1, 2)
        assert (np.hypot(*pairs.T) * 50.0 > 1.0).all()
        assert np.isfinite(observed).all()
        assert np.abs(observed).max() <= 1.0
        if last is not None:
            assert np.abs(observed - last).max() < 0.03
        last = observed


def test_heading_error_wraps_at_the_west():
    # Route 0 drives at 180 deg, where yaw jumps from 180 to -180.
    left, right = ego_at(50.0, turn_deg=-1.0), ego_at(50.0, turn_deg=1.0)
    projection = ROUTE_0.project(left.x, left.y)
    assert heading_error_deg(left, projection) == pytest.approx(-1.0)
    assert heading_error_deg(right, projection) == pytest.approx(1.0)


def test_lateral_acceleration_is_across_the_body():
    westward = EgoState(x=0.0, y=0.0, yaw_deg=180.0, ay=-2.0, ax=1.0)
    assert westward.lateral_accel == pytest.approx(2.0)


@pytest.mark.parametrize("field", ["spacing_m", "speed_scale", "lateral_scale", "point_scale"])
def test_scales_must_be_positive(field):
    with pytest.raises(TaskError, match=field):
        VectorConfig(**{field: 0.0})


def test_at_least_one_point_is_needed():
    with pytest.raises(TaskError, match="points"):
        VectorConfig(points=0)


def test_grey_weighs_colours_as_luma_and_ignores_alpha():
    picture = np.zeros((144, 256, 4), np.uint8)
    for channel, luma in ((0, 29), (1, 150), (2, 76), (3, 0)):  # BT.601: 0.114 B, 0.587 G, 0.299 R
        picture[:] = 0
        picture[..., channel] = 255
        assert grey_84(picture).mean() == pytest.approx(luma, abs=1.0)


def test_grey_averages_areas():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (168, 168, 4), dtype=np.uint8)
    grey = grey_84(picture)
    luma = picture[..., :3].astype(float) @ (0.114, 0.587, 0.299)
    blocks = luma.reshape(84, 2, 84, 2).mean(axis=(1, 3))
    assert grey.shape == (84, 84)
    assert grey.dtype == np.uint8
    assert np.abs(grey - blocks).max() <= 1.5


def test_grey_keeps_left_and_top():
    picture = np.zeros((144, 256, 4), np.uint8)
    picture[:72, :128] = 255
    grey = grey_84(picture)
    assert grey[:40, :40].min() == 255
    assert grey[44:].max() == 0
    assert grey[:, 44:].max() == 0


@pytest.mark.parametrize(
    "picture",
    [np.zeros((144, 256, 3), np.uint8), np.zeros((144, 256, 4), np.float32), np.zeros((80, 256, 4), np.uint8)],
)
def test_other_pictures_are_refused(picture):
    with pytest.raises(ValueError, match="camera picture"):
        grey_84(picture)


def frame(value: int) -> np.ndarray:
    return np.full((84, 84), value, np.uint8)


def test_the_first_frame_is_repeated():
    # No blank frames, which the policy would never see again.
    stack = FrameStack()
    assert (stack.reset(frame(9)) == 9).all()
    assert stack.push(frame(10))[:, 0, 0].tolist() == [9, 9, 9, 10]


def test_the_stack_is_oldest_first_and_forgets_the_last_episode():
    stack = FrameStack()
    stack.reset(frame(0))
    for value in range(1, 6):
        pushed = stack.push(frame(value))
    assert pushed.shape == (4, 84, 84)
    assert pushed[:, 0, 0].tolist() == [2, 3, 4, 5]
    assert stack.reset(frame(7))[:, 0, 0].tolist() == [7, 7, 7, 7]


def test_a_returned_stack_does_not_change_later():
    stack = FrameStack()
    first = stack.reset(frame(1))
    stack.push(frame(2))
    assert (first == 1).all()


def test_a_small_red_lamp_is_bright_and_a_green_one_dark_where_grey_shows_neither():
    """Two pixels of the camera's, as a lamp at 15 m is, on its black housing."""
    shown = {}
    for name, lamp in (("off", (20, 20, 20)), ("red", (40, 40, 255)), ("green", (60, 130, 30))):
        picture = np.full((144, 256, 4), 120, np.uint8)
        picture[60:80, 120:130, :3] = 20
        picture[68:70, 124:126, :3] = lamp
        shown[name] = {view: view(picture).astype(int) for view in (grey_84, signal_84)}
    for name, sign in (("red", 1), ("green", -1)):
        difference = shown[name][signal_84] - shown["off"][signal_84]
        assert sign * difference.ravel()[np.abs(difference).argmax()] > 20
        assert np.abs(difference).max() > np.abs(shown[name][grey_84] - shown["off"][grey_84]).max()


@pytest.mark.parametrize(("lamp", "paint"), [((40, 40, 255), 255), ((110, 255, 60), 0)])
def test_a_lamp_of_any_size_is_a_spot_that_cannot_be_overlooked(lamp, paint):
    for size in (1, 2, 6):
        picture = np.full((144, 256, 4), 120, np.uint8)
        picture[68 : 68 + size, 124 : 124 + size, :3] = lamp
        assert 25 <= (signal_84(picture) == paint).sum() <= 80


def test_leaves_bricks_and_tail_lamps_that_are_off_are_not_painted():
    for colour in ((40, 110, 60), (40, 60, 120), (30, 30, 100)):
        picture = np.full((144, 256, 4), 120, np.uint8)
        picture[40:80, 100:140, :3] = colour
        assert not np.isin(signal_84(picture), (0, 255)).any()


@pytest.mark.parametrize("view", [PICTURES["signals"], PICTURES["fovea"]])
def test_a_red_truck_is_no_lamp(view):
    """Painted, it would be a white wall: a policy drove into a fire engine that waited at a red light."""
    picture = np.full((144, 256, 4), 120, np.uint8)
    picture[48:98, 115:145, :3] = (0, 0, 200)
    picture[44:48, 118:124, :3] = (0, 0, 200)  # what stands out of the body is part of it
    assert not (view(picture) == 255).any()
    picture[30:33, 180:183, :3] = (40, 40, 255)  # the lamp beside it is one all the same
    assert 25 <= (view(picture) == 255).sum() <= 80


def test_a_blank_picture_is_the_same_whatever_the_camera_sees():
    seen = [np.full((144, 256, 4), brightness, np.uint8) for brightness in (0, 200)]
    first, second = (PICTURES["blank"](picture) for picture in seen)
    assert first.shape == (84, 84)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_where_nothing_is_coloured_signals_are_grey_at_half_its_contrast():
    grey = np.linspace(0, 255, 256, dtype=np.uint8)
    picture = np.broadcast_to(grey[None, :, None], (144, 256, 4)).copy()
    np.testing.assert_allclose(signal_84(picture), 64 + grey_84(picture) / 2.0, atol=1.0)
