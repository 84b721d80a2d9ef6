"""A second stock client, for test_server_two_clients.py. Prints "ready", then what it was asked for as JSON."""

import argparse
import json
import sys

import carla


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--frames", type=int, help="wait for so many ticks and tell what they brought")
    parser.add_argument("--spawn", help="a blueprint; ends with its standard input")
    parser.add_argument("--tick-for-ever", action="store_true")
    options = parser.parse_args()
    client = carla.Client("127.0.0.1", options.port, worker_threads=2)
    client.set_timeout(60.0)
    world = client.get_world()
    if options.frames:
        print("ready", flush=True)
        print(json.dumps([seen(world.wait_for_tick(60.0)) for _ in range(options.frames)]), flush=True)
    elif options.spawn:
        place = world.get_map().get_spawn_points()[40]
        car = world.spawn_actor(world.get_blueprint_library().find(options.spawn), place)
        print(f"ready\n{car.id}", flush=True)
        sys.stdin.readline()
    elif options.tick_for_ever:
        print("ready", flush=True)
        while True:
            world.tick()


def seen(snapshot: carla.WorldSnapshot) -> list[object]:
    places = {}
    for state in snapshot:
        location = state.get_transform().location
        places[state.id] = [location.x, location.y]
    return [snapshot.frame, snapshot.timestamp.elapsed_seconds, sorted(places), places]


if __name__ == "__main__":
    main()
