"""Route 0 of Town01: a 264 m drive with a right turn, learned in minutes on two CPU cores.

These are the defaults. What one may want to change, here as config.KEY = VALUE or on the command line as
--config.KEY=VALUE:

  scenario          "regular" or "dense": among vehicles and pedestrians; "mixed": another density each time
  env.route         "X,Y -> X,Y" in metres, a suite's "town01-nav/0", or "random": another one in every episode
  env.observation   "image" or "vector" alone
  sim.endpoint      "HOST:PORT" of a running CARLA 0.9.16 instead of the simulator that is started otherwise
  num_envs          environments, each with a simulator of its own
  agent.encoder     "small", "impala", "resnet18", "mobilenet_v2"
  total_steps, seed, device, debug, profile

docs/configuration.md lists every key with its default and its meaning.
"""

from ml_collections import ConfigDict

from avtd3_jax.settings.run_config import default_config


def get_config() -> ConfigDict:
    return default_config()
