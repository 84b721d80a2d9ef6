"""The driving task, the client side of a simulator, and the environments that join them.

Importing the package registers "avtd3/Carla-v0" with Gymnasium and loads nothing else; `gymnasium.make` imports it by
itself when it is asked for "envloop:avtd3/Carla-v0".
"""

import os
import pwd
from contextlib import suppress

import gymnasium

# Without a HOME the `carla` package ends the process with a segmentation fault when it is imported.
if "HOME" not in os.environ:
    os.environ["HOME"] = "/"
    with suppress(KeyError):  # a user that the system does not know, as in some containers
        os.environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir

gymnasium.register(id="avtd3/Carla-v0", entry_point="envloop.env:CarlaEnv")
