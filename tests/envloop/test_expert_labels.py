"""What the expert would do as one who sees the same state can learn it: on a straight road, by hand."""

import numpy as np
import pytest

from envloop.baselines.expert import AT_ONCE, Expert, ExpertConfig
from envloop.task.observation import EgoState
from envloop.task.right_of_way import HALF_LENGTH_M, Outlook
from envloop.task.road_scene import LightState, RoadScene, StopLine
from envloop.task.route import Route, SpeedRules

ROAD = Route([(0.0, 0.0), (300.0, 0.0)])
FRONT = 50.0 + HALF_LENGTH_M


def pedal(driver: Expert, speed: float, line_m: float, state: LightState) -> float:
    """Of a car at 50 m whose bumper is `line_m` before a stop line."""
    scene = RoadScene(stop_lines=(StopLine(FRONT + line_m, state),))
    outlook = Outlook(EgoState(x=50.0, y=0.0, vx=speed, vy=0.0), 50.0, ROAD, scene)
    return float(driver.act(outlook, ROAD.project(50.0, 0.0), 0.1)[1])


def expert(config: ExpertConfig) -> Expert:
    return Expert(ROAD, SpeedRules(), config)


def test_a_label_is_a_function_of_the_state_and_the_smooth_driver_remembers():
    states = [(0.0, 1.5, "red"), (0.0, 1.5, "green"), (8.0, 20.0, "red"), (3.0, 5.0, "green")]
    again = [*states, *reversed(states)]
    labels, smooth = expert(AT_ONCE), expert(ExpertConfig())
    told = [pedal(labels, *state) for state in again]
    assert told[:4] == told[:3:-1]
    driven = [pedal(smooth, *state) for state in again]
    assert driven[:4] != driven[:3:-1]


@pytest.mark.parametrize("line_m", [3.0, 1.5, 0.0, -1.5])
def test_who_stands_near_the_line_stays_at_red_and_goes_at_green(line_m):
    """The picture of all of these is nearly the same: labels that differ would teach their mean, which is to stand."""
    assert pedal(expert(AT_ONCE), 0.0, line_m, "red") < -0.2
    assert pedal(expert(AT_ONCE), 0.0, line_m, "green") > 0.2


def test_who_stands_far_from_the_line_drives_up_to_it():
    assert pedal(expert(AT_ONCE), 0.0, 15.0, "red") > 0.1


@pytest.mark.parametrize("line_m", [1.0, -1.0])
def test_who_rolls_over_a_red_line_brakes(line_m):
    assert pedal(expert(AT_ONCE), 1.5, line_m, "red") < -0.5


def test_all_of_it_is_finite():
    labels = expert(AT_ONCE)
    pedals = [pedal(labels, v, m, s) for v in (0.0, 0.1, 9.0) for m in (-2.0, 0.0, 30.0) for s in ("red", "green")]
    assert np.isfinite(pedals).all()
