"""Route 0 of Town01 with the settings of the system that this one reimplements, and the reward that suits them."""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.total_steps = 30_000
    config.exploration_steps = 10_000
    config.batch_size = 256
    config.eval_every = 10_000
    config.agent.update(
        {
            "encoder_grad": "both",
            "trunk_width": 0,
            "encoder_lr": 1e-4,
            "actor_lr": 3e-4,
            "critic_lr": 3e-4,
            "gamma": 0.99,
        }
    )
    config.replay.n_step = 1
    config.env.update({"action_repeat": 1, "bend_start_fraction": 0.0})
    config.env.vector.update({"speed_scale": 30.0, "lateral_scale": 3.5, "point_scale": 50.0})
    config.env.termination.update({"blocked_s": 5.0, "blocked_m": 5.0})
    config.env.reward.update({"parked_value": -10.0, "crash": 15.0, "wait_gap_m": 8.0})
    return config
