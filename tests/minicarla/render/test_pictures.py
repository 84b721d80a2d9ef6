"""What is in the pictures: determinism, visibility, weather, lamps, contrast."""

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from minicarla.maps import Pose, Town
from minicarla.render import Weather, raster, shading
from minicarla.render.encodings import Tag
from tests.minicarla.render.conftest import CameraRig
from tests.minicarla.render.scenes import MIDDLE, NORTHBOUND, START, car, front_camera, moved, pixel_of

NIGHT = Weather(sun_altitude_angle=-60.0)
RAIN = Weather(cloudiness=90.0, precipitation=80.0, precipitation_deposits=80.0, wetness=100.0)
FOG = Weather(fog_density=70.0)
SUNSET = Weather(sun_altitude_angle=6.0, sun_azimuth_angle=170.0)

_SCRIPT = """
import hashlib
from minicarla.maps import load_town
from minicarla.render import Renderer, Weather
from tests.minicarla.render.scenes import START, car, front_camera, moved, shown
renderer = Renderer(load_town("Town01"))
shown(renderer, [car(moved(START, forward=12.0))], Weather(wetness=60.0, cloudiness=40.0), {"360": 2})
digest = hashlib.sha256()
for kind in ("rgb", "semantic", "depth"):
    digest.update(renderer.render(renderer.add_camera(kind, 256, 144, 90.0), front_camera(START)))
print(digest.hexdigest())
"""


def grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture[..., :3], cv2.COLOR_BGR2GRAY).astype(float)


def test_same_calls_give_the_same_bytes_in_another_process(rig: CameraRig) -> None:
    """Whatever was drawn before: this process has drawn much, the other nothing."""
    rig.show([car(moved(START, forward=12.0))], Weather(wetness=60.0, cloudiness=40.0), {"360": 2})
    digest = hashlib.sha256()
    for kind in ("rgb", "semantic", "depth"):
        digest.update(rig.picture(kind, front_camera(START)).tobytes())
    run = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == digest.hexdigest()
    assert run.stderr == ""


def test_camera_of_the_task_does_not_see_its_own_car(rig: CameraRig) -> None:
    rig.show([car(START, actor_id=5), car(moved(START, forward=15.0), actor_id=6)], Weather(), {})
    with_own = rig.picture("rgb", front_camera(START))
    without = rig.picture("rgb", front_camera(START), hidden=5)
    assert np.array_equal(with_own, without)


def test_hidden_actor_alone_is_left_out(rig: CameraRig) -> None:
    left, right = moved(START, forward=12.0, right=-3.5), moved(START, forward=12.0)
    rig.show([car(left, actor_id=5), car(right, actor_id=6)], Weather(), {})
    both = rig.tags(front_camera(START)) == Tag.CAR
    one = rig.tags(front_camera(START), hidden=6) == Tag.CAR
    assert 0 < one.sum() < both.sum()
    assert not np.any(one & ~both)


def test_nearer_thing_hides_farther_one(rig: CameraRig) -> None:
    near, far = moved(START, forward=10.0), moved(START, forward=30.0)
    rig.show([car(near, 1, colour=(220, 20, 20)), car(far, 2, colour=(20, 20, 220))], Weather(), {})
    front = rig.picture("rgb", front_camera(START))
    rig.show([car(far, 2, colour=(20, 20, 220)), car(near, 1, colour=(220, 20, 20))], Weather(), {})
    assert np.array_equal(front, rig.picture("rgb", front_camera(START)))
    column, row, _ = pixel_of((near.x + 2.39, near.y, 0.6), front_camera(START))
    blue, _, red, _ = front[int(row), int(column)]
    assert int(red) > int(blue) + 60


def test_edges_of_the_road_and_cars_stand_out_in_the_policys_picture(rig: CameraRig) -> None:
    other = moved(MIDDLE, forward=12.0)
    rig.show([car(other, colour=(140, 140, 140))], Weather(), {})
    camera = front_camera(MIDDLE)
    small = cv2.resize(grey(rig.picture("rgb", camera)), (84, 84), interpolation=cv2.INTER_AREA)

    def at(ahead: float, right: float, up: float = 0.0) -> float:
        point = moved(MIDDLE, ahead, right, up)
        column, row, _ = pixel_of((point.x, point.y, point.z), camera)
        return float(small[int(row * 84 / 144), int(column * 84 / 256)])

    asphalt, pavement = at(7.0, 1.0), at(7.0, 3.6, 0.15)
    assert pavement - asphalt > 50.0
    line = max(at(7.0, right) for right in np.arange(1.7, 2.3, 0.05))
    assert line - asphalt > 50.0
    rear_window = at(10.0, 0.0, 1.15)
    paint = at(9.6, 0.0, 0.85)
    assert asphalt - rear_window > 20.0
    assert paint - asphalt > 20.0


def test_weather_changes_the_light(rig: CameraRig) -> None:
    brightness, colour = {}, {}
    for name, weather in (("noon", Weather()), ("night", NIGHT), ("rain", RAIN), ("sunset", SUNSET)):
        rig.show([], weather, {})
        picture = rig.picture("rgb", front_camera(START))
        brightness[name] = grey(picture).mean()
        colour[name] = float(picture[:40, :, 2].mean() / picture[:40, :, 0].mean())
    assert brightness["night"] < 0.4 * brightness["noon"]
    assert brightness["night"] < brightness["rain"] < 0.9 * brightness["noon"]
    assert colour["sunset"] > 1.2 * colour["noon"]


def test_fog_hides_what_is_far_and_leaves_what_is_near(rig: CameraRig) -> None:
    near, far = moved(START, forward=8.0), moved(START, forward=70.0)
    contrast = {}
    for name, weather in (("clear", Weather()), ("fog", FOG)):
        for place in (near, far):
            rig.show([], weather, {})
            empty = grey(rig.picture("rgb", front_camera(START)))
            rig.show([car(place, colour=(10, 10, 10))], weather, {})
            contrast[name, place] = np.abs(grey(rig.picture("rgb", front_camera(START))) - empty).max()
    assert contrast["fog", near] > 0.5 * contrast["clear", near]
    assert contrast["fog", far] < 0.3 * contrast["clear", far]


def test_returning_to_a_weather_returns_its_picture(rig: CameraRig) -> None:
    rig.show([], Weather(), {})
    before = rig.picture("rgb", front_camera(START)).copy()
    for weather in (NIGHT, RAIN, FOG):
        rig.show([], weather, {})
    rig.show([], Weather(), {})
    assert np.array_equal(before, rig.picture("rgb", front_camera(START)))


def test_lamps_show_their_state_to_the_traffic_they_hold(rig: CameraRig, town01: Town) -> None:
    light = town01.lights[0]
    box = light.stop_boxes[0]
    camera = moved(Pose(box.x, box.y, 0.0, yaw=box.yaw), forward=-3.0, up=1.5)
    hues = {}
    for state in range(4):
        rig.show([], NIGHT, {light.sign_id: state})
        blue, green, red = (rig.picture("rgb", camera)[..., channel].astype(int) for channel in range(3))
        hues[state] = (
            int(((red > 200) & (green < 90)).sum()),
            int(((red > 200) & (green > 150) & (blue < 80)).sum()),
            int(((green > 200) & (red < 120)).sum()),
        )
    for state in range(3):
        assert hues[state][state] >= 2
        assert sum(hues[state]) - hues[state][state] == 0
    assert hues[3] == (0, 0, 0)


def test_lights_behind_and_others_keep_their_own_state(rig: CameraRig, town01: Town) -> None:
    light = town01.lights[0]
    box = light.stop_boxes[0]
    camera = moved(Pose(box.x, box.y, 0.0, yaw=box.yaw), forward=-3.0, up=1.5)
    rig.show([], NIGHT, {})
    dark = rig.picture("rgb", camera).copy()
    rig.show([], NIGHT, {"no such light": 2})
    assert np.array_equal(dark, rig.picture("rgb", camera))


def test_places_of_route_0_have_their_classes(rig: CameraRig) -> None:
    rig.show([], Weather(), {})
    for place in (START, MIDDLE, NORTHBOUND):
        tags = rig.tags(front_camera(place))
        assert {Tag.ROADS, Tag.ROAD_LINES, Tag.SIDEWALKS, Tag.BUILDINGS, Tag.SKY} <= set(np.unique(tags))


def test_each_kernel_is_compiled_once(rig: CameraRig) -> None:
    """Another signature would stop a tick for seconds."""
    rig.show([car(START)], RAIN, {"360": 0})
    for kind in ("rgb", "semantic", "depth"):
        rig.picture(kind, front_camera(START), hidden=1)
    kernels = (
        raster.draw_static, raster.draw_actors,
        shading.shade_rgb, shading.shade_tags, shading.shade_depth, shading.light_actors,
    )  # fmt: skip
    assert [len(kernel.signatures) for kernel in kernels] == [1] * len(kernels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lidar", 10, 10, 90.0), "kind"),
        (("rgb", 0, 10, 90.0), "size"),
        (("rgb", 10, 100_000, 90.0), "size"),
        (("rgb", 10, 10, 0.0), "fov"),
        (("rgb", 10, 10, 180.0), "fov"),
        (("rgb", 10, 10, float("nan")), "fov"),
    ],
)
def test_impossible_cameras_are_refused(rig: CameraRig, arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rig.renderer.add_camera(*arguments)


def test_removed_camera_is_gone(rig: CameraRig) -> None:
    camera = rig.renderer.add_camera("rgb", 8, 8, 90.0)
    rig.renderer.remove_camera(camera)
    rig.renderer.remove_camera(camera)
    with pytest.raises(KeyError):
        rig.renderer.render(camera, START)
