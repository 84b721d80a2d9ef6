"""A second algorithm of the family is a class and a line: the loop, checkpoints and diagnostics need no more of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_cases import BOTH, random_batch

from avtd3_jax.agent import registry
from avtd3_jax.agent.spaces import ActionSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.analysis import diagnostics
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class CalmConfig(TD3Config):
    """With a cost of large actions."""

    calm: float = 1.0


class Calm(TD3):
    """TD3 whose actor also pays for large actions."""

    def loss(self, params, target_params, batch, key, *, update_actor):
        loss, metrics = super().loss(params, target_params, batch, key, update_actor=update_actor)
        if update_actor:
            features = jax.lax.stop_gradient(self.features(params["encoder"], batch.frames[:, :4], batch.vector))
            action = self.actor.apply({"params": params["actor"]}, features)
            loss = loss + self.config.calm * jnp.square(action).mean()
        return loss, metrics


@pytest.fixture
def calm(monkeypatch):
    monkeypatch.setitem(registry.ALGORITHMS, "calm", registry.Algorithm(Calm, CalmConfig))


def test_another_algorithm_learns_something_else_and_is_saved_like_the_first(calm, tmp_path):
    actions = {}
    for name, config in (("td3", TD3Config(hidden=(16,))), ("calm", CalmConfig(hidden=(16,), calm=100.0))):
        agent = registry.make_agent(name, BOTH, ActionSpec(2), config)
        state = agent.init(0)
        for update in range(8):
            state, packed = agent.step(state, random_batch(seed=update), update)
        agent.read_metrics(packed, update_actor=True)
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(8, state)
            restored = checkpoints.restore(agent.init(1)).state
        observations = diagnostics.observations_of(random_batch())
        actions[name] = agent.act(restored.params, observations)
        np.testing.assert_array_equal(actions[name], agent.act(state.params, observations))
        assert diagnostics.encoder_mean_gradients(agent, state)
    assert np.abs(actions["calm"]).mean() < np.abs(actions["td3"]).mean()


def test_an_unknown_algorithm_is_refused_by_its_key():
    with pytest.raises(ConfigError, match=r"config\.algorithm is 'sac': choose one of td3"):
        registry.algorithm("sac")
