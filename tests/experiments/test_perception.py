"""What heads see: the measures against their definitions, and the command on a run that was saved."""

import numpy as np
import pytest

from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.settings.run_config import file_values, parse
from envloop.make import spaces_of
from envloop.task.affordances import AFFORDANCES, COLUMN_KINDS
from experiments import perception

TOLD = {
    "env": {"privileged": True, "columns": True, "picture": "fovea", "termination": {"blocked_s": 1.0}},
    "agent": {"auxiliary_weight": 1.0, "columns": len(COLUMN_KINDS)},
}


def test_explained_variance_is_of_what_is_true():
    true = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
    assert perception.r2(true, true) == 1.0
    assert perception.r2(np.full(4, true.mean()), true) == pytest.approx(0.0)
    assert perception.r2(3.0 - true, true) == pytest.approx(-3.0)
    assert np.isnan(perception.r2(true, np.ones(4, np.float32)))


def test_area_under_roc_counts_pairs_and_halves_ties():
    rng = np.random.default_rng(0)
    said, present = rng.integers(0, 5, 60).astype(np.float32), rng.random(60) < 0.4
    pairs = [
        1.0 if there > absent else 0.5 if there == absent else 0.0
        for there in said[present]
        for absent in said[~present]
    ]
    assert perception.area_under_roc(said, present) == pytest.approx(np.mean(pairs))
    assert np.isnan(perception.area_under_roc(said, np.ones(60, bool)))


def test_a_saved_run_is_driven_and_its_heads_are_judged(tmp_path, capsys):
    run = parse(TOLD)
    observations, actions = spaces_of(run.env)
    agent = make_agent("td3", ObsSpec.from_space(observations), ActionSpec.from_space(actions), run.agent)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(7, agent.init(0), extras={"config": file_values(run)})
    command = ["--checkpoint", str(tmp_path), "--scenario", "0", "--episodes", "1"]
    assert perception.main(command) == 0
    out = capsys.readouterr().out
    assert "step 7" in out
    rows = [line for line in out.splitlines() if line.startswith("| ") and "%" in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        *AFFORDANCES,
        *(f"{kind} in a column" for kind in COLUMN_KINDS),
    ]


def test_a_run_without_heads_is_refused_in_a_sentence(tmp_path, capsys):
    run = parse({})
    observations, actions = spaces_of(run.env)
    agent = make_agent("td3", ObsSpec.from_space(observations), ActionSpec.from_space(actions), run.agent)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(0, agent.init(0), extras={"config": file_values(run)})
    assert perception.main(["--checkpoint", str(tmp_path)]) != 0
    assert "has no heads" in capsys.readouterr().err
