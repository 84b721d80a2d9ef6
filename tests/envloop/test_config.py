import re

import pytest

from envloop.config import CameraConfig, EnvConfig, RandomRouteConfig, SimulatorConfig, StartNoise
from envloop.task.scenario import DENSITIES, MIXED_SCENARIOS, Density, drawn_scenario, drawn_weather, route_ends


def test_the_defaults_are_valid():
    EnvConfig().validate()
    assert (EnvConfig().camera.width, EnvConfig().camera.height, EnvConfig().camera.fov_deg) == (256, 144, 90.0)
    assert EnvConfig().decision_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (EnvConfig(simulator=SimulatorConfig(endpoint="localhost")), "HOST:PORT"),
        (EnvConfig(simulator=SimulatorConfig(endpoint="localhost:65535")), "HOST:PORT"),
        (EnvConfig(simulator=SimulatorConfig(endpoint=":2000")), "HOST:PORT"),
        (EnvConfig(simulator=SimulatorConfig(xodr="/nowhere/map.xodr")), "/nowhere/map.xodr"),
        (EnvConfig(simulator=SimulatorConfig(town="")), "simulator.town"),
        (EnvConfig(simulator=SimulatorConfig(town="Town02")), "Town02"),
        (EnvConfig(simulator=SimulatorConfig(fixed_delta_s=0.2)), "fixed_delta_s"),
        (EnvConfig(simulator=SimulatorConfig(timeout_s=0.0)), "timeout_s"),
        (EnvConfig(simulator=SimulatorConfig(restart_attempts=0)), "restart_attempts"),
        (EnvConfig(camera=CameraConfig(width=64)), "camera.width"),
        (EnvConfig(camera=CameraConfig(fov_deg=0.0)), "fov_deg"),
        (EnvConfig(route="town99-9"), "town01-0"),
        (EnvConfig(route="town01-nav/25"), "town01-nav/0 to 24"),
        (EnvConfig(route="town99-nav/0"), "town01-nav"),
        (EnvConfig(route="grid-nav/0"), "simulator.town is Town01"),
        (EnvConfig(random_route=RandomRouteConfig(min_m=300.0, max_m=200.0)), "random_route.min_m"),
        (EnvConfig(random_route=RandomRouteConfig(min_m=5.0)), "random_route.min_m"),
        (EnvConfig(start_noise=StartNoise(lateral_m=1.0)), "start_noise.lateral_m"),
        (EnvConfig(start_noise=StartNoise(heading_deg=-1.0)), "start_noise.heading_deg"),
        (EnvConfig(scenario="3"), "empty, regular, dense, 0, 1, 2, mixed"),
        (EnvConfig(observation="lidar"), "observation is 'lidar'; choose 'both', 'image' or 'vector'"),  # type: ignore
        (EnvConfig(action_repeat=0), "action_repeat"),
        (EnvConfig(random_start_fraction=1.5), "random_start_fraction"),
        (EnvConfig(bend_start_fraction=-0.1), "bend_start_fraction"),
        (EnvConfig(settle_ticks=0), "settle_ticks"),
        (EnvConfig(npc_clearance_m=-1.0), "npc_clearance_m"),
    ],
)
def test_a_wrong_value_is_named_in_one_plain_sentence(config, names):
    with pytest.raises(ValueError, match=re.escape(names)) as error:
        config.validate()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_an_endpoint_is_split_at_its_last_colon():
    assert SimulatorConfig(endpoint="carla.example.org:2000").host_and_port() == ("carla.example.org", 2000)


def test_scenarios_are_those_of_the_task():
    assert {name: (each.vehicles, each.walkers) for name, each in DENSITIES.items()} == {
        "empty": (0, 0),
        "regular": (20, 50),
        "dense": (100, 250),
        "0": (20, 0),
        "1": (50, 0),
        "2": (100, 0),
    }


def test_densities_go_with_the_lanes_of_the_town():
    assert DENSITIES["dense"].on(2506.0) == Density(50, 125, scaled=True)
    assert DENSITIES["regular"].on(10_024.0) == Density(40, 100, scaled=True)
    assert DENSITIES["2"].on(2506.0) == DENSITIES["2"]


def test_a_mixed_episode_has_one_of_three_densities_by_its_seed():
    drawn = [drawn_scenario("mixed", seed) for seed in range(300)]
    assert drawn == [drawn_scenario("mixed", seed) for seed in range(300)]
    assert all(70 <= drawn.count(name) <= 130 for name in MIXED_SCENARIOS)
    assert {drawn_scenario("2", seed) for seed in range(9)} == {"2"}


def test_an_episode_has_one_of_the_weathers_by_its_seed():
    drawn = [drawn_weather("ClearNoon, WetNoon", seed) for seed in range(100)]
    assert all(30 <= drawn.count(name) <= 70 for name in ("ClearNoon", "WetNoon"))
    assert drawn_weather("WetNoon", 3) == "WetNoon"


def test_a_route_is_a_name_or_two_points():
    assert route_ends("town01-0").start == (317.74, 129.49)
    assert route_ends(" 1.5, -2 ->3,4.25").goal == (3.0, 4.25)
    assert route_ends("1.5,-2->3,4").town == ""
    assert route_ends("grid-nav/24").town == "Grid01"
