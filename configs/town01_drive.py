"""Any route of Town01 in mixed traffic and weather, by the rules: TD3 drawn to what a scripted expert would do.

Every episode drives another random route, empty or among 20 vehicles and 50 pedestrians, or 100 and 250, in one of the
four training weathers of NoCrash. The simulator tells the expert lights, people and vehicles; the policy has the
camera and the 23 numbers. What differs from the defaults, and why:

  the camera stands 3 m further back, sees wider, and red lamps are white spots and green ones black: from the default's
  place the light at the stop line is outside of the picture, and in grey red is as bright as green;
  the picture's middle is magnified, and a head tells from each column of it how near a person and a vehicle are, and a
  person beside the route: from an even picture the network did not see people in streets that were new to it;
  routes are short, and 40 more people walk beside and across each: in the same steps it meets more streets and people;
  the rules of the road count: a red light run ends the episode;
  exploration is the expert's driving with noise, so that learning begins with whole drives;
  the actor's loss has the distance to the expert's action beside Q, in every state that the policy comes to;
  heads predict that action and what the simulator knows of the road ahead, so that the encoder learns to see it; the
  actor's loss trains the encoder too, the critics' does not, and pictures are shifted at random;
  0.74 updates a step: new streets teach more than the same pictures again;
  the critics are told what the simulator knows, and have LayerNorms.

The vector has no `actuators`: with its last action in view the policy drove smoothly, and once at rest it stayed there.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.total_steps = 60_000
    config.exploration_steps = 2_500
    config.updates_per_step = 0.74
    config.overlap = True
    config.eval_every = 0
    config.scenario = "mixed"
    config.replay.capacity = 60_000
    config.exploration.update({"std": (0.05, 0.2)})
    config.env.update(
        {
            "route": "random",
            "weather": "ClearNoon,WetNoon,HardRainNoon,ClearSunset",
            "random_start_fraction": 0.4,
            "picture": "fovea",
            "privileged": True,
            "columns": True,
            "passers_by": 40,
            "rules": True,
            "expert": "expert",
        }
    )
    config.env.random_route.update({"min_m": 80.0, "max_m": 300.0})
    config.env.termination.blocked_s = 6.0
    config.env.reward.crash = 21.0  # more than standing until then costs
    config.env.camera.update({"x": -1.5, "z": 2.4, "fov_deg": 100.0})
    config.agent.update(
        {
            "critic_privileged": True,
            "critic_layer_norm": True,
            "encoder_grad": "actor",
            "random_shift": 4,
            "auxiliary_weight": 100.0,
            "columns": 3,
            "imitation_weight": 50.0,
            "lr_decay_updates": 40_000,
        }
    )
    return config
