"""NPC vehicles by the wheel's Traffic Manager, on a real server."""

import carla
import numpy as np
import psutil
import pytest
from driving import driver_action
from settings_of_record import of_record

from envloop.baselines.route_follower import RouteFollower
from envloop.client.ego import start_pose
from envloop.env import CarlaEnv
from envloop.errors import SimulatorError, TaskError
from envloop.task.episode import InitialState
from envloop.task.termination import TerminationConfig

BRAKE = np.array([0.0, -1.0], np.float32)


def npc_tracks(env, seed: int, steps: int) -> np.ndarray:
    """[steps, NPC, 3] x, y, yaw while the ego stands and brakes (the episode is cut off before it is blocked)."""
    env.reset(seed=seed, options={"start": "beginning"})
    tracks = []
    for _ in range(steps):
        env.step(BRAKE)
        tracks.append([_pose(npc.actor) for npc in env.npcs])
    return np.array(tracks)


def _pose(actor):
    transform = actor.get_transform()
    return transform.location.x, transform.location.y, transform.rotation.yaw


def test_scenario_0_has_twenty_moving_vehicles_away_from_the_ego(make_env):
    env = make_env(scenario="0")
    _, info = env.reset(seed=3, options={"start": "beginning"})
    start = np.array([_pose(npc.actor) for npc in env.npcs])
    assert len(start) == 20
    assert np.hypot(start[:, 0] - info["ego"]["x"], start[:, 1] - info["ego"]["y"]).min() > 19.0
    tracks = npc_tracks(env, 3, 80)
    moved = np.hypot(*(tracks[-1] - tracks[0])[:, :2].T)
    assert (moved > 2.0).sum() >= 10


def test_traffic_is_a_function_of_the_seed(make_env):
    env = make_env(scenario="0")
    first = npc_tracks(env, 4, 80)
    other = npc_tracks(env, 5, 40)
    assert np.array_equal(npc_tracks(env, 4, 80), first)
    assert not np.array_equal(other[0], first[0])


@pytest.mark.parametrize(("npc_speed_kmh", "slowest_kmh", "fastest_kmh"), [(15.0, 14.0, 16.0), (0.0, 33.0, 92.0)])
def test_vehicles_want_the_speed_that_is_set_or_what_the_signs_say(
    make_env, npc_speed_kmh: float, slowest_kmh: float, fastest_kmh: float
):
    env = make_env(scenario="0", npc_speed_kmh=npc_speed_kmh)
    env.reset(seed=3, options={"start": "beginning"})
    top_kmh = 0.0
    for _ in range(200):
        env.simulator.tick()
        top_kmh = max(top_kmh, *(3.6 * npc.actor.get_velocity().length() for npc in env.npcs))
    assert slowest_kmh < top_kmh < fastest_kmh


def test_the_next_episode_has_none_of_the_last_ones_vehicles(make_env, simulator):
    env = make_env(scenario="0")
    for seed in range(4):
        env.reset(seed=seed)
        env.step(BRAKE)
        assert len(simulator.world.get_actors().filter("vehicle.*")) == 21


def test_a_vehicle_ahead_is_seen(make_env):
    env = make_env(scenario="2", random_start_fraction=1.0)
    gaps = []
    for seed in range(6):
        env.reset(seed=seed)
        driver = RouteFollower()
        for _ in range(40):
            _, _, terminated, truncated, info = env.step(driver_action(env, driver))
            gaps.append(info["ego"]["gap_m"])
            if terminated or truncated:
                break
    finite = np.array(gaps)[np.isfinite(gaps)]
    assert len(finite) > 10
    assert finite.min() >= 0.0


def test_running_into_a_vehicle_ends_the_episode(make_env):
    """Full throttle from behind into a car that is held on the lane 15 m ahead."""
    env = make_env(scenario="0", random_start_fraction=0.0)
    env.reset(seed=2)
    obstacle, place = env.npcs[0].actor, start_pose(env.route_task.route, InitialState(s=15.0, speed_mps=0.0))
    for _ in range(120):
        obstacle.set_transform(place)
        _, _, terminated, truncated, info = env.step(np.array([0.0, 1.0], np.float32))
        if terminated or truncated:
            break
    assert info["reason"] == "collision"
    assert info["episode_metrics"]["vehicle_collisions"] == 1
    assert info["episode_metrics"]["min_ttc_s"] < 3.0


def test_a_lost_traffic_manager_is_an_error_and_comes_back(make_env):
    env = make_env(scenario="0")
    env.reset(seed=3)
    manager = psutil.Process(env._traffic._process.pid)
    manager.kill()
    manager.wait(60.0)
    with pytest.raises(SimulatorError, match="Traffic Manager's process ended"):
        env.step(BRAKE)
    env.reset(seed=3)
    assert len(env.npcs) == 20
    env.step(BRAKE)


def test_no_process_is_left_behind():
    with CarlaEnv(of_record(scenario="0")) as env:
        env.reset(seed=1)
        children = [psutil.Process(env.simulator.server_pid), psutil.Process(env._traffic._process.pid)]
        assert all(child.is_running() for child in children)
    assert not any(child.is_running() for child in children)


def test_an_interrupted_command_does_not_mix_up_answers(make_env):
    env = make_env(scenario="0")
    env.reset(seed=3)
    env._traffic._process._answer_due = True  # what Ctrl-C in the middle of a tick leaves
    with pytest.raises(SimulatorError, match="interrupted"):
        env.step(BRAKE)
    env.reset(seed=3)
    env.step(BRAKE)


def test_more_vehicles_than_places_is_said_before_the_episode(make_env):
    env = make_env(scenario="2", npc_clearance_m=350.0)
    with pytest.raises(TaskError, match="choose a scenario with fewer vehicles"):
        env.reset(seed=1)


def test_an_episode_says_what_it_had(make_env):
    """Density and weather change from one episode to the next on the same connection."""
    one_step = TerminationConfig(max_lateral_m=1e-6)
    env = make_env(scenario="mixed", weather="WetNoon,ClearSunset", observation="vector", termination=one_step)
    for expected, seed in {"empty": 1, "regular": 0}.items():
        env.reset(seed=seed, options={"start": "beginning"})
        *_, info = env.step(BRAKE)
        found = info["episode_metrics"]
        world = env.simulator.world
        actors = world.get_actors()
        assert found["scenario"] == expected
        assert found["vehicles"] == len(actors.filter("vehicle.*")) - 1
        assert found["walkers"] == len(actors.filter("walker.*"))
        assert world.get_weather() == getattr(carla.WeatherParameters, found["weather"])
    assert (found["vehicles"], found["walkers"]) == (20, 50)
