"""Any route of Town01 in mixed traffic and weather, by the rules: TD3 drawn to what a scripted expert would do.

Every episode drives another random route, empty or among 20 vehicles and 50 pedestrians, or 100 and 250, in one of the
four training weathers of NoCrash. The simulator tells the expert lights, people and vehicles; the policy has the
camera and the 23 numbers. What differs from the defaults, and why:

  exploration is the expert's driving with noise, so that learning begins with whole drives;
  the actor's loss has the distance to the expert's action beside Q, in every state that the policy comes to;
  heads predict that action from the encoder's features, so that the encoder learns to see what it depends on;
  few updates a step, for the simulator with much traffic takes more time than the learner.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.total_steps = 15_000
    config.exploration_steps = 1_500
    config.updates_per_step = 0.5
    config.overlap = True
    config.eval_every = 0
    config.scenario = "mixed"
    config.env.update(
        {
            "route": "random",
            "weather": "ClearNoon,WetNoon,HardRainNoon,ClearSunset",
            "random_start_fraction": 0.4,
            "expert": "expert",
        }
    )
    config.agent.update(
        {
            "critic_layer_norm": True,
            "auxiliary_weight": 1.0,
            "imitation_weight": 5.0,
            "lr_decay_updates": 6_000,
        }
    )
    return config
