"""How episodes of CarlaEnv begin, are driven and end, on a real server."""

import gymnasium as gym
import numpy as np
import pytest
from driving import follow_route, real_town01
from settings_of_record import of_record

from envloop.client.simulator import Simulator
from envloop.config import RandomRouteConfig, SimulatorConfig, StartNoise
from envloop.env import CarlaEnv
from envloop.errors import TaskError
from envloop.suites import load_suite
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


def test_random_starts_roll_along_the_route(env):
    infos = [env.reset(seed=seed, options={"start": "random"})[1] for seed in range(8)]
    s = [info["ego"]["s"] for info in infos]
    assert max(s) - min(s) > 80.0
    assert max(info["ego"]["speed_mps"] for info in infos) > 4.0
    for info in infos:
        assert abs(info["ego"]["lateral_m"]) < 0.2
        assert abs((info["ego"]["yaw_deg"] - info["ego"]["heading_deg"] + 180.0) % 360.0 - 180.0) < 8.0
        assert info["ego"]["speed_mps"] <= 8.34


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


def test_any_route_between_two_points(make_env):
    env = make_env(route="92.4,110.0 -> 92.4,80.0", random_start_fraction=0.0, start_noise=STILL)
    _, info = env.reset(seed=1)
    assert (info["ego"]["x"], info["ego"]["y"]) == pytest.approx((92.4, 110.0), abs=0.3)
    assert env.route_task.limit_s == 50.0  # the NoCrash budget of 30 m is 41.6 s
    assert follow_route(env)["episode_metrics"]["success"] == 1


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


def test_action_repeat_makes_several_ticks_a_decision(make_env):
    env = make_env(action_repeat=4, random_start_fraction=0.0)
    env.reset(seed=1)
    for _ in range(3):
        before = env.frame
        env.step(STRAIGHT_ON)
        assert env.frame == before + 4


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
