"""The floor's arithmetic, against what XLA counts in our own program."""

import dataclasses

import pytest

from avtd3_jax import runtime

runtime.setup("cpu")

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec  # noqa: E402
from avtd3_jax.agent.td3 import TD3  # noqa: E402
from avtd3_jax.cpu import conv, mlp  # noqa: E402
from avtd3_jax.settings.config_file import load  # noqa: E402
from benchmarks import floor  # noqa: E402
from benchmarks.common import OF_RECORD  # noqa: E402
from benchmarks.contenders import random_batch, random_replay  # noqa: E402

OBS, ACTION = ObsSpec((4, 36, 36), 23), ActionSpec(2)


@pytest.mark.parametrize("encoder_grad", ["both", "critic"])
def test_counted_flop_are_those_of_the_program(encoder_grad, monkeypatch):
    for own in (conv, mlp):  # XLA counts its own products alone
        monkeypatch.setattr(own, "supports", lambda *_: False)
    config = dataclasses.replace(load(OF_RECORD).agent, hidden=(64, 64), encoder_grad=encoder_grad)
    learner = TD3(OBS, ACTION, config)
    costs = learner.compile(learner.init(0), random_batch(64, OBS))
    of_program = (costs[False]["gflop"] + costs[True]["gflop"]) / 2
    counted = floor.update_gflop(OBS, ACTION, config, 64)
    assert counted == pytest.approx(of_program, rel=0.15)  # XLA counts the cheap operations too
    assert counted < of_program


def test_random_replay_holds_what_it_was_asked_for():
    replay = random_replay(1000, OBS)
    assert len(replay) == 995  # five episodes of 200 observations
    assert replay.fill == 1.0
    assert replay.sample(8).frames.shape == (8, 5, 36, 36)
