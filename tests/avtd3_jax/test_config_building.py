"""A wrong configuration is refused in one plain sentence that names the key."""

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pytest
from learner_cases import OF_RECORD
from ml_collections import ConfigDict, FieldReference, FrozenConfigDict, config_dict

from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.build import as_values, build, plain
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import RunConfig, default_config, file_values, parse
from avtd3_jax.settings.schema import ExplorationConfig, ReplayConfig
from envloop.config import EnvConfig, GymEnvConfig, SimulatorConfig
from envloop.task.observation import VectorConfig
from envloop.task.reward import RewardConfig
from envloop.task.termination import TerminationConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    count: int
    pair: tuple[float, float]
    inner: Inner
    on: bool = False
    maybe: int | None = None
    derived: float = dataclasses.field(default=1.0, metadata={"follows": "count"})


GOOD = {"count": 3, "pair": [1, 2.5], "inner": {"rate": 1, "kind": "b"}, "on": True, "maybe": None}


def test_values_arrive_typed_and_go_back():
    made = build(Outer, GOOD)
    assert made == Outer(3, (1.0, 2.5), Inner(1.0, "b"), True)
    assert isinstance(made.inner.rate, float)
    assert isinstance(made.pair, tuple)
    assert as_values(made) == GOOD


def test_what_is_not_given_has_its_default():
    assert build(Outer, {"count": 1, "pair": [0, 0], "inner": {"rate": 2}}) == Outer(1, (0.0, 0.0), Inner(2.0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"extra": 1}, r"config\.extra is no key: the keys of config are count, pair, inner, on, maybe\."),
        ({"derived": 2.0}, r"config\.derived is no key"),
        ({"inner": {"rate": 1.0, "kind": "a", "typo": 0}}, r"config\.inner\.typo is no key"),
        ({"inner": {"kind": "a"}}, r"config\.inner\.rate is missing and has no default"),
        ({"inner": 5}, r"config\.inner is 5: it must hold the keys rate, kind"),
        ({"inner": {"rate": 1.0, "kind": "c"}}, r"config\.inner\.kind is 'c': choose one of a, b"),
        ({"inner": {"rate": float("inf")}}, r"config\.inner\.rate is inf: it must be a finite number"),
        ({"count": 1.5}, r"config\.count is 1\.5: it must be a whole number"),
        ({"count": True}, r"config\.count is True"),
        ({"count": None}, r"config\.count has no value: give it one"),
        ({"pair": [1.0]}, r"config\.pair is \[1\.0\]: give 2 values"),
        ({"pair": [1.0, "x"]}, r"config\.pair\[1\] is 'x'"),
        ({"on": 1}, r"config\.on is 1"),
        ({"maybe": "x"}, r"config\.maybe is 'x'"),
    ],
)
def test_each_kind_of_mistake_has_its_sentence(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(Outer, {**GOOD, **change})


@pytest.mark.parametrize(
    ("cls", "values", "sentence"),
    [
        (ReplayConfig, {"capacity": 0}, r"config\.part\.capacity is 0"),
        (ReplayConfig, {"n_step": 0}, r"config\.part\.n_step is 0: it must be at least 1"),
        (ReplayConfig, {"gather_threads": 0}, r"config\.part\.gather_threads is 0: it must be at least 1"),
        (ExplorationConfig, {"mean": [0.0, 0.0, 0.0]}, r"config\.part\.mean has 3 values and std 2"),
        (ExplorationConfig, {"std": []}, r"config\.part\.std is empty"),
        (TD3Config, {"gamma": 1.0}, r"config\.part\.gamma is 1\.0: it must be in \[0, 1\)"),
    ],
)
def test_a_value_that_its_class_refuses_is_named_with_its_place(cls, values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(cls, values, "config.part")


def test_one_value_explores_every_dimension():
    assert build(ExplorationConfig, {"mean": [0.0], "std": [1.0, 1.0]}).mean == (0.0,)


# --- one truth --------------------------------------------------------------------------------------------------------


def test_the_file_and_the_library_have_the_same_defaults():
    run = load(CONFIGS / "town01.py")
    assert run == RunConfig() == parse({})
    assert run.environments() == (EnvConfig(),)
    assert run.agent == TD3Config()
    assert EnvConfig().discount == TD3Config().gamma
    assert (run.driving.action_repeat, run.driving.vector) == (EnvConfig().action_repeat, VectorConfig())


def test_the_config_of_record_is_the_original_one():
    run = load(CONFIGS / "town01_of_record.py")
    assert run.agent == TD3Config(**OF_RECORD)
    assert (run.batch_size, run.exploration_steps, run.total_steps, run.replay.n_step) == (256, 10_000, 30_000, 1)
    assert run.env == EnvConfig(
        action_repeat=1,
        bend_start_fraction=0.0,
        vector=VectorConfig(speed_scale=30.0, lateral_scale=3.5, point_scale=50.0),
        termination=TerminationConfig(blocked_s=5.0, blocked_m=5.0),
        reward=RewardConfig(parked_value=-10.0, crash=15.0, wait_gap_m=8.0),
        discount=0.99,
    )


def test_an_environment_of_gymnasiums_has_neither_simulator_nor_scenario():
    run = load(CONFIGS / "gym.py", {"num_envs": 2, "env.id": "CarRacing-v3"})
    assert run.environments() == (GymEnvConfig("CarRacing-v3"),) * 2
    assert not {"sim", "scenario"} & set(file_values(run))
    for values in ({"sim": {"town": "Town01"}}, {"scenario": "0"}, {"env": {"id": "Pendulum-v1", "route": "random"}}):
        with pytest.raises(ConfigError, match=r"^config\.(sim\.town|scenario|env\.route) is no key"):
            parse({"env": {"id": "Pendulum-v1"}, **values})
    with pytest.raises(ConfigError, match=r"config\.env\.id names an environment of Gymnasium's"):
        load(CONFIGS / "town01.py", {"env.id": "Pendulum-v1"})
    with pytest.raises(ConfigError, match=r"config\.env\.frame_stack is 0; it must be at least 1"):
        parse({"env": {"id": "Pendulum-v1", "frame_stack": 0}})


@pytest.mark.parametrize("run", [RunConfig(), RunConfig(env=GymEnvConfig("Pendulum-v1"))], ids=["driving", "gym"])
def test_a_configuration_survives_the_way_to_a_file_and_back(run):
    assert parse(file_values(run)) == run
    assert parse(default_config(run.env)) == run


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("env.discount", "it follows from config.agent.gamma"),
        ("env.reward.discount", "it follows from config.agent.gamma"),
        ("env.reward.decision_s", "it follows from config.sim.fixed_delta_s and config.env.action_repeat"),
        ("env.reward.limit_mps", "it follows from config.env.speed.limit_mps"),
        ("env.scenario", "its name is config.scenario"),
        ("env.simulator.town", "its name is config.sim"),
    ],
)
def test_what_follows_from_other_keys_cannot_be_set(name, reason):
    sentence = f"config.{name} cannot be set: {reason}."
    with pytest.raises(ConfigError) as error:
        load(CONFIGS / "town01.py", {name: "1.0"})
    assert str(error.value) == sentence
    values: dict = {}
    inner = values
    *path, last = name.split(".")
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = 1.0
    with pytest.raises(ConfigError) as error:
        parse(values)
    assert str(error.value) == sentence


def test_what_follows_from_other_keys_follows_them():
    changes = {"agent.gamma": "0.97", "sim.fixed_delta_s": "0.1", "env.speed.limit_mps": "10", "env.action_repeat": "3"}
    basis = load(CONFIGS / "town01.py", {**changes, "env.reward.crash": "30"}).driving.reward_basis
    assert (basis.discount, basis.limit_mps) == (0.97, 10.0)
    assert basis.decision_s == pytest.approx(0.3)
    assert RunConfig(agent=TD3Config(gamma=0.9)).driving.discount == 0.9


# --- what a file may hold ---------------------------------------------------------------------------------------------


def test_paths_numpys_values_and_references_are_plain_data():
    one = FieldReference(2)
    values = {
        "path": PurePosixPath("/a"),
        "here": Path("b"),
        "scalar": np.float32(0.5),
        "array": np.array([1, 2]),
        "pair": (np.int64(1), 2.5),
        "reference": one * 3,
        "placeholder": config_dict.placeholder(int),
        "required": config_dict.required_placeholder(int),
    }
    expected = {
        "path": "/a",
        "here": "b",
        "scalar": 0.5,
        "array": [1, 2],
        "pair": [1, 2.5],
        "reference": 6,
        "placeholder": None,
        "required": None,
    }
    assert plain(values) == plain(ConfigDict(values)) == expected
    del values["required"]
    del expected["required"]
    assert plain({"inner": FrozenConfigDict(values)}) == {"inner": expected}


def test_an_environments_sentence_names_the_keys_of_the_file():
    for values, sentence in (
        ({"sim": {"endpoint": "nowhere"}}, "config.sim.endpoint is 'nowhere'; write"),
        ({"sim": {"town": "Town02"}}, "config.env.route 'town01-0' lies in Town01, but config.sim.town is Town02;"),
        ({"scenario": "7"}, "config.scenario is '7'; choose one of"),
        ({"env": {"route": "town99-nav/0"}}, "config.env.route is 'town99-nav/0', but there is no suite 'town99-nav';"),
        ({"env": {"camera": {"width": 64}}}, "config.env.camera.width x height is 64x144;"),
        ({"env": {"reward": {"kind": "sparse"}}}, "config.env.reward.kind is 'sparse': choose one of"),
        ({"env": {"reward": {"crash": 1.0}}}, "config.env.reward.crash is 1 and config.env.reward.parked_value -4;"),
        ({"env": {"vector": {"points": 0}}}, "config.env.vector.points is 0; it must be at least 1."),
        ({"env": {"speed": {"braking": 0}}}, "config.env.speed.braking is 0; it must be positive."),
        ({"env": {"action_repeat": 0}}, "config.env.action_repeat is 0; it must be at least 1."),
        ({"agent": {"gamma": 0.2}}, "config.env.reward.crash is 10, but an episode parked until"),
    ):
        with pytest.raises(ConfigError) as error:
            parse(values)
        assert str(error.value).startswith(sentence)
        assert "\n" not in str(error.value)


def test_a_discount_that_does_not_suit_the_reward_names_the_keys_to_change():
    with pytest.raises(ConfigError) as error:
        load(CONFIGS / "town01_of_record.py", {"agent.gamma": "0.9"})
    told = str(error.value)
    for key in ("agent.gamma", "env.reward.crash", "env.termination.blocked_s"):
        assert f"config.{key}" in told
    changes = {"agent.gamma": "0.9", "env.termination.blocked_s": "0"}
    assert load(CONFIGS / "town01_of_record.py", changes).driving.discount == 0.9


def test_simulators_are_given_to_environments_in_order():
    run = RunConfig(num_envs=2, env=EnvConfig(simulator=SimulatorConfig(endpoint="a:1,b:2")))
    assert [env.simulator.endpoint for env in run.environments()] == ["a:1", "b:2"]
