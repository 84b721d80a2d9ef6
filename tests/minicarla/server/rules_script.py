"""A car of the Traffic Manager on one road; prints place, speed and what it is told, tick by tick, as JSON lines."""

import argparse
import json
import os
import sys

import carla


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("tm_port", type=int)
    parser.add_argument("--lane", type=int, nargs=2, help="road and lane")
    parser.add_argument("--s", type=float)
    parser.add_argument("--ticks", type=int)
    options = parser.parse_args()
    client = carla.Client("127.0.0.1", options.port, worker_threads=2)
    client.set_timeout(20.0)
    world = client.reload_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    manager = client.get_trafficmanager(options.tm_port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(3)
    place = world.get_map().get_waypoint_xodr(*options.lane, options.s).transform
    place.location.z += 0.1
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), place)
    world.tick()
    car.set_autopilot(True, options.tm_port)
    for _ in range(options.ticks):
        world.tick()
        lane = world.get_map().get_waypoint(car.get_location())
        speed = 3.6 * car.get_velocity().length()
        told = [car.get_speed_limit(), str(car.get_traffic_light_state()), car.is_at_traffic_light()]
        print(json.dumps([lane.road_id, lane.s, lane.is_junction, speed, *told]))
    manager.shut_down()
    world.apply_settings(carla.WorldSettings(synchronous_mode=False))
    sys.stdout.flush()
    os._exit(0)  # the wheel may abort when it takes down a Traffic Manager's thread at the end of a process


if __name__ == "__main__":
    main()
