"""Route 0 of Town01 with the settings of the system that this one reimplements, and the reward that suits them.

Everything not named here is as in town01.py.
"""

from ml_collections import ConfigDict

from configs import town01


def get_config() -> ConfigDict:
    config = town01.get_config()
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
    config.replay.update({"n_step": 1})
    config.env.update({"action_repeat": 1, "bend_start_fraction": 0.0})
    config.env.vector.update({"speed_scale": 30.0, "lateral_scale": 3.5, "point_scale": 50.0})
    config.env.termination.update({"blocked_s": 5.0, "blocked_m": 5.0})
    config.env.reward.update({"parked_value": -10.0, "crash": 15.0, "wait_gap_m": 8.0})
    return config
