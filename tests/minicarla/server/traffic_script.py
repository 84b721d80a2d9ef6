"""Drives some cars by the Traffic Manager and prints what came of it as JSON."""

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
import time

import carla
import msgpack


class Guard(threading.Thread):
    """Wakes a Traffic Manager that has lost a wake-up (carla-simulator/carla#9172): there is no other way out of it."""

    def __init__(self, tm_port: int, patience_s: float = 5.0) -> None:
        super().__init__(daemon=True)
        self._tm_port, self._patience_s = tm_port, patience_s
        self.last_tick = time.monotonic()

    def run(self) -> None:
        while True:
            time.sleep(0.1)
            if time.monotonic() - self.last_tick > self._patience_s:
                self.last_tick = time.monotonic()
                with socket.create_connection(("127.0.0.1", self._tm_port), timeout=5.0) as connection:
                    for number, mode in enumerate((False, True)):
                        connection.sendall(msgpack.packb([0, number, "set_synchronous_mode", [mode]]))
                        connection.recv(4096)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("tm_port", type=int)
    parser.add_argument("--cars", type=int)
    parser.add_argument("--ticks", type=int)
    parser.add_argument("--mode", default="physics")
    options = parser.parse_args()
    client = carla.Client("127.0.0.1", options.port, worker_threads=2)
    client.set_timeout(20.0)
    world = client.reload_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    manager = client.get_trafficmanager(options.tm_port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(3)
    manager.set_hybrid_physics_mode(options.mode == "hybrid")
    places = world.get_map().get_spawn_points()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    autopilot = carla.command.SetAutopilot(carla.command.FutureActor, True, options.tm_port)
    spawns = [carla.command.SpawnActor(blueprint, places[9 * i]).then(autopilot) for i in range(options.cars)]
    cars = world.get_actors([response.actor_id for response in client.apply_batch_sync(spawns, True)])
    collisions: list[carla.CollisionEvent] = []
    sensor_blueprint = world.get_blueprint_library().find("sensor.other.collision")
    sensors = [world.spawn_actor(sensor_blueprint, carla.Transform(), attach_to=car) for car in cars]
    for sensor in sensors:
        sensor.listen(collisions.append)
    guard = Guard(options.tm_port)
    guard.start()
    print(json.dumps(watch(world, list(cars), options.ticks, collisions, guard)))
    for sensor in sensors:
        sensor.stop()
    manager.shut_down()
    world.apply_settings(carla.WorldSettings(synchronous_mode=False))
    sys.stdout.flush()
    os._exit(0)  # the wheel may abort when it takes down a Traffic Manager's thread at the end of a process


def watch(world: carla.World, cars: list, ticks: int, collisions: list, guard: Guard) -> dict:
    town = world.get_map()
    starts = [car.get_location() for car in cars]
    digest = hashlib.sha256()
    stopped = off_lane = 0
    for _ in range(ticks):
        world.tick()
        guard.last_tick = time.monotonic()
        for car in cars:
            place, speed = car.get_location(), car.get_velocity().length()
            digest.update(repr((place.x, place.y, speed)).encode())
            at_red = car.is_at_traffic_light() and car.get_traffic_light_state() == carla.TrafficLightState.Red
            stopped += at_red and speed < 0.1
    for car in cars:
        lane = town.get_waypoint(car.get_location()).transform.location
        off_lane += lane.distance(car.get_location()) > 2.0
    return {
        "cars": len(cars),
        "moved": sum(car.get_location().distance(start) > 10.0 for car, start in zip(cars, starts, strict=True)),
        "off_lane": off_lane,
        "stopped_at_red": stopped,
        "collisions": len(collisions),
        "digest": digest.hexdigest(),
    }


if __name__ == "__main__":
    main()
