"""Any route of Town01 in mixed traffic and weather, by the rules: TD3 drawn to what a scripted expert would do.

Every episode drives another random route, empty or among 20 vehicles and 50 pedestrians, or 100 and 250, in one of the
four training weathers of NoCrash. The simulator tells the expert lights, people and vehicles; the policy has the
camera and 27 numbers. What differs from the defaults, and why:

  the camera stands 3 m further back, sees wider, and red lamps are bright and green ones dark: from the default's place
  the light at the stop line is outside of the picture, and in grey red is as bright as green;
  the vector has the last action and the acceleration;
  exploration is the expert's driving with noise, so that learning begins with whole drives;
  the actor's loss has the distance to the expert's action beside Q, in every state that the policy comes to;
  heads predict that action and what the simulator knows of the road ahead, so that the encoder learns to see it;
  the critics are told what the simulator knows, and have LayerNorms;
  few updates a step, for the simulator with much traffic takes more time than the learner.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.total_steps = 12_000
    config.exploration_steps = 1_500
    config.updates_per_step = 0.5
    config.overlap = True
    config.eval_every = 0
    config.scenario = "mixed"
    config.exploration.update({"std": (0.05, 0.2), "policy_noise": 0.05})
    config.env.update(
        {
            "route": "random",
            "weather": "ClearNoon,WetNoon,HardRainNoon,ClearSunset",
            "random_start_fraction": 0.4,
            "picture": "signals",
            "privileged": True,
            "expert": "expert",
        }
    )
    config.env.camera.update({"x": -1.5, "z": 2.4, "fov_deg": 100.0})
    config.env.vector.actuators = True
    config.agent.update(
        {
            "critic_privileged": True,
            "critic_layer_norm": True,
            "auxiliary_weight": 1.0,
            "imitation_weight": 5.0,
            "lr_decay_updates": 5_000,
        }
    )
    return config
