"""The privileged driver on a real server."""

import numpy as np
import pytest

from envloop.baselines.policies import SCRIPTED

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
