"""CarlaEnv through the stock client, on a real server."""

import math
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from driving import driver_action, follow_route, real_town01
from gymnasium.utils.env_checker import check_env
from settings_of_record import of_record

from envloop.client.ego import EgoVehicle
from envloop.client.simulator import Simulator
from envloop.config import CameraConfig, RandomRouteConfig, SimulatorConfig, StartNoise
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError, TaskError
from envloop.suites import load_suite
from envloop.task.observation import VectorConfig
from envloop.task.pictures import grey_84
from envloop.task.reward import TERMS
from envloop.task.termination import TerminationConfig

STRAIGHT_ON = np.array([0.0, 0.6], np.float32)
STILL = StartNoise(0.0, 0.0, 0.0)
BRAKE = np.array([0.0, -1.0], np.float32)


def scripted(env: CarlaEnv, seed: int, steps: int, **options) -> list:
    """Every byte of an episode under seeded actions."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed, options=options)
    trace = [observation["image"].tobytes(), observation["vector"].tobytes(), repr(info["ego"])]
    for _ in range(steps):
        action = np.array([rng.uniform(-0.2, 0.2), rng.uniform(0.2, 1.0)], np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        trace += [observation["image"].tobytes(), observation["vector"].tobytes(), reward, repr(info["ego"])]
        if terminated or truncated:
            trace.append(repr(info["episode_metrics"]))
            break
    return trace


def test_gymnasium_accepts_it(env):
    check_env(env, skip_render_check=True)


def test_it_is_made_by_its_id():
    config = of_record(random_start_fraction=0.0)
    with gym.make("avtd3/Carla-v0", config=config, render_mode="rgb_array") as made:
        observation, _ = made.reset(seed=1)
        assert observation["image"].shape == (4, 84, 84)
        assert made.render().shape == (144, 256, 3)
        assert made.unwrapped.config is config


def test_gymnasium_imports_the_package_by_itself(tmp_path):
    """Gymnasium 1.0 did away with entry points: the module's name stands before the id instead."""
    code = (
        "import sys, gymnasium; assert 'envloop' not in sys.modules;"
        "env = gymnasium.make('envloop:avtd3/Carla-v0', route='92.4,110.0 -> 92.4,80.0', scenario='empty');"
        "env.reset(seed=1); env.step(env.action_space.sample());"
        "print(env.unwrapped.task); env.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "route 92.4,110.0 -> 92.4,80.0 (30 m)\n"


def test_values_beside_a_config_replace_its_own(simulator):
    config = of_record(
        scenario="0", observation="vector", simulator=SimulatorConfig(timeout_s=3.0, xodr="nowhere.xodr")
    )
    with CarlaEnv(config, route="grid-nav/1", scenario="empty", town="Grid01") as env:
        assert env.simulator.map.name.endswith("Grid01"), "a town replaces the config's OpenDRIVE file too"
        assert (env.route_task.name, env.config.scenario, env.config.observation) == ("grid-nav/1", "empty", "vector")
        assert env.config.simulator.timeout_s == 3.0
    with pytest.raises(ValueError, match=r"simulator.xodr: there is no file 'other.xodr'"):
        CarlaEnv(config, xodr="other.xodr")
    with pytest.raises(ValueError, match=r"simulator.endpoint is 'somewhere'"):
        CarlaEnv(endpoint="somewhere")
    with pytest.raises(ValueError, match=r"route 'town01-0' lies in Town01, but simulator.town is Grid01"):
        CarlaEnv(town="Grid01")
    with pytest.raises(TaskError, match="A Simulator has its own town and endpoint"):
        CarlaEnv(simulator=simulator, town="Grid01", endpoint="embedded")


def test_a_simulator_brings_its_own_settings():
    """Else rewards and time limits would count ticks of another length than the simulator makes."""
    with Simulator(SimulatorConfig(fixed_delta_s=0.1)) as slow, CarlaEnv(simulator=slow) as env:
        assert env.config.simulator.fixed_delta_s == 0.1
        assert env.config.decision_s == pytest.approx(0.1 * env.config.action_repeat)


@pytest.mark.parametrize("repeat", [1, 4])
def test_pictures_are_rendered_at_the_rate_of_decisions(make_env, repeat):
    env = make_env(action_repeat=repeat)
    assert env.metadata["render_fps"] == pytest.approx(20.0 / repeat)
    assert env.metadata["render_modes"] == ["rgb_array"]
    assert env.description.decision_s == pytest.approx(0.05 * repeat)


def test_what_it_says_of_itself_is_so(env):
    """A run reads nothing of `info` but what the description names."""
    said = env.description
    assert said.task == "route town01-0 (265 m)"
    assert said.simulator == env.simulator.identity()
    assert len(said.action_names) == env.action_space.shape[0]
    _, info = env.reset(seed=1, options={"start": "random"})
    assert info[said.speed_key] == info["ego"]["speed_mps"]
    ended = False
    while not ended:
        _, reward, terminated, truncated, info = env.step(np.array([0.5, 0.5], np.float32))
        assert sum(info[said.reward_terms_key].values()) == pytest.approx(reward)
        assert info[said.speed_key] == info["ego"]["speed_mps"]
        ended = terminated or truncated
        assert (said.episode_metrics_key in info) == ended
    env.reset(seed=1, options={"route": "town01-nav/4"})
    assert env.description.task == "route town01-0 (265 m)", "one episode on another route is not another task"


def test_importing_the_package_loads_no_simulator_client():
    code = "import envloop, sys; assert not {'carla', 'cv2', 'panda3d', 'networkx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


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


def test_an_episode_is_a_function_of_its_seed(env):
    first = scripted(env, seed=5, steps=60)
    scripted(env, seed=6, steps=25)
    env.reset(seed=9)
    assert scripted(env, seed=5, steps=60) == first
    assert scripted(env, seed=7, steps=60) != first


def test_an_episode_in_traffic_is_a_function_of_its_seed(make_env):
    """Also after one that began at rest, whose last control was another client's."""
    env = make_env(scenario="0")
    first = scripted(env, seed=5, steps=10, start="random")
    scripted(env, seed=6, steps=10, start="beginning")
    assert scripted(env, seed=5, steps=10, start="random") == first


def test_another_server_gives_the_same_bytes(env):
    with Simulator(SimulatorConfig()) as other:
        twin = CarlaEnv(env.config, simulator=other)
        for seed in (5, 8):
            assert scripted(twin, seed, 60) == scripted(env, seed, 60)
        twin.close()


def test_resets_without_a_seed_differ_and_repeat(env):
    def starts():
        return [env.reset(seed=11)[1]["ego"]["s"], env.reset()[1]["ego"]["s"], env.reset()[1]["ego"]["s"]]

    assert starts() == starts()
    assert len(set(starts())) == 3


def test_the_beginning_is_at_rest_on_the_route(make_env):
    env = make_env(start_noise=STILL)
    _, info = env.reset(seed=2, options={"start": "beginning"})
    ego = info["ego"]
    assert (ego["x"], ego["y"]) == pytest.approx((317.74, 129.5), abs=0.1)
    assert abs(ego["lateral_m"]) < 0.05
    assert ego["speed_mps"] < 0.1
    assert ego["yaw_deg"] % 360.0 == pytest.approx(180.0, abs=0.5)


def test_starts_at_the_beginning_differ_and_stay_in_the_lane(env):
    """On an empty road twenty evaluation episodes are twenty different ones."""
    egos = [env.reset(seed=seed, options={"start": "beginning"})[1]["ego"] for seed in range(20)]
    assert len({(ego["x"], ego["y"], ego["yaw_deg"]) for ego in egos}) == 20
    for ego in egos:
        assert 312.6 < ego["x"] < 317.9
        assert abs(ego["lateral_m"]) < 0.35
        assert abs((ego["yaw_deg"] - 180.0 + 180.0) % 360.0 - 180.0) < 3.2
        assert ego["speed_mps"] < 0.1
    assert np.ptp([ego["lateral_m"] for ego in egos]) > 0.3


def test_random_routes_are_drawn_anew_and_repeat_with_the_seed(make_env):
    env = make_env(route="random", random_route=RandomRouteConfig(100.0, 300.0))
    names = []
    for seed in (1, 2, 3, 1):
        _, info = env.reset(seed=seed, options={"start": "beginning"})
        names.append(env.route_task.name)
        assert 99.0 < env.route_task.route.length < 301.0
        assert abs(info["ego"]["lateral_m"]) < 0.4
        assert info["ego"]["s"] < 5.5
    assert names[0] == names[3]
    assert len(set(names)) == 3
    again = make_env(route=names[0])  # what a result says was driven can be driven again
    assert again.route_task.route.length == pytest.approx(env.route_task.route.length, abs=0.1)
    env = make_env(route="random")
    far = [env.reset(seed=seed, options={"start": "random"})[1]["ego"]["s"] for seed in range(6)]
    assert max(far) > 50.0


def test_a_route_can_be_chosen_for_one_episode(env):
    env.reset(seed=1, options={"start": "beginning", "route": "town01-nav/4"})
    episode = follow_route(env)["episode_metrics"]
    assert (episode["route"], episode["success"]) == ("town01-nav/4", 1)
    assert episode["route_m"] == pytest.approx(load_suite("town01-nav").routes[4].length_m, abs=1.0)
    assert episode["time_limit_s"] == pytest.approx(episode["route_m"] / (5.0 / 3.6) + 20.0)
    env.reset(seed=1)
    assert (env.route_task.name, env.route_task.limit_s) == ("town01-0", 50.0)
    with pytest.raises(ValueError, match="lies in Grid01"):
        env.reset(options={"route": "grid-nav/0"})
    with pytest.raises(TaskError, match="route is '"):
        env.reset(options={"route": "nowhere"})
    env.step(STRAIGHT_ON)  # and nothing is lost


def test_random_starts_roll_along_the_route(env):
    infos = [env.reset(seed=seed, options={"start": "random"})[1] for seed in range(8)]
    s = [info["ego"]["s"] for info in infos]
    assert max(s) - min(s) > 80.0
    assert max(info["ego"]["speed_mps"] for info in infos) > 4.0
    for info in infos:
        assert abs(info["ego"]["lateral_m"]) < 0.2
        assert abs((info["ego"]["yaw_deg"] - info["ego"]["heading_deg"] + 180.0) % 360.0 - 180.0) < 8.0
        assert info["ego"]["speed_mps"] <= 8.34


def test_nothing_of_an_episode_is_left_for_the_next(make_env):
    """Full lock and full throttle, then a start at rest: the wheels must be straight and the car still."""
    env = make_env(start_noise=STILL)
    env.reset(seed=2, options={"start": "beginning"})
    for _ in range(20):
        if env.step(np.array([1.0, 1.0], np.float32))[2]:
            break
    env.reset(seed=2, options={"start": "beginning"})
    for _ in range(15):
        *_, info = env.step(STRAIGHT_ON)
    assert abs(info["ego"]["lateral_m"]) < 0.05


def test_throttle_drives_and_brake_stops(env):
    env.reset(seed=1, options={"start": "beginning"})
    for _ in range(60):
        *_, info = env.step(np.array([0.0, 1.0], np.float32))
    fast = info["ego"]["speed_mps"]
    for _ in range(60):
        *_, info = env.step(BRAKE)
    assert fast > 6.0
    assert info["ego"]["speed_mps"] < 0.2


def test_steering_right_moves_right(env):
    env.reset(seed=1, options={"start": "beginning"})
    for _ in range(50):
        observation, _, terminated, _, info = env.step(np.array([0.15, 0.5], np.float32))
        if terminated:
            break
    assert info["ego"]["lateral_m"] > 0.5
    assert observation["vector"][1] > 0.0


def test_the_info_of_a_step_holds_the_five_terms_and_no_episode(env):
    env.reset(seed=1)
    _, reward, _, _, info = env.step(STRAIGHT_ON)
    assert set(info["reward_terms"]) == set(TERMS)
    assert sum(info["reward_terms"].values()) == pytest.approx(reward)
    assert "episode_metrics" not in info


def test_leaving_the_route_ends_the_episode(env):
    env.reset(seed=1, options={"start": "beginning"})
    for _ in range(400):
        _, _, terminated, truncated, info = env.step(np.array([0.5, 0.5], np.float32))
        if terminated or truncated:
            break
    assert (terminated, info["reason"]) == (True, "off_route")
    assert info["episode_metrics"]["success"] == 0
    assert info["episode_metrics"]["lane_invasions"] >= 1
    with pytest.raises(gym.error.ResetNeeded):
        env.step(STRAIGHT_ON)


def test_a_collision_ends_the_episode(make_env):
    """Across the pavement into a building, with the route's corridor opened wide."""
    env = make_env(termination=TerminationConfig(max_lateral_m=100.0))
    env.reset(seed=1, options={"start": "beginning"})
    for step in range(400):
        steer = 0.4 if step < 60 else 0.0
        _, _, terminated, truncated, info = env.step(np.array([steer, 0.6], np.float32))
        if terminated or truncated:
            break
    assert (terminated, info["reason"]) == (True, "collision")
    assert info["episode_metrics"]["static_collisions"] == 1
    assert info["reward_terms"]["safety"] < -5.0


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


def test_a_driver_finishes_route_0(env):
    env.reset(seed=1, options={"start": "beginning"})
    info = follow_route(env)
    assert info["reason"] == "route_done"
    result = info["episode_metrics"]
    assert result["success"] == 1
    assert result["route_completion"] == pytest.approx(1.0)
    assert result["completion_time_s"] < 50.0
    assert result["mean_lateral_error_m"] < 0.5


def test_a_driver_finishes_route_0_on_carlas_own_town():
    path = real_town01()
    if path is None:
        pytest.skip("AVTD3_XODR_DIR names no folder with Town01.xodr")
    env = CarlaEnv(of_record(simulator=SimulatorConfig(xodr=str(path))))
    env.reset(seed=1, options={"start": "beginning"})
    info = follow_route(env)
    env.close()
    assert info["reason"] == "route_done"
    assert info["episode_metrics"]["success"] == 1


def test_the_vector_never_goes_blank_along_the_route(env):
    """The points ahead are there and continuous all the way, as a car drives it."""
    from envloop.baselines.route_follower import RouteFollower

    env.reset(seed=1, options={"start": "beginning"})
    driver, vectors, done = RouteFollower(), [], False
    while not done:
        observation, _, terminated, truncated, _ = env.step(driver_action(env, driver))
        vectors.append(observation["vector"])
        done = terminated or truncated
    points = np.array(vectors)[:, 3:]
    assert (np.abs(points).sum(axis=1) > 0.5).all()
    assert np.abs(np.diff(points, axis=0)).max() < 0.05


def test_any_route_between_two_points(make_env):
    env = make_env(route="92.4,110.0 -> 92.4,80.0", random_start_fraction=0.0, start_noise=STILL)
    _, info = env.reset(seed=1)
    assert (info["ego"]["x"], info["ego"]["y"]) == pytest.approx((92.4, 110.0), abs=0.3)
    assert env.route_task.limit_s == 50.0  # the NoCrash budget of 30 m is 41.6 s
    assert follow_route(env)["episode_metrics"]["success"] == 1


def test_action_repeat_makes_several_ticks_a_decision(make_env):
    env = make_env(action_repeat=4, random_start_fraction=0.0)
    env.reset(seed=1)
    for _ in range(3):
        before = env.frame
        env.step(STRAIGHT_ON)
        assert env.frame == before + 4


def test_size_of_camera_and_vector_follow_the_config(make_env):
    env = make_env(camera=CameraConfig(width=128, height=96), vector=VectorConfig(points=25))
    observation, _ = env.reset(seed=1)
    assert observation["vector"].shape == (53,)
    assert env._picture.shape == (96, 128, 4)


@pytest.mark.parametrize("action", [[math.nan, 0.0], [0.0, math.inf], [0.0], [0.0, 0.0, 0.0]])
def test_an_action_that_is_no_two_finite_numbers_is_refused(env, action):
    env.reset(seed=1)
    with pytest.raises(TaskError, match="two finite numbers"):
        env.step(np.array(action, np.float32))
    env.step(STRAIGHT_ON)  # and nothing is lost


def test_bad_configs_and_options_are_refused_before_anything_starts(env):
    with pytest.raises(TaskError, match="Unknown weather 'Hail'; choose one of ClearNight"):
        CarlaEnv(of_record(weather="Hail"))
    with pytest.raises(TaskError, match="'start'"):
        env.reset(options={"start": "middle"})
    with pytest.raises(TaskError, match="'start'"):
        env.reset(options={"begin": "random"})


def test_a_route_that_is_done_before_it_begins_is_refused(simulator):
    with pytest.raises(TaskError, match="put its start and goal further apart"):
        CarlaEnv(of_record(route="300,129.49 -> 298,129.49"), simulator)


def test_a_route_that_the_map_does_not_have_gives_the_simulator_back(simulator):
    with pytest.raises(TaskError, match="nearest driving lane"):
        CarlaEnv(of_record(route="1000,1000 -> 92.4,80.0"), simulator=simulator)
    CarlaEnv(simulator=simulator).close()


def test_closing_removes_what_it_made(simulator):
    env = CarlaEnv(simulator=simulator)
    env.reset(seed=1)
    assert len(simulator.world.get_actors().filter("vehicle.*")) == 1
    env.close()
    env.close()
    simulator.tick()
    assert len(simulator.world.get_actors().filter("vehicle.*")) == 0
    assert len(simulator.world.get_actors().filter("sensor.*")) == 0


def test_sensors_are_made_once(env, monkeypatch):
    made = []
    monkeypatch.setattr(EgoVehicle, "__init__", lambda *_: made.append(1))
    for seed in range(3):
        env.reset(seed=seed)
    assert not made
