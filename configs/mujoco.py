"""TD3 on MuJoCo's robots with the hyperparameters of Stable-Baselines3's, but for two hidden layers of 256.

pip install 'gymnasium[mujoco]'; --config.env.id=Hopper-v5 chooses another robot. Keys that are not named here have
their defaults.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config
from envloop.config import GymEnvConfig


def get_config() -> ConfigDict:
    config = default_config(GymEnvConfig(id="HalfCheetah-v5"))
    config.total_steps = 100_000
    config.exploration_steps = 10_000
    config.batch_size = 256
    config.eval_every = 10_000
    config.eval_episodes = 10
    config.agent.update({"hidden": (256, 256), "actor_lr": 1e-3, "critic_lr": 1e-3, "gamma": 0.99})
    config.replay.n_step = 1
    config.exploration.update({"mean": (0.0,), "std": (0.5,), "correlation": 0.0, "policy_noise": 0.1})
    return config
