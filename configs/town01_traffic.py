"""Route 0 of Town01 among other vehicles, in minutes: the driver's recipe (`town01_drive.py`) for one route.

It learns among 50 vehicles, where it meets more queues than among 20, and their vans and trucks.
"""

from ml_collections import ConfigDict

from avtd3_jax.configs import town01_drive


def get_config() -> ConfigDict:
    config = town01_drive.get_config()
    config.total_steps = 15_000
    config.exploration_steps = 1_500
    config.scenario = "1"
    config.replay.capacity = 15_000
    config.env.update({"route": "town01-0", "weather": "ClearNoon", "passers_by": 0})
    config.agent.lr_decay_updates = 9_500
    return config
