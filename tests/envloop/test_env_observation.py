"""What CarlaEnv observes, tick by tick, on a real server."""

import numpy as np
import pytest
from driving import driver_action
from settings_of_record import of_record

from envloop.baselines.route_follower import RouteFollower
from envloop.config import CameraConfig
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError
from envloop.task.observation import VectorConfig
from envloop.task.pictures import grey_84
from envloop.task.termination import TerminationConfig

STRAIGHT_ON = np.array([0.0, 0.6], np.float32)


def test_the_picture_is_that_of_the_tick_just_made(env):
    """Never a stale or repeated one: the camera streams beside the ticks."""
    env.reset(seed=1, options={"start": "beginning"})
    frames, pictures = [], []
    for _ in range(20):
        observation, *_ = env.step(STRAIGHT_ON)
        assert env.frame == env.simulator.world.get_snapshot().frame
        assert np.array_equal(observation["image"][3], grey_84(env._picture))
        frames.append(env.frame)
        pictures.append(observation["image"][3].tobytes())
    assert np.array_equal(np.diff(frames), np.ones(19))
    assert len(set(pictures[5:])) == 15  # a moving car sees something new in every tick


def test_a_picture_that_does_not_come_is_an_error_not_a_stale_one(simulator, env):
    car = env._ego
    frame = simulator.tick()
    with pytest.raises(SimulatorError, match=f"skipped the picture of frame {frame - 1}"):
        car.end_tick(frame - 1)
    car._timeout_s = 0.1
    with pytest.raises(SimulatorError, match=f"no picture of frame {frame + 1}"):
        car.end_tick(frame + 1)


def test_pictures_of_earlier_ticks_are_passed_over(simulator, env):
    frame = [simulator.tick() for _ in range(5)][-1]
    assert env._ego.end_tick(frame).shape == (144, 256, 4)


def test_the_first_frame_is_real_and_repeated(env):
    observation, info = env.reset(seed=1)
    image = observation["image"]
    assert image[3].std() > 5.0
    assert all(np.array_equal(image[i], image[3]) for i in range(3))
    observation, *_ = env.step(STRAIGHT_ON)
    assert np.array_equal(observation["image"][:3], image[:3])
    assert info["reason"] is None


def drive_into_a_building(env: CarlaEnv) -> tuple[list, list]:
    """Observations of an episode that ends in a collision, and all else that the environment said of each step."""
    observation, info = env.reset(seed=1, options={"start": "beginning"})
    observations, said = [observation], [repr(info)]
    for step in range(400):
        steer = 0.4 if step < 60 else 0.0
        observation, *rest = env.step(np.array([steer, 0.6], np.float32))
        observations.append(observation)
        said.append(repr(rest))
        if rest[1]:
            break
    assert rest[3]["reason"] == "collision"
    return observations, said


def test_each_part_of_the_observation_can_be_had_alone_and_nothing_else_changes(make_env):
    """Without a camera a tick ends with another sensor's message: no collision may be seen later for it."""
    drives = {}
    for part in ("both", "image", "vector"):
        env = make_env(observation=part, termination=TerminationConfig(max_lateral_m=100.0))
        drives[part], said = drive_into_a_building(env)
        assert drives[part][0] in env.observation_space
        cameras = env.simulator.world.get_actors().filter("sensor.camera.*")
        assert len(cameras) == (0 if part == "vector" else 1)
        if part == "both":
            expected = said
        assert said == expected
    assert [set(drives[part][-1]) for part in drives] == [{"image", "vector"}, {"image"}, {"vector"}]
    for both, image, vector in zip(*drives.values(), strict=True):
        np.testing.assert_array_equal(both["image"], image["image"])
        np.testing.assert_array_equal(both["vector"], vector["vector"])


def test_what_is_rendered_is_there_whatever_is_observed(simulator):
    env = CarlaEnv(of_record(observation="vector"), simulator=simulator, render_mode="rgb_array")
    env.reset(seed=1)
    env.step(STRAIGHT_ON)
    assert env.render().std() > 5.0
    env.close()


def test_the_vector_never_goes_blank_along_the_route(env):
    """The points ahead are there and continuous all the way, as a car drives it."""
    env.reset(seed=1, options={"start": "beginning"})
    driver, vectors, done = RouteFollower(), [], False
    while not done:
        observation, _, terminated, truncated, _ = env.step(driver_action(env, driver))
        vectors.append(observation["vector"])
        done = terminated or truncated
    points = np.array(vectors)[:, 3:]
    assert (np.abs(points).sum(axis=1) > 0.5).all()
    assert np.abs(np.diff(points, axis=0)).max() < 0.05


def test_size_of_camera_and_vector_follow_the_config(make_env):
    env = make_env(camera=CameraConfig(width=128, height=96), vector=VectorConfig(points=25))
    observation, _ = env.reset(seed=1)
    assert observation["vector"].shape == (53,)
    assert env._picture.shape == (96, 128, 4)
