"""What the simulator knows of what is around the ego, on a real server."""

import numpy as np

from envloop.baselines.labels import ExpertLabels
from envloop.task import right_of_way

BRAKE = np.array([0.0, -1.0], np.float32)
FULL_THROTTLE = np.array([0.0, 1.0], np.float32)


def test_the_others_are_foretold_once_a_decision_whoever_asks(make_env, monkeypatch):
    """The privileged numbers and the expert's label ask of the same state; who drives slowly is asked for besides."""
    foretold = []
    foretell = right_of_way._foretell
    monkeypatch.setattr(right_of_way, "_foretell", lambda *state: foretold.append(state) or foretell(*state))
    env = ExpertLabels(make_env(scenario="regular", privileged=True, columns=True, observation="vector"), "expert")
    env.reset(seed=3, options={"start": "beginning"})
    speed_mps = 0.0
    while speed_mps < 3.0:
        foretold.clear()
        speed_mps = env.step(FULL_THROTTLE)[4]["speed_mps"]
    assert len(foretold) == 1


def test_what_has_changed_is_looked_at_anew(make_env):
    env = make_env(scenario="regular", observation="vector")
    env.reset(seed=3)
    outlook = env.outlook()
    assert env.outlook() is outlook
    assert outlook.scene == env.road_scene()
    env.step(BRAKE)
    assert env.outlook() is not outlook
    assert env.outlook().ego is env.episode.ego
    assert env.outlook().s == env.episode.projection.s
