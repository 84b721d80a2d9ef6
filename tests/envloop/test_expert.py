"""The privileged driver on a real server."""

import dataclasses

import numpy as np
import pytest

from envloop.baselines.expert import Expert
from envloop.baselines.policies import SCRIPTED
from envloop.task.right_of_way import CAUTION
from envloop.task.road_scene import RoadUser

BRAKE = np.array([0.0, -1.0], np.float32)
ROUTE = "town01-nav/4"  # a red light 60 m ahead, which stays red longer than a car may be blocked


def test_it_waits_at_red_goes_on_at_green_and_is_smooth(make_env):
    env = make_env(observation="vector", route=ROUTE, action_repeat=2)
    env.reset(seed=3, options={"start": "beginning"})
    policy = SCRIPTED["expert"](env, 3)
    speeds, places, jerks = [], [], []
    acceleration = np.zeros(2)
    while len(places) < 600 and (not places or places[-1] < 80.0):
        *_, terminated, truncated, info = env.step(policy(None))
        assert not terminated
        assert not truncated
        ego, before = env.episode.ego, acceleration
        acceleration = np.array([ego.ax, ego.ay])
        jerks.append(np.linalg.norm(acceleration - before) / env.config.decision_s)
        speeds.append(info["ego"]["speed_mps"])
        places.append(info["ego"]["s"])
    assert places[-1] >= 80.0
    assert min(speeds[50:]) < 0.05
    assert env.episode.result()["red_lights"] == 0
    assert np.mean(jerks) < 2.0


def test_a_car_that_stands_at_red_is_not_blocked(make_env):
    """Where nothing holds it up, it may stand for 5 s. The clip of that names the light's colour."""
    env = make_env(observation="vector", route=ROUTE, action_repeat=2)
    env.reset(seed=3, options={"start": "beginning", "record": True})
    policy = SCRIPTED["expert"](env, 3)
    while env.episode.projection.s < 50.0 or env.episode.ego.speed_mps > 0.05:
        env.step(policy(None))
    world = env.simulator.world
    world.freeze_all_traffic_lights(True)
    try:
        assert not any(env.step(BRAKE)[3] for _ in range(100))
    finally:
        world.freeze_all_traffic_lights(False)
    while env.road_scene().stop_lines[1].state == "red":
        env.step(BRAKE)
    waited, truncated = 0, False
    while not truncated:
        *_, truncated, info = env.step(BRAKE)
        waited += 1
    assert waited * env.config.decision_s == pytest.approx(5.0, abs=0.3)
    lights = info["clip"]["steps"]["light"]
    assert set(lights[5:]) == {env.road_scene().stop_lines[1].state} == {"green"}


def test_it_slows_down_in_comfort_before_who_stands_at_the_kerb_and_speeds_up_again(make_env):
    env = make_env(observation="vector", route="town01-nav/2", action_repeat=2)
    env.reset(seed=3, options={"start": "beginning"})
    route = env.route_task.route
    (x, y), (dx, dy) = route.point_at(30.0)[:2], np.subtract(*(route.point_at(s)[:2] for s in (31.0, 30.0)))
    person = RoadUser(x - 2.5 * dy, y + 2.5 * dx, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.2, person=True)
    driver = Expert(route, env.route_task.profile.rules)
    speeds, accelerations = {}, []
    while (s := env.episode.projection.s) < 50.0:
        scene = dataclasses.replace(env.road_scene(), users=(person,))
        outlook = dataclasses.replace(env.outlook(), scene=scene)
        env.step(driver.act(outlook, env.episode.projection, env.config.decision_s))
        speeds[s] = env.episode.ego.speed_mps
        accelerations.append(env.episode.ego.ax * dx + env.episode.ego.ay * dy)
    passing = [speed for s, speed in speeds.items() if 28.0 < s < 30.0]
    assert max(passing) < CAUTION.passing_mps + 0.3
    assert min(passing) > CAUTION.passing_mps - 1.0
    assert max(speed for s, speed in speeds.items() if s < 20.0) > CAUTION.passing_mps + 1.0
    assert list(speeds.values())[-1] > CAUTION.passing_mps + 1.0
    assert min(accelerations) > -4.0
