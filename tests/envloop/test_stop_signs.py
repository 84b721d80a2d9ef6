"""Stop signs on the way: who has to stop, who has run one, on a real server whose Town01 has them instead of lights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from settings_of_record import of_record

from envloop.baselines.policies import SCRIPTED
from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv
from envloop.task.stop_signs import StopSigns
from minicarla.maps import load_town

ROUTE = "town01-nav/4"  # passes two of Town01's lights


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> Iterator[CarlaEnv]:
    path: Path = tmp_path_factory.mktemp("stops") / "Town01.xodr"
    path.write_text(load_town("Town01").xodr.replace('type="1000001"', 'type="206"'))
    with Simulator(SimulatorConfig(xodr=str(path))) as simulator:
        env = CarlaEnv(of_record(observation="vector", route=ROUTE, action_repeat=2), simulator=simulator)
        yield env
        env.close()


def drive(env: CarlaEnv, policy: str) -> tuple[dict, list[float], list[tuple[float, float]]]:
    """The episode's result, its signs, and (place of the front bumper, speed) after each step."""
    env.reset(seed=3, options={"start": "beginning"})
    act, signs, track, ended = SCRIPTED[policy](env, 3), list(env.episode.stop_signs), [], False
    while not ended:
        *_, terminated, truncated, info = env.step(act(None))
        ended = terminated or truncated
        track.append((info["ego"]["s"] + 2.4, info["ego"]["speed_mps"]))
    return env.episode.result(), signs, track


def test_the_expert_stops_at_every_sign_and_goes_on(env):
    result, signs, track = drive(env, "expert")
    assert result["success"] == 1
    assert signs
    for line in signs:
        slowest = min(speed for front, speed in track if line - 6.0 <= front <= line + 2.0)
        assert slowest < 0.1
    assert result["stop_signs"] == 0
    assert result["driving_score"] == pytest.approx(100.0, abs=0.5)


def test_who_knows_of_no_signs_runs_them_all_and_pays(env):
    result, signs, _ = drive(env, "follower")
    assert result["success"] == 1
    run = sum(line > 10.0 for line in signs)  # who begins at rest before a line has stood there
    assert result["stop_signs"] == run > 0
    assert result["driving_score"] == pytest.approx(100.0 * 0.8**run, abs=0.5)


def test_the_signs_are_where_lights_were_and_those_are_gone(env):
    env.reset(seed=3, options={"start": "beginning"})
    assert env.road_scene().stop_lines == ()
    assert env.road_scene().stop_signs == env.episode.stop_signs


@pytest.mark.parametrize(
    ("track", "run"),
    [
        ([(90.0, 5.0), (98.0, 3.0), (103.0, 3.0)], 1),  # rolled through
        ([(93.0, 0.0), (103.0, 3.0)], 1),  # stood too early
        ([(95.0, 0.05), (103.0, 3.0)], 0),
        ([(101.0, 0.0), (103.0, 3.0)], 0),  # stood on the line
        ([(99.0, 0.0), (99.5, 5.0), (103.0, 3.0), (104.0, 3.0)], 0),
    ],
)
def test_standing_before_the_line_honours_a_sign(track, run):
    signs = StopSigns([100.0], front=80.0)
    assert sum(signs.run(front, speed) for front, speed in track) == run
    assert signs.due == ()


def test_a_sign_that_was_passed_at_the_start_is_nobodys():
    assert StopSigns([50.0, 100.0], front=60.0).due == (100.0,)
