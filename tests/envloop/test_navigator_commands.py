"""The navigator's command against routes of a known shape, and against the lanes that a planner chose."""

import numpy as np
import pytest

from envloop.client.planning.planner import Planner
from envloop.client.route_choice import RouteSelector
from envloop.config import EnvConfig
from envloop.errors import TaskError
from envloop.task.commands import AHEAD_M, COMMANDS, command_at, turns
from envloop.task.observation import VectorConfig
from envloop.task.route import Route


def bent(turn_deg: float) -> Route:
    """60 m along x, an arc of 10 m radius, 60 m on; y points right."""
    angles = np.radians(np.linspace(0.0, abs(turn_deg), 20))
    arc = np.stack([60.0 + 10.0 * np.sin(angles), 10.0 * (1.0 - np.cos(angles))], axis=1)
    ahead = np.array([np.cos(angles[-1]), np.sin(angles[-1])])
    points = np.concatenate([[[0.0, 0.0]], arc, [arc[-1] + 60.0 * ahead]])
    return Route(points * [1.0, np.sign(turn_deg) or 1.0])


@pytest.mark.parametrize(("turn_deg", "command"), [(-90.0, "left"), (90.0, "right"), (10.0, "straight")])
def test_the_command_of_a_junction_is_where_its_way_turns(turn_deg, command):
    route = bent(turn_deg)
    inside = (route.arc_length >= 58.0) & (route.arc_length <= 78.0)
    (turn,) = turns(route, inside)
    assert turn.command == command
    before, at, last, past = turn.begin - AHEAD_M - 0.1, turn.begin - AHEAD_M + 0.1, turn.end - 0.1, turn.end + 0.1
    assert [command_at([turn], s) for s in (before, at, last, past)] == ["follow", command, command, "follow"]


def test_a_bend_outside_of_junctions_is_followed():
    assert turns(bent(90.0), np.zeros(len(bent(90.0).arc_length), bool)) == ()


def test_the_commands_are_those_of_the_lanes_that_a_route_takes(town01_map):
    selector = RouteSelector(EnvConfig(), town01_map)
    told = []
    for seed in range(12):
        task = selector.of("random", seed)
        ends = task.route.points[[0, -1]]
        plan = Planner(town01_map).plan(*ends)
        lanes = [stretch.turn_deg for stretch in plan.stretches if stretch.in_junction]
        expected = ["straight" if abs(turn) < 30.0 else "right" if turn > 0.0 else "left" for turn in lanes]
        assert [turn.command for turn in task.turns] == expected
        told += expected
    assert set(told) == {"left", "straight", "right"}


def test_a_vector_with_the_command_tells_speed_and_command_alone(make_env):
    env = make_env(vector=VectorConfig(guidance="command"), route="town01-nav/3")
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    vector = observation["vector"]
    assert vector.shape == (1 + len(COMMANDS),)
    assert sorted(vector[1:]) == [0.0, 0.0, 0.0, 1.0]
    speeds, seen = [], set()
    for _ in range(200):
        observation, *_, info = env.step(np.array([0.0, 0.4], np.float32))
        speeds.append((observation["vector"][0] * 10.0, info["speed_mps"]))
        seen.add(COMMANDS[int(observation["vector"][1:].argmax())])
        if env.unwrapped.episode.outcome.ended:
            break
    told, true = np.array(speeds).T
    assert told == pytest.approx(true, abs=1e-4)
    assert "follow" in seen


def test_an_unknown_guidance_is_refused():
    with pytest.raises(TaskError, match="guidance"):
        VectorConfig(guidance="map")
