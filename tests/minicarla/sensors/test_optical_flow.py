"""The optical flow of the stock client's camera, against depth and the client's own transforms."""

import math
import queue
from dataclasses import dataclass

import carla
import numpy as np
import pytest
from server_process import SyncWorld

WIDTH, HEIGHT, FOV_DEG = 96, 64, 80.0
FOCAL = WIDTH / (2.0 * math.tan(math.radians(FOV_DEG / 2.0)))
SKY_M = 999.0


@dataclass
class Eye:
    """An optical flow camera and a depth camera at one place."""

    sync: SyncWorld
    place: carla.Transform

    def __post_init__(self) -> None:
        size = {"image_size_x": WIDTH, "image_size_y": HEIGHT, "fov": FOV_DEG}
        self._flow, self._flows = self._camera("optical_flow", size)
        self._depth, self._depths = self._camera("depth", size)

    def _camera(self, kind: str, size: dict[str, object]) -> tuple[carla.Sensor, queue.Queue]:
        return self.sync.listen(self.sync.spawn(f"sensor.camera.{kind}", self.place, **size))

    def move(self, place: carla.Transform) -> None:
        self.place = place
        self._flow.set_transform(place)
        self._depth.set_transform(place)

    def look(self) -> tuple[carla.OpticalFlowImage, np.ndarray, np.ndarray]:
        """After a tick: the image, flow in pixels to the right and down [H, W, 2], points [H, W, 4] in the world."""
        self.sync.world.tick()
        image = self._flows.get(timeout=10.0)
        assert (image.width, image.height, len(image)) == (WIDTH, HEIGHT, WIDTH * HEIGHT)
        flow = np.frombuffer(image.raw_data, np.float32).reshape(HEIGHT, WIDTH, 2) * (0.5 * WIDTH, -0.5 * HEIGHT)
        wide = np.frombuffer(self._depths.get(timeout=10.0).raw_data, np.uint8).reshape(HEIGHT, WIDTH, 4).astype(float)
        metres = 1000.0 * (wide[..., 2] + 256.0 * wide[..., 1] + 65536.0 * wide[..., 0]) / (256.0**3 - 1.0)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        right, down = (columns - WIDTH / 2) / FOCAL, (rows - HEIGHT / 2) / FOCAL
        seen = np.stack([metres, metres * right, -metres * down, np.ones_like(metres)], axis=-1)
        return image, flow, seen @ np.array(self.place.get_matrix()).T


def pixel(points: np.ndarray, place: carla.Transform) -> np.ndarray:
    """[..., 2] column and row of world points [..., 4] in a camera."""
    ahead, right, up, _ = np.moveaxis(points @ np.array(place.get_inverse_matrix()).T, -1, 0)
    return np.stack([WIDTH / 2 + FOCAL * right / ahead, HEIGHT / 2 - FOCAL * up / ahead], axis=-1)


def street(sync: SyncWorld) -> carla.Transform:
    pose = sync.spawn_points[0]
    pose.location.z = 1.7
    return pose


def test_a_moving_camera_sees_the_town_move(sync: SyncWorld):
    before = street(sync)
    eye = Eye(sync, before)
    _, flow, _ = eye.look()
    assert abs(flow).max() < 1e-9
    place = before.location + 0.4 * before.get_forward_vector() + 0.3 * before.get_right_vector()
    rotation = before.rotation
    after = carla.Transform(place, carla.Rotation(rotation.pitch + 1.0, rotation.yaw - 2.0, rotation.roll + 3.0))
    eye.move(after)
    image, flow, points = eye.look()
    expected = pixel(points, after) - pixel(points, before)
    near = np.linalg.norm(points[..., :3] - (place.x, place.y, place.z), axis=-1) < SKY_M
    assert near.mean() > 0.4
    assert (~near).sum() > 100
    assert abs(expected[near]).max() > 4.0
    assert flow[near] == pytest.approx(expected[near], abs=0.01)
    # The sky's point at 1000 m would move by a thousandth of the way: it shows the rotation only.
    assert flow[~near] == pytest.approx(expected[~near], abs=0.05)
    coded = image.get_color_coded_flow()
    assert (coded.width, coded.height) == (WIDTH, HEIGHT)
    assert image[0].x == pytest.approx(flow[0, 0, 0] / (0.5 * WIDTH), rel=1e-5)


def test_along_a_wall_the_flow_is_the_way_over_the_depth(sync: SyncWorld):
    wall = max(sync.world.get_level_bbs(carla.CityObjectLabel.Buildings), key=lambda box: box.extent.x)
    facade = wall.rotation.get_right_vector()
    start = wall.location + (wall.extent.y + 6.0) * facade
    start.z = 1.7
    eye = Eye(sync, carla.Transform(start, carla.Rotation(yaw=wall.rotation.yaw - 90.0)))
    eye.look()
    right = eye.place.get_right_vector()
    eye.move(carla.Transform(start + 0.5 * right, eye.place.rotation))
    _, flow, points = eye.look()
    depth = float((points[HEIGHT // 2, WIDTH // 2, :3] - (start.x, start.y, start.z)) @ (-facade.x, -facade.y, 0.0))
    assert depth == pytest.approx(6.0, abs=0.5)
    # What is seen goes to the left, as far as the camera went to the right.
    assert flow[HEIGHT // 2, WIDTH // 2, 0] == pytest.approx(-FOCAL * 0.5 / depth, rel=1e-3)
    assert flow[HEIGHT // 2, WIDTH // 2, 1] == pytest.approx(0.0, abs=1e-3)


def test_a_vehicle_takes_its_pixels_along(sync: SyncWorld):
    place = street(sync)
    eye = Eye(sync, place)
    ahead = place.location + 12.0 * place.get_forward_vector()
    ahead.z = 0.0
    car = sync.spawn("vehicle.tesla.model3", carla.Transform(ahead, place.rotation))
    car.set_simulate_physics(False)
    eye.look()
    before = car.get_transform()
    moved = before.location + 1.0 * before.get_right_vector() - 0.5 * before.get_forward_vector()
    car.set_transform(carla.Transform(moved, carla.Rotation(yaw=before.rotation.yaw + 10.0)))
    _, flow, points = eye.look()
    after = car.get_transform()
    body = points @ np.array(after.get_inverse_matrix()).T
    box = car.bounding_box.extent
    on_car = (abs(body[..., 0]) < box.x + 0.05) & (abs(body[..., 1]) < box.y + 0.05) & (body[..., 2] > 0.2)
    expected = pixel(points, place) - pixel(body @ np.array(before.get_matrix()).T, place)
    assert on_car.sum() > 40
    assert expected[on_car][:, 0].min() > 2.0
    assert flow[on_car] == pytest.approx(expected[on_car], abs=0.02)
    far = np.linalg.norm(body[..., :2], axis=-1) > 4.0
    assert abs(flow[far]).max() < 1e-9
    # A picture later nothing has moved any more.
    assert abs(eye.look()[1]).max() < 1e-9
