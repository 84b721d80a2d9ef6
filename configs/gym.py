"""An environment of Gymnasium's registry with a continuous action, and an image, a vector or both to see.

--config.env.id=CarRacing-v3 chooses another one. Every key that is not named here has its default.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config
from envloop.config import GymEnvConfig


def get_config() -> ConfigDict:
    config = default_config(GymEnvConfig(id="Pendulum-v1"))
    config.total_steps = 20_000
    config.batch_size = 256
    config.eval_every = 2_000
    config.agent.gamma = 0.99
    config.replay.n_step = 1
    # One value for every action dimension; the car's exploration leans forward, here nothing is known of the action.
    config.exploration.update({"mean": (0.0,), "std": (0.5,), "correlation": 0.0, "policy_noise": 0.1})
    return config
