"""A crowd that walks for a while, as generate_traffic.py makes one; prints where everybody is, as hexadecimal floats.

In a process of its own, for the client's crowd has state that outlives a world: C's random numbers, and the traffic
lights of the first episode.
"""

import sys

import carla
from server_process import HOST


def spawn_crowd(client: carla.Client, world: carla.World, count: int) -> tuple[list[carla.Actor], list[carla.Actor]]:
    """Walkers on the pavement and their controllers, on their way."""
    library = world.get_blueprint_library()
    models = sorted(library.filter("walker.pedestrian.*"), key=lambda model: model.id)
    places = [world.get_random_location_from_navigation() for _ in range(count)]
    walkers = [
        world.try_spawn_actor(models[number % len(models)], carla.Transform(place))
        for number, place in enumerate(places)
    ]
    walkers = [walker for walker in walkers if walker is not None]
    world.tick()
    mind = library.find("controller.ai.walker")
    controllers = [world.spawn_actor(mind, carla.Transform(), walker) for walker in walkers]
    world.tick()
    for controller in controllers:
        controller.start()
        controller.go_to_location(world.get_random_location_from_navigation())
        controller.set_max_speed(1.4)
    return walkers, controllers


def main(port: int, cache: str, count: int, ticks: int) -> None:
    client = carla.Client(HOST, port)
    client.set_timeout(20.0)
    client.set_files_base_folder(cache)
    world = client.get_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    world = client.reload_world(False)
    world.set_pedestrians_seed(11)
    world.set_pedestrians_cross_factor(0.2)
    walkers, controllers = spawn_crowd(client, world, count)
    for _ in range(ticks):
        world.tick()
    for walker in walkers:
        place = walker.get_transform()
        values = (place.location.x, place.location.y, place.rotation.yaw)
        print(*(float(value).hex() for value in values))
    for controller in controllers:
        controller.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
