"""CarlaEnv through the stock client, on a real server: how it is made, what it says and refuses, what it leaves."""

import math
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from settings_of_record import of_record

from envloop.client.ego import EgoVehicle
from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv
from envloop.errors import TaskError
from envloop.task.reward import TERMS

STRAIGHT_ON = np.array([0.0, 0.6], np.float32)


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


def test_the_info_of_a_step_holds_the_five_terms_and_no_episode(env):
    env.reset(seed=1)
    _, reward, _, _, info = env.step(STRAIGHT_ON)
    assert set(info["reward_terms"]) == set(TERMS)
    assert sum(info["reward_terms"].values()) == pytest.approx(reward)
    assert "episode_metrics" not in info


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
