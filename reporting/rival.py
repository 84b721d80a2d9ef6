"""Whom benchmarks and experiments compare ours with on vectors: Stable-Baselines3's TD3, with a run's settings."""

from typing import Any

import gymnasium as gym
import numpy as np


def sb3_td3(kind: Any, run: Any, **options: Any) -> Any:
    """A model of `kind` that begins to learn the environment of `run`, one update a step.

    Args:
      kind: Stable-Baselines3's TD3, or a class that takes the same arguments.
      run: the configuration of a run on an environment of Gymnasium's.
      options: further arguments of `kind`.
    """
    from stable_baselines3.common.noise import NormalActionNoise

    env = gym.make(run.env.id)
    assert env.action_space.shape is not None
    mean = np.zeros(env.action_space.shape, np.float32)
    return kind(
        "MlpPolicy",
        env,
        learning_rate=run.agent.critic_lr,
        batch_size=run.batch_size,
        buffer_size=run.replay.capacity,
        learning_starts=run.exploration_steps,
        gamma=run.agent.gamma,
        train_freq=1,
        gradient_steps=1,
        action_noise=NormalActionNoise(mean, run.exploration.policy_noise + mean),
        policy_kwargs={"net_arch": list(run.agent.hidden)},
        **options,
    )
