"""Rows of experiments: what they set, and that what was trained before is still what its row says."""

import json

import pytest

from avtd3_jax.settings.keys import leaves
from experiments import campaign
from experiments.experiments import EXPERIMENTS, experiment
from experiments.rows import rows
from reporting.machine import ROOT


@pytest.mark.parametrize("of", EXPERIMENTS, ids=lambda e: e.name)
def test_every_variant_is_a_configuration_that_can_be_run(of):
    for wanted in rows(of):
        found = dict(leaves(wanted.config()))
        assert of.config == "town01" or found["env.expert"] == "expert", "the experiment's own file"
        for key, value in of.changes.items() if of.seeds else ():
            assert found[key] == wanted.variant.changes.get(key, value)


ROWS = {str(row): row for of in EXPERIMENTS for row in rows(of)}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results").glob("*/*-seed*.json")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_the_command_in_a_result_makes_the_same_training_again(path):
    """Defaults change, and what was trained before says so itself."""
    kept, wanted = json.loads(path.read_text()), ROWS[f"{path.parent.name}/{path.stem}"]
    today = wanted.config()
    assert kept["command"] == wanted.command
    assert campaign._drift(kept, today) == ""
    saved, now = dict(leaves(kept["config"])), dict(leaves(today))
    gone = {name: value for name, value in saved.items() if name not in now and name != "checkpoint_replay"}
    # What follows from other keys now was a key once, and had been set to what follows.
    once = {
        "env.reward.discount": now["agent.gamma"],
        "env.reward.decision_s": pytest.approx(now["sim.fixed_delta_s"] * now["env.action_repeat"]),
        "env.reward.limit_mps": now["env.speed.limit_mps"],
    }
    assert gone in ({}, once)


def test_equal_configurations_share_one_training():
    chosen = [*rows(experiment("new-town"), only=["td3"]), *rows(experiment("comparison"), seeds=[2], only=["td3"])]
    home = {str(row): str(row.trained_as()) for row in chosen}
    assert home == {"new-town/td3-seed0": "navigation/td3-seed0", "comparison/td3-seed2": "comparison/td3-seed2"}


def test_an_ablation_changes_something_and_no_two_the_same():
    """A level that is the base's trains the base again, and the tables would call it something else."""
    configs = [json.dumps(wanted.config(), sort_keys=True) for wanted in rows(experiment("ablations"), seeds=[0])]
    assert len(set(configs)) == len(configs)
