"""What critics and losses are told beside the picture: by hand, and in a real server's world."""

import carla
import numpy as np
import pytest
from driving import driver_action
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from envloop.baselines.route_follower import RouteFollower
from envloop.task.affordances import AFFORDANCES, affordances
from envloop.task.observation import VectorConfig, vector_observation
from envloop.task.right_of_way import HALF_LENGTH_M, Obstacle, Passed
from envloop.task.road_scene import LightState, RoadUser, StopLine

KINDS = ("vehicle", "person", "person crossing", "vehicle crossing", "full exit", "red", "yellow")


def told(*met: Obstacle, lines: tuple[StopLine, ...] = (), passed: tuple[Passed, ...] = ()) -> dict[str, float]:
    """At arc length 50 m and 8 m/s, by name and without zeros."""
    numbers = affordances(50.0, 8.0, lines, met, passed)
    return {name: float(number) for name, number in zip(AFFORDANCES, numbers, strict=True) if number}


def test_an_empty_road_is_zeros():
    assert told() == {}


def test_the_nearest_vehicle_counts():
    near, far = Obstacle(10.0, 3.0, "vehicle"), Obstacle(20.0, 0.0, "vehicle")
    expected = {AFFORDANCES[0]: pytest.approx(0.75), AFFORDANCES[1]: pytest.approx(0.5)}
    assert told(far, near) == told(near, far) == expected


@pytest.mark.parametrize(("state", "index"), [("red", 2), ("yellow", 3), ("green", 4)])
def test_the_next_light_is_told_also_when_it_is_green(state: LightState, index: int):
    lines = (StopLine(30.0, "red"), StopLine(50.0 + HALF_LENGTH_M + 10.0, state), StopLine(80.0, "red"))
    assert told(lines=lines) == {AFFORDANCES[index]: 1.0, AFFORDANCES[5]: pytest.approx(0.75)}


def test_a_light_is_told_to_who_stands_on_its_line():
    front = 50.0 + HALF_LENGTH_M
    assert told(lines=(StopLine(front - 1.5, "red"),)) == {AFFORDANCES[2]: 1.0, AFFORDANCES[5]: 1.0}
    assert told(lines=(StopLine(front - 2.5, "red"),)) == {}


def test_a_light_that_is_off_or_out_of_reach_is_none():
    assert told(lines=(StopLine(70.0, "off"),)) == {}
    assert told(lines=(StopLine(50.0 + HALF_LENGTH_M + 41.0, "red"),)) == {}


def test_each_kind_has_a_number_of_its_own():
    assert told(Obstacle(20.0, 0.0, "person")) == told(Obstacle(20.0, 0.0, "person crossing")) == {AFFORDANCES[6]: 0.5}
    beside = Passed(10.0, RoadUser(0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.3, person=True))
    assert told(Obstacle(20.0, 0.0, "person"), passed=(beside,)) == {AFFORDANCES[6]: 0.75}
    assert told(Obstacle(0.0, 0.0, "vehicle crossing")) == {AFFORDANCES[7]: 1.0}
    assert told(Obstacle(30.0, 0.0, "full exit")) == {AFFORDANCES[8]: 0.25}


@given(
    st.lists(st.builds(Obstacle, st.floats(0.0, 1e6), st.floats(-60.0, 60.0), st.sampled_from(KINDS)), max_size=6),
    st.lists(st.builds(StopLine, st.floats(0.0, 1e4), st.sampled_from(("red", "green", "off"))), max_size=4),
)
def test_every_number_lies_in_its_space(met, lines):
    numbers = affordances(50.0, 8.0, lines, met, ())
    assert numbers.dtype == np.float32
    assert np.abs(numbers).max() <= 1.0


def test_the_environment_with_all_of_it_is_gymnasiums(make_env):
    env = make_env(privileged=True, vector=VectorConfig(actuators=True), scenario="0")
    check_env(env, skip_render_check=True)


def test_a_red_light_is_told_and_the_same_seed_is_told_the_same(make_env):
    env = make_env(route="town01-nav/3", privileged=True, observation="vector", scenario="0")
    tracks = []
    for _ in range(2):
        follower = RouteFollower()
        observation, _ = env.reset(seed=3, options={"start": "beginning"})
        track = [observation["privileged"]]
        for _ in range(120):
            observation, *_ = env.step(driver_action(env, follower))
            track.append(observation["privileged"])
        tracks.append(np.array(track))
    assert np.array_equal(*tracks)
    shown = [str(line.state) for line in env.road_scene().stop_lines]
    for light in env.simulator.world.get_actors().filter("traffic.traffic_light*"):
        light.set_state(carla.TrafficLightState.Red)
    env.simulator.world.get_settings()  # is answered after them: the tick is another client's
    env.step(np.array([0.0, -1.0], np.float32))
    assert {line.state for line in env.road_scene().stop_lines} == {"red"}, shown


def test_actuators_end_the_vector(env):
    env.reset(seed=1, options={"start": "beginning"})
    episode, route = env.episode, env.route_task.route
    plain = vector_observation(episode.ego, episode.projection, route, VectorConfig())
    longer = vector_observation(episode.ego, episode.projection, route, VectorConfig(actuators=True), (0.25, -0.5))
    assert np.array_equal(longer[:23], plain)
    assert list(longer[23:25]) == [0.25, -0.5]
    assert np.abs(longer[25:]).max() < 0.2, "the car stands"


def test_a_braking_car_feels_its_action_and_its_deceleration(make_env):
    env = make_env(vector=VectorConfig(actuators=True))
    env.reset(seed=1, options={"start": "beginning"})
    for _ in range(15):
        env.step(np.array([0.0, 1.0], np.float32))
    for _ in range(3):
        observation, *_ = env.step(np.array([0.0, -0.75], np.float32))
    steer, accel, forward, lateral = observation["vector"][-4:]
    assert (steer, accel) == (0.0, -0.75)
    assert -1.0 <= forward < -0.2
    assert abs(lateral) < 0.05


def test_who_is_near_is_seen_whenever_one_looks(make_env):
    """Those who are far away are looked for now and then only; whoever looks never notices."""
    env = make_env(scenario="regular", observation="vector", route="town01-nav/3")
    env.reset(seed=3, options={"start": "beginning"})
    follower, world = RouteFollower(), env.simulator.world
    for _ in range(60):
        env.step(driver_action(env, follower))
        ego = env.episode.ego
        actors = world.get_actors()
        places = [a.get_location() for k in ("vehicle.*", "walker.*") for a in actors.filter(k)]
        near = sum(0.5 < np.hypot(place.x - ego.x, place.y - ego.y) <= 60.0 for place in places)
        assert len(env.road_scene().users) == near
