"""How near people and vehicles are in each column of the picture, against plain geometry and against the camera."""

import math

import carla
import numpy as np
import pytest

from envloop.errors import TaskError
from envloop.task.affordances import AFFORDANCES, COLUMN_KINDS
from envloop.task.columns import COLUMNS, bounds, nearness_in_columns
from envloop.task.observation import EgoState
from envloop.task.pictures import PICTURES
from envloop.task.road_scene import RoadUser

BRAKE = np.array([0.0, -1.0], np.float32)
FOV = 90.0  # the picture's edges are where something is as far aside as ahead
PERSON, VEHICLE, BESIDE = range(3)


def user(ahead: float, right: float, *, person: bool = True, z: float = 0.0, yaw_deg: float = 0.0) -> RoadUser:
    size = (0.3, 0.3) if person else (2.3, 1.0)
    return RoadUser(ahead, right, z, yaw_deg, 0.0, 0.0, 0.0, 0.0, *size, person=person)


def near(*users: RoadUser, ego: EgoState | None = None, beside: tuple[RoadUser, ...] = ()) -> np.ndarray:
    edges = bounds("grey", FOV)
    return nearness_in_columns(ego or EgoState(0.0, 0.0), users, beside, 0.0, edges).reshape(COLUMNS, len(COLUMN_KINDS))


@pytest.mark.parametrize("picture", ["grey", "fovea"])
def test_the_columns_fill_the_picture_and_are_mirrored(picture):
    edges = bounds(picture, FOV)
    assert edges[[0, -1]] == pytest.approx([-1.0, 1.0])
    assert (np.diff(edges) > 0.0).all()
    assert edges == pytest.approx(-edges[::-1])


def test_a_magnified_middle_has_narrower_columns():
    middle = [np.diff(bounds(picture, FOV))[COLUMNS // 2] for picture in ("grey", "fovea")]
    assert middle[0] == pytest.approx(2.0 * 8.0 / 84.0)
    assert middle[1] < 0.45 * middle[0]


def test_a_person_is_in_the_column_that_shows_it_and_the_nearest_counts():
    told = near(user(20.0, 0.0), user(10.0, 0.0))
    assert told[3, PERSON] == pytest.approx(1.0 - 10.0 / 40.0)
    assert np.count_nonzero(told) == 1
    assert np.flatnonzero(near(user(10.0, 9.0))) == [3 * 6 + PERSON]
    assert np.flatnonzero(near(user(10.0, -9.0))) == [PERSON]


def test_who_is_behind_aside_far_or_on_another_level_is_not_told():
    assert not near(user(-5.0, 0.0), user(5.0, 6.0), user(41.0, 0.0), user(10.0, 0.0, z=8.0)).any()


def test_a_vehicle_fills_the_columns_that_it_covers():
    ahead, across = near(user(14.0, 0.0, person=False)), near(user(14.0, 0.0, person=False, yaw_deg=90.0))
    assert np.flatnonzero(ahead[:, VEHICLE]).tolist() == [3]
    assert np.flatnonzero(across[:, VEHICLE]).tolist() == [2, 3, 4]
    assert not ahead[:, PERSON].any()


def test_who_is_beside_the_route_is_told_apart():
    away, ahead, car = user(10.0, 3.0), user(20.0, 0.0), user(30.0, 0.0, person=False)
    told = near(away, ahead, car, beside=(ahead, car))
    assert told[:, BESIDE].tolist() == [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    assert told[:, PERSON].tolist() == [0.0, 0.0, 0.0, 0.5, 0.75, 0.75, 0.0]


def test_it_turns_with_the_car():
    ego = EgoState(3.0, 4.0, yaw_deg=90.0)
    assert np.flatnonzero(near(user(3.0, 14.0), ego=ego)) == [3 * 3 + PERSON]
    assert np.flatnonzero(near(user(3.0 - 9.0, 14.0), ego=ego)) == [3 * 6 + PERSON]


@pytest.mark.parametrize("picture", ["grey", "fovea"])
def test_the_camera_shows_a_person_where_the_numbers_say(make_env, picture):
    """The columns' middles are 8 pixels apart, and a walker changes the picture's pixels where it stands."""
    env = make_env(privileged=True, columns=True, picture=picture)
    observation, _ = env.reset(seed=0, options={"start": "beginning"})
    assert env.observation_space.contains(observation)
    world, car = env.simulator.world, env.episode.ego
    model = world.get_blueprint_library().find("walker.pedestrian.0001")
    before = env.step(BRAKE)[0]["image"][3].astype(int)
    yaw = math.radians(car.yaw_deg)
    for right in (-4.0, 0.0, 3.0):
        ahead = 9.0
        place = carla.Location(
            car.x + ahead * math.cos(yaw) - right * math.sin(yaw),
            car.y + ahead * math.sin(yaw) + right * math.cos(yaw),
            1.1,
        )
        walker = world.spawn_actor(model, carla.Transform(place))
        try:
            env.step(BRAKE)
            # Whom an episode has is looked up at its beginning.
            env._scene.surroundings.begin(env.route_task)
            observation = env.step(BRAKE)[0]
        finally:
            walker.destroy()
        told = observation["privileged"][len(AFFORDANCES) :].reshape(COLUMNS, len(COLUMN_KINDS))[:, PERSON]
        changed = np.abs(observation["image"][3].astype(int) - before).sum(axis=0)
        seen_at = changed @ np.arange(84) / changed.sum()
        column = int(np.clip(np.round((seen_at - 41.5) / 8.0) + 3, 0, 6))
        assert told[column] == pytest.approx(1.0 - (ahead - env.config.camera.x) / 40.0, abs=0.02)
        env.step(BRAKE)


def test_columns_without_what_is_privileged_are_refused(make_env):
    with pytest.raises(TaskError, match="columns is set"):
        make_env(columns=True)


def test_a_fovea_shows_an_even_picture_as_it_is_and_magnifies_its_middle():
    even = np.full((144, 256, 4), 100, np.uint8)
    assert (PICTURES["fovea"](even) == 24 + 80).all()
    even[60:84, 124:132, :3] = 250
    shown = {name: PICTURES[name](even).astype(int) for name in ("grey", "fovea")}
    wide = {name: (np.abs(picture[42] - picture[0, 0]) > 60).sum() for name, picture in shown.items()}
    assert wide["fovea"] > 2 * wide["grey"]
    assert shown["fovea"].shape == (84, 84)
    assert abs(np.abs(shown["fovea"] - 104).sum(axis=0) @ (np.arange(84) - 41.5)) < 1e-6
