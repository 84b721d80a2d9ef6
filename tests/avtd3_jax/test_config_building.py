"""A wrong configuration is refused in one plain sentence that names the key."""

import dataclasses
import importlib
from typing import Literal

import pytest

from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.run_config import parse
from avtd3_jax.settings.schema import ExplorationConfig, ReplayConfig, build
from envloop.config import EnvConfig


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


REPLAY = {"capacity": 10, "prefetch": 0, "n_step": 1, "gather_threads": 1, "device_resident": False}
GOOD = {"count": 3, "pair": [1, 2.5], "inner": {"rate": 1, "kind": "b"}, "on": True, "maybe": None}


def test_values_arrive_typed():
    made = build(Outer, GOOD)
    assert made == Outer(3, (1.0, 2.5), Inner(1.0, "b"), True)
    assert isinstance(made.inner.rate, float)
    assert isinstance(made.pair, tuple)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"extra": 1}, r"config\.extra is read by nothing"),
        ({"inner": {"rate": 1.0, "kind": "a", "typo": 0}}, r"config\.inner\.typo is read by nothing"),
        ({"inner": {"kind": "a"}}, r"config\.inner\.rate is missing"),
        ({"inner": {"rate": 1.0, "kind": "c"}}, r"config\.inner\.kind is 'c': choose one of a, b"),
        ({"count": 1.5}, r"config\.count is 1\.5: it must be of type int"),
        ({"count": True}, r"config\.count is True"),
        ({"pair": [1.0]}, r"config\.pair is \[1\.0\]: give 2 values"),
        ({"pair": [1.0, "x"]}, r"config\.pair\[1\] is 'x'"),
        ({"on": 1}, r"config\.on is 1"),
        ({"maybe": "x"}, r"config\.maybe is 'x'"),
    ],
)
def test_each_kind_of_mistake_has_its_sentence(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(Outer, {**GOOD, **change})


def test_a_value_that_its_class_refuses_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"config\.replay: replay\.capacity is 0"):
        build(ReplayConfig, {**REPLAY, "capacity": 0}, "config.replay")
    for name in ("n_step", "gather_threads"):
        with pytest.raises(ConfigError, match=rf"config\.replay: replay\.{name} is 0: it must be at least 1"):
            build(ReplayConfig, {**REPLAY, name: 0}, "config.replay")
    with pytest.raises(ConfigError, match="one value per action dimension"):
        build(ExplorationConfig, {"mean": [0.0], "std": [1.0, 1.0], "correlation": 0.5, "policy_noise": 0.1})


@pytest.mark.parametrize("name", ["town01", "town01_of_record"])
def test_the_shipped_configs_can_be_run(name):
    values = importlib.import_module(f"configs.{name}").get_config().to_dict()
    run = parse(values)
    assert run.env.reward.discount == run.agent.gamma
    assert run.env.reward.decision_s == pytest.approx(run.env.decision_s)


def test_the_config_of_record_is_the_original_one():
    run = parse(importlib.import_module("configs.town01_of_record").get_config().to_dict())
    assert run.agent == TD3Config()
    assert (run.batch_size, run.exploration_steps, run.total_steps) == (256, 10_000, 30_000)
    assert run.env == EnvConfig()
