"""The world: everything that touches a simulator. Importing it registers "avtd3/Carla-v0" and loads nothing else."""

import gymnasium

gymnasium.register(id="avtd3/Carla-v0", entry_point="envloop.env:CarlaEnv")
