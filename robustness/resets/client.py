"""A script as many have it: resets of an asynchronous world beside a Traffic Manager, without a tick in between.

python -m robustness.resets.client PORT TM_PORT [--resets 100] [--cars 50] [--seconds 1.0] [--delta 0.0]

Prints a line after every reset: cars spawned, those that were not where they were put when the call returned, those
that drove in the end, those that were still there when they had been destroyed.
"""

import argparse
import os
import random
import sys
import time

import carla


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("tm_port", type=int)
    parser.add_argument("--resets", type=int, default=100)
    parser.add_argument("--cars", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.0, help="of driving after each")
    parser.add_argument("--delta", type=float, default=0.0, help="a fixed step, s; 0: real time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    client = carla.Client("127.0.0.1", options.port)
    client.set_timeout(20.0)
    world = client.load_world("Town01")
    world.apply_settings(carla.WorldSettings(fixed_delta_seconds=options.delta))
    client.get_trafficmanager(options.tm_port)
    rng = random.Random(options.seed)
    for _ in range(options.resets):
        cars, elsewhere = spawn(world, rng, options.cars, options.tm_port)
        time.sleep(options.seconds)
        moved = sum(car.get_velocity().length() > 0.1 for car in cars)
        destroy(client, cars, by_batch=rng.random() < 0.5)
        left = len(world.get_actors().filter("vehicle.*"))
        print(len(cars), elsewhere, moved, left, flush=True)
    sys.stdout.flush()
    os._exit(0)  # the wheel may abort when it takes down a Traffic Manager's thread at the end of a process


def spawn(world: carla.World, rng: random.Random, count: int, tm_port: int) -> tuple[list[carla.Vehicle], int]:
    """Cars with an autopilot, and how many were not where they were put when the call returned."""
    models = sorted(world.get_blueprint_library().filter("vehicle.*"), key=lambda model: model.id)
    cars, elsewhere = [], 0
    for place in rng.sample(world.get_map().get_spawn_points(), count):
        car = world.try_spawn_actor(rng.choice(models), place)
        if car is not None:
            elsewhere += car.get_location().distance(place.location) > 2.0
            car.set_autopilot(True, tm_port)
            cars.append(car)
    return cars, elsewhere


def destroy(client: carla.Client, cars: list[carla.Vehicle], by_batch: bool) -> None:
    """Scripts do either, while the Traffic Manager still has the cars."""
    if by_batch:
        client.apply_batch_sync([carla.command.DestroyActor(car) for car in cars])
    else:
        for car in cars:
            car.destroy()


if __name__ == "__main__":
    main()
