"""Loads a world again and again while a Traffic Manager runs; prints a number for every one."""

import os
import sys

import carla

client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(20.0)
world = client.get_world()
for number in range(12):
    if sys.argv[3] == "synchronous":
        world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    client.get_trafficmanager(int(sys.argv[2]))
    if sys.argv[3] == "synchronous":
        world.tick()
    world = client.load_world("Town01")
    print(number, flush=True)
os._exit(0)  # the wheel may abort when it takes down a Traffic Manager's thread at the end of a process
