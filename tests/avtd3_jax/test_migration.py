"""A run outlives the version that began it: new keys have their value from before."""

import copy
import dataclasses
import json

import pytest

from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import RunConfig, changed_keys, file_values, parse_saved
from avtd3_jax.settings.schema import ScheduleConfig
from envloop.config import EnvConfig, SimulatorConfig
from envloop.task.reward import RewardConfig

# A key at each depth, and one of each part that a file writes elsewhere: class, field, key, value from before.
NEW = [
    (ScheduleConfig, "overlap", "overlap", True),
    (EnvConfig, "scenario", "scenario", "1"),
    (SimulatorConfig, "town", "sim.town", "Town01"),
    (TD3Config, "hidden", "agent.hidden", (8, 8)),
    (EnvConfig, "settle_ticks", "env.settle_ticks", 3),
    (RewardConfig, "wait_gap_m", "env.reward.wait_gap_m", 7.0),
]
each_new_key = pytest.mark.parametrize(("cls", "field", "name", "before"), NEW, ids=[new[2] for new in NEW])


def without(saved: dict, name: str) -> dict:
    older = copy.deepcopy(saved)
    *path, last = name.split(".")
    inner = older
    for part in path:
        inner = inner[part]
    del inner[last]
    return older


def held(run: RunConfig, cls: type, field: str) -> object:
    """The value of the field in that part of the configuration which is of the class."""
    parts = [run]
    while parts:
        part = parts.pop()
        if isinstance(part, cls):
            return getattr(part, field)
        parts += (
            [value for value in vars(part).values() if dataclasses.is_dataclass(value)]
            if hasattr(part, "__dict__")
            else [value for f in dataclasses.fields(part) if dataclasses.is_dataclass(value := getattr(part, f.name))]
        )
    raise AssertionError(cls)


@each_new_key
def test_a_key_that_a_run_did_not_have_yet_has_its_value_from_before(cls, field, name, before, monkeypatch, tmp_path):
    saved = json.loads(json.dumps(file_values(RunConfig())))
    older = without(saved, name)
    monkeypatch.setattr(cls.__dataclass_fields__[field], "metadata", {"before": before})
    run = parse_saved(older)
    assert held(run, cls, field) == before
    assert dataclasses.asdict(run) != dataclasses.asdict(RunConfig()) or before == held(RunConfig(), cls, field)
    again = json.loads(json.dumps(file_values(run)))
    assert list(changed_keys(older, again)) == [], "a run goes on with what it began with"
    changeable = name.startswith("sim.")
    assert list(changed_keys(older, saved)) == ([] if changeable or again == saved else [name])
    path = tmp_path / "config.json"
    path.write_text(json.dumps(older))
    assert load(path) == run


@each_new_key
def test_a_key_without_a_value_from_before_is_refused_in_a_sentence_that_says_to_declare_one(cls, field, name, before):
    older = without(file_values(RunConfig()), name)
    for read in (parse_saved, lambda values: changed_keys(values, file_values(RunConfig()))):
        with pytest.raises(ConfigError) as error:
            read(older)
        told = str(error.value)
        assert told.startswith(f"config.{name} is missing in the saved configuration, and ")
        assert told.endswith(
            f"{field} does not say what it was before there was such a key: declare that with "
            'metadata={"before": VALUE}.'
        )


def test_a_key_that_there_is_no_more_is_named():
    older = file_values(RunConfig())
    older["env"]["reward"]["bravery"] = 1.0
    with pytest.raises(ConfigError, match=r"^config\.env\.reward\.bravery is no key"):
        parse_saved(older)
