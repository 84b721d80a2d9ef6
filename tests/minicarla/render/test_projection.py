"""Things appear where the pinhole formula of CARLA's documentation says, in every kind of picture."""

import math

import carla
import numpy as np
import pytest

from minicarla.maps import Pose, Town
from minicarla.render import VisualActor, Weather, raster
from minicarla.render.actors import axes
from minicarla.render.encodings import Tag, decode_depth
from tests.minicarla.render.conftest import CameraRig
from tests.minicarla.render.scenes import MIDDLE, Seen, car, front_camera, moved, pixel_of

MAGENTA = (255, 0, 255)


def cube(point: tuple[float, float, float], half: float) -> Seen:
    x, y, z = point
    return VisualActor(7, "static.prop.barrel", (half, half, half), MAGENTA), Pose(x, y, z - half)


@pytest.mark.parametrize("rotation", [(0, 0, 0), (20, 35, 0), (-15, 200, 10), (5, -90, -25), (80, 10, 170)])
def test_axes_are_those_of_carla(rotation: tuple[float, float, float]) -> None:
    pitch, yaw, roll = rotation
    transform = carla.Transform(carla.Location(), carla.Rotation(pitch, yaw, roll))
    expected = [transform.get_forward_vector(), transform.get_right_vector(), transform.get_up_vector()]
    for ours, theirs in zip(axes(Pose(0, 0, 0, pitch, yaw, roll)), expected, strict=True):
        assert ours == pytest.approx((theirs.x, theirs.y, theirs.z), abs=1e-5)


@pytest.mark.parametrize(
    "camera",
    [
        Pose(200.0, 129.5, 4.0, 0.0, 180.0, 0.0),
        Pose(200.0, 129.5, 4.0, 12.0, 180.0, 0.0),
        Pose(200.0, 129.5, 4.0, -12.0, 180.0, 0.0),
        Pose(200.0, 129.5, 4.0, 0.0, 180.0, 20.0),
        Pose(200.0, 129.5, 4.0, 8.0, 130.0, -35.0),
        Pose(200.0, 129.5, 4.0, 0.0, 37.0, 5.0),
    ],
)
@pytest.mark.parametrize(("ahead", "right", "up"), [(10.0, 2.0, 0.3), (10.0, -2.0, 0.3), (5.0, 1.0, -0.4)])
@pytest.mark.parametrize(("size", "fov_deg"), [((256, 144), 90.0), ((200, 200), 60.0)])
def test_point_lands_on_its_pixel_in_every_kind(
    rig: CameraRig,
    camera: Pose,
    ahead: float,
    right: float,
    up: float,
    size: tuple[int, int],
    fov_deg: float,
) -> None:
    forward_axis, right_axis, up_axis = (np.array(axis) for axis in axes(camera))
    point = np.array([camera.x, camera.y, camera.z]) + ahead * forward_axis + right * right_axis + up * up_axis
    half = 0.12
    rig.show([cube(tuple(point), half)], Weather(), {})
    column, row, depth = pixel_of(tuple(point), camera, *size, fov_deg)

    seen = rig.picture("semantic", camera, size=size, fov_deg=fov_deg)[..., 2] == Tag.STATIC
    assert np.argwhere(seen).mean(axis=0) + 0.5 == pytest.approx((row, column), abs=0.8)

    blue, green, red = (
        rig.picture("rgb", camera, size=size, fov_deg=fov_deg)[..., channel].astype(int) for channel in range(3)
    )
    magenta = np.minimum(red, blue) - green > 60
    assert np.argwhere(magenta).mean(axis=0) + 0.5 == pytest.approx((row, column), abs=0.8)

    metres = decode_depth(rig.picture("depth", camera, size=size, fov_deg=fov_deg))
    assert metres[int(row), int(column)] == pytest.approx(depth, abs=half * math.sqrt(3.0))


def test_vehicle_fills_the_outline_of_its_box(rig: CameraRig) -> None:
    camera = front_camera(MIDDLE)
    other = moved(MIDDLE, forward=11.6, right=2.0)
    rig.show([car(other)], Weather(), {})
    mask = rig.tags(camera) == Tag.CAR
    rows, columns = np.nonzero(mask)
    ex, ey, ez = 2.396, 1.081, 0.744
    corners = [moved(other, a * ex, b * ey, c) for a in (-1, 1) for b in (-1, 1) for c in (0.0, 2 * ez)]
    pixels = np.array([pixel_of((corner.x, corner.y, corner.z), camera)[:2] for corner in corners])
    assert columns.min() == pytest.approx(pixels[:, 0].min(), abs=2.0)
    assert columns.max() + 1 == pytest.approx(pixels[:, 0].max(), abs=2.0)
    # The rear wheels are 0.4 of the half length in from the box's edge.
    assert rows.max() + 1 == pytest.approx(pixels[:, 1].max(), abs=3.0)
    assert rows.min() == pytest.approx(pixels[:, 1].min(), abs=2.5)
    assert mask.sum() > 0.5 * np.prod(np.ptp(pixels, axis=0))


def test_walker_stands_on_its_feet(rig: CameraRig) -> None:
    """A walker's origin is at half its height."""
    camera = front_camera(MIDDLE)
    place = moved(MIDDLE, forward=8.0, up=0.93)
    walker = VisualActor(3, "walker.pedestrian.0001", (0.188, 0.188, 0.93), (200, 40, 40))
    rig.show([(walker, place)], Weather(), {})
    rows = np.nonzero(rig.tags(camera) == Tag.PEDESTRIANS)[0]
    assert rows.max() + 1 == pytest.approx(pixel_of((place.x, place.y, 0.0), camera)[1], abs=1.5)
    assert rows.min() == pytest.approx(pixel_of((place.x, place.y, 1.86), camera)[1], abs=1.5)


def test_depth_of_the_road_is_exact_to_100_m(rig: CameraRig) -> None:
    """On flat ground the depth of a row is h f / (row - H / 2)."""
    rig.show([], Weather(), {})
    camera = front_camera(MIDDLE)
    road = rig.tags(camera) == Tag.ROADS
    depth = decode_depth(rig.picture("depth", camera))
    rows = np.arange(144) + 0.5 - 72.0
    expected = np.where(rows > 0.0, 1.5 * 128.0 / np.maximum(rows, 0.1), np.inf)[:, None] * np.ones((1, 256))
    checked = road & (expected < 100.0)
    # Junction gaps lie 1 cm lower, paint 1 cm higher: 0.7 % of the camera's height.
    assert checked.sum() > 5000
    assert np.abs(depth[checked] / expected[checked] - 1.0).max() < 0.01


def test_depth_of_walls_is_that_of_their_boxes(rig: CameraRig, town01: Town) -> None:
    rig.show([], Weather(), {})
    camera = front_camera(MIDDLE)
    walls = rig.tags(camera) == Tag.BUILDINGS
    depth = decode_depth(rig.picture("depth", camera))
    expected = _depth_of_boxes(town01, camera)
    checked = walls & (expected < 100.0)
    error = np.abs(depth[checked] - expected[checked])
    assert checked.sum() > 1500
    # The rim below a roof sticks out a little.
    assert np.mean(error < 0.01 * expected[checked]) > 0.9
    assert np.mean(error < 0.4 + 0.01 * expected[checked]) > 0.99


def _depth_of_boxes(town: Town, camera: Pose) -> np.ndarray:
    """[144, 256] depth of the nearest building along each ray, by slabs."""
    columns, rows = np.meshgrid(np.arange(256) + 0.5 - 128.0, np.arange(144) + 0.5 - 72.0)
    forward, right, up = (np.array(axis) for axis in axes(camera))
    rays = forward + columns[..., None] / 128.0 * right - rows[..., None] / 128.0 * up
    nearest = np.full(columns.shape, np.inf)
    for building in town.buildings:
        box = building.box
        cos, sin = math.cos(math.radians(box.yaw)), math.sin(math.radians(box.yaw))
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        origin = turn @ np.array([camera.x - box.x, camera.y - box.y, camera.z - box.z])
        direction = rays @ turn.T
        half = np.array([box.ex, box.ey, box.ez])
        with np.errstate(divide="ignore", invalid="ignore"):
            enter = np.minimum((-half - origin) / direction, (half - origin) / direction).max(axis=2)
            leave = np.maximum((-half - origin) / direction, (half - origin) / direction).min(axis=2)
        hit = (enter < leave) & (enter > 0.0)
        nearest = np.where(hit, np.minimum(nearest, enter), nearest)
    return nearest


def test_sky_is_at_the_far_end(rig: CameraRig) -> None:
    rig.show([], Weather(), {})
    camera = moved(front_camera(MIDDLE), up=30.0)
    sky = rig.tags(camera) == Tag.SKY
    assert sky.sum() > 10000
    assert np.all(decode_depth(rig.picture("depth", camera))[sky] == 1000.0)


@pytest.mark.parametrize(("rows", "columns"), [(9, 37), (16, 32), (5, 3)])
def test_a_face_is_in_the_samples_whose_middles_it_covers_and_in_no_others(rows: int, columns: int) -> None:
    """Faces are drawn by blocks that reach beyond them, at the picture's end too."""
    rng, far_m = np.random.default_rng(0), 5.0
    focal = 0.5 * columns
    to_camera = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    for _ in range(40):
        x, y = np.sort(rng.uniform(-4.0, columns + 4.0, 2)), np.sort(rng.uniform(-4.0, rows + 4.0, 2))
        # What is seen at (x, y) in samples lies at these places of the plane `far_m` ahead.
        right, up = far_m * (x - 0.5 * columns) / focal, far_m * (0.5 * rows - y) / focal
        around = [(right[0], up[0]), (right[1], up[0]), (right[1], up[1]), (right[0], up[1])]
        corners = np.array([[(far_m, *point) for point in around]], np.float32)
        nearness, faces = np.zeros((rows, columns), np.float32), np.full((rows, columns), raster.NOTHING, np.int32)
        raster.draw_static(
            corners, np.array([[-1.0, 0.0, 0.0, -far_m]], np.float32), np.array([0, 1]),
            np.array([[far_m, 0.0, 0.0, 100.0]], np.float32), np.array([1e9], np.float32), 1.0,
            np.zeros(3), to_camera, focal, nearness, faces, np.zeros((rows, 2)),
        )  # fmt: skip
        middles_x, middles_y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
        inside = ((middles_y >= y[0]) & (middles_y < y[1]))[:, None] & (middles_x >= x[0]) & (middles_x < x[1])
        np.testing.assert_array_equal(faces == 0, inside)
        np.testing.assert_allclose(nearness, np.where(inside, 1.0 / far_m, 0.0), rtol=1e-5)
