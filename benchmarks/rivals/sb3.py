"""Stable-Baselines3's TD3 on the same observation, batch size and layer widths, with its own replay.

It is not the same mathematics: actor and critics each have a NatureCNN (so has each target), the critic's and the
actor's losses are differentiated apart, and nothing is compiled. It is what a user of the best-known library gets.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3 import TD3
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.logger import Logger

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3Config


class Spaces(gymnasium.Env):
    """An environment that is only its spaces."""

    observation_space: spaces.Dict

    def __init__(self, obs_spec: ObsSpec, action_spec: ActionSpec) -> None:
        parts: dict[str, spaces.Space] = {}
        if obs_spec.image is not None:
            parts["image"] = spaces.Box(0, 255, obs_spec.image, np.uint8)
        if obs_spec.vector is not None:
            parts["vector"] = spaces.Box(-np.inf, np.inf, (obs_spec.vector,), np.float32)
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Box(-1.0, 1.0, (action_spec.size,), np.float32)


def replay(obs_spec: ObsSpec, action_spec: ActionSpec, capacity: int) -> DictReplayBuffer:
    """SB3's replay of Dict observations for one environment."""
    env = Spaces(obs_spec, action_spec)
    return DictReplayBuffer(capacity, env.observation_space, env.action_space, device="cpu")


def random_transition(rng: np.random.Generator, obs_spec: ObsSpec, action_spec: ActionSpec) -> tuple[Any, ...]:
    """Arguments of `DictReplayBuffer.add`."""
    env = Spaces(obs_spec, action_spec)

    def observation() -> dict[str, np.ndarray]:
        parts = {}
        for name, space in env.observation_space.spaces.items():
            shape = (1, *(space.shape or ()))
            if space.dtype == np.uint8:
                parts[name] = rng.integers(0, 256, shape, dtype=np.uint8)
            else:
                parts[name] = rng.standard_normal(shape).astype(np.float32)
        return parts

    action = rng.uniform(-1.0, 1.0, (1, action_spec.size)).astype(np.float32)
    return observation(), observation(), action, rng.standard_normal(1), np.array([False]), [{}]


class SB3Learner:
    """`update` is one gradient step of SB3's TD3 on one fixed batch, so that only the learner is timed."""

    def __init__(
        self, obs_spec: ObsSpec, action_spec: ActionSpec, config: TD3Config, batch: int, device: str = "cpu"
    ) -> None:
        self._model = TD3(
            "MultiInputPolicy",
            Spaces(obs_spec, action_spec),
            buffer_size=batch,
            batch_size=batch,
            gamma=config.gamma,
            tau=config.tau,
            policy_delay=config.policy_delay,
            policy_kwargs={
                "net_arch": list(config.hidden),
                "features_extractor_kwargs": {"cnn_output_dim": 512},
                "n_critics": config.num_critics,
            },
            device=device,
        )
        self._model.set_logger(Logger(None, []))
        rng = np.random.default_rng(0)
        buffer = self._model.replay_buffer
        for _ in range(batch):
            buffer.add(*random_transition(rng, obs_spec, action_spec))
        fixed = buffer.sample(batch)
        buffer.sample = lambda *_, **__: fixed
        self._batch = batch

    def update(self) -> None:
        """One gradient step; every `policy_delay`-th one trains the actor."""
        self._model.train(gradient_steps=1, batch_size=self._batch)
