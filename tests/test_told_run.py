"""A policy that learned beside what only the simulator knows is driven where nobody says it."""

import json
from pathlib import Path

import numpy as np
import pytest

from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.evaluate import main
from avtd3_jax.evaluation import opening
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import file_values, parse
from envloop.baselines.policies import follower
from envloop.config import EnvConfig
from envloop.env import CarlaEnv
from envloop.errors import TaskError
from envloop.make import make_env, spaces_of
from envloop.task.affordances import COLUMN_KINDS

ROUTE = "92.4,120 -> 92.4,90"
TOLD = {
    "env": {"expert": "follower", "route": ROUTE, "privileged": True, "columns": True, "passers_by": 2},
    "agent": {"auxiliary_weight": 1.0, "imitation_weight": 1.0, "columns": len(COLUMN_KINDS)},
}


def test_the_label_is_what_the_driver_does_and_drives_nothing():
    config = EnvConfig(expert="follower", route=ROUTE)
    env = make_env(config)
    try:
        observation, _ = env.reset(seed=1, options={"start": "beginning"})
        assert observation in env.observation_space == spaces_of(config)[0]
        asked, track = follower(env.unwrapped, 1), []
        for _ in range(20):
            np.testing.assert_array_equal(observation["expert"], asked(observation))
            observation, _, _, _, info = env.step(np.array([0.0, 0.3]))
            track.append(info["ego"]["x"])
    finally:
        env.close()
    plain = CarlaEnv(EnvConfig(route=ROUTE))
    try:
        observation, _ = plain.reset(seed=1, options={"start": "beginning"})
        assert set(observation) == {"image", "vector"}
        assert [plain.step(np.array([0.0, 0.3]))[4]["ego"]["x"] for _ in range(20)] == track
    finally:
        plain.close()
    with pytest.raises(TaskError, match="expert is 'nobody'"):
        make_env(EnvConfig(expert="nobody"))


def test_its_checkpoint_is_evaluated_in_an_environment_without_it(tmp_path, monkeypatch):
    run = parse(TOLD)
    observations, actions = spaces_of(run.env)
    agent = make_agent("td3", ObsSpec.from_space(observations), ActionSpec.from_space(actions), run.agent)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(7, agent.init(0), extras={"config": file_values(run)})
    made = []

    def spied(config, render=False):
        made.append(make_env(config, render))
        return made[-1]

    monkeypatch.setattr(opening, "make_env", spied)
    assert main(["--checkpoint", str(tmp_path), "--episodes", "1", "--config.env.random_route.max_m=200"]) == 0
    (env,) = made
    assert set(env.observation_space.spaces) == {"image", "vector"}
    (result,) = (tmp_path / "evaluations").glob("step-0000007_*.json")
    assert json.loads(result.read_text())["summary"]["route_completion"]["n"] == 1


def test_the_drivers_configuration_asks_for_what_its_losses_need_and_its_policy_sees_none_of_it():
    run = load(Path(__file__).parents[1] / "configs" / "town01_drive.py", {})
    observations, actions = spaces_of(run.env)
    spec = ObsSpec.from_space(observations)
    make_agent(run.algorithm, spec, ActionSpec.from_space(actions), run.agent)
    assert spec.privileged is not None
    assert spec.expert is not None
    seen, _ = spaces_of(opening.as_driven(run).env)
    assert ObsSpec.from_space(seen) == spec.seen
    opening.as_driven(run).driving.validate()
    assert not opening.as_driven(run).driving.rules, "an evaluation goes on after a red light, and counts it"
