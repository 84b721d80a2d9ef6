"""The process of an environment's Traffic Manager; `traffic.TrafficProcess` starts it.

The wheel's Traffic Manager runs in threads of its client, and an exception in them, such as the time-out of a server
that has just died, aborts the whole process. In a process of its own it takes nobody along. Whoever hosts it has to
tick: a synchronous Traffic Manager moves only with ticks of its own client.

Commands come as JSON arrays, one a line, over the socket FD; each is answered by one line: ["ok", value], or
["lost", text] where the simulator is lost, or ["bug", traceback].
"""

import json
import os
import socket
import sys
import traceback
from typing import Any

import carla
import numpy as np

from envloop.client.crowd import Crowd
from envloop.client.errors import carla_calls
from envloop.errors import SimulatorError
from envloop.free_ports import free_ports
from envloop.seeding import EpisodeStream, generator

_PORT_ATTEMPTS = 8


class TrafficManagerHost:
    """Carries out the commands; a method's name is the command's."""

    def __init__(self, host: str, port: int, timeout_s: float, role_name: str) -> None:
        self._address = f"{host}:{port}"
        self._role_name = role_name
        with carla_calls(self._address):
            self._client = carla.Client(host, port, 1)
            self._client.set_timeout(timeout_s)
            self._world = self._client.get_world()
            self._spawn_points: list[carla.Transform] = self._world.get_map().get_spawn_points()
            self._blueprints = _car_blueprints(self._world)
            self._manager = _traffic_manager(self._client)
            self._manager.set_synchronous_mode(True)
            self._crowd = Crowd(self._client, self._world, role_name)

    def spawn(self, seed: int, places: list[int], colours_seed: int, speed_kmh: float) -> list[int]:
        """Spawns one vehicle at each of the spawn points with these numbers, in one batch; the actor ids.

        They want to drive `speed_kmh`, or where that is 0 the limits that they pass.
        """
        rng = generator(colours_seed, EpisodeStream.TRAFFIC_MODELS)
        batch = [self._spawn_command(rng, self._spawn_points[place]) for place in places]
        with carla_calls(self._address):
            self._manager.set_random_device_seed(seed)
            responses = self._client.apply_batch_sync(batch, False)
            spawned = [response.actor_id for response in responses if not response.has_error()]
            # All in one call: for the command SetAutopilot the client asks the server for one vehicle after the other.
            port = self._manager.get_port()
            for vehicle in self._world.get_actors(spawned):
                vehicle.set_autopilot(True, port)
                if speed_kmh:
                    self._manager.set_desired_speed(vehicle, speed_kmh)
        return spawned

    def destroy(self, actors: list[int]) -> None:
        """Destroys vehicles; the next tick shows the world without them."""
        with carla_calls(self._address):
            self._client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in actors], False)

    def spawn_walkers(
        self,
        count: int,
        passers_by: int,
        route: list[tuple[float, float]],
        seed: int,
        clear: tuple[float, float],
        clearance_m: float,
        timeout_s: float,
    ) -> int:
        """Spawns walkers at least `clearance_m` from the place `clear`, and starts them after a tick; how many.

        Zero where the map has no navigation mesh.
        """
        rng = generator(seed, EpisodeStream.WALKERS, count)
        with carla_calls(self._address):
            crowd_seed = int(rng.integers(2**31))
            spawned = self._crowd.spawn(count, crowd_seed, rng, (*clear, clearance_m), passers_by, route)
            self._world.tick(timeout_s)
            self._crowd.start()
        return spawned

    def clear_walkers(self) -> None:
        """Removes the walkers; the next tick shows the world without them."""
        with carla_calls(self._address):
            self._crowd.clear()

    def tick(self, timeout_s: float, control: tuple[int, float, float, float] | None = None) -> int:
        """One tick of the world and of the Traffic Manager; the frame number.

        Args:
          control: of any vehicle, in force from this tick on: its id, steer, throttle, brake.
        """
        with carla_calls(self._address):
            if control is not None:
                actor, steer, throttle, brake = control
                pedals = carla.VehicleControl(throttle, steer, brake)
                self._client.apply_batch([carla.command.ApplyVehicleControl(actor, pedals)])
            return int(self._world.tick(timeout_s))

    def _spawn_command(self, rng: np.random.Generator, place: carla.Transform) -> carla.command.SpawnActor:
        blueprint = self._blueprints[rng.integers(len(self._blueprints))]
        if blueprint.has_attribute("color"):
            colours = blueprint.get_attribute("color").recommended_values
            blueprint.set_attribute("color", colours[rng.integers(len(colours))])
        blueprint.set_attribute("role_name", self._role_name)
        return carla.command.SpawnActor(blueprint, place)


def serve(connection: socket.socket, host: TrafficManagerHost) -> None:
    """Answers commands until the other end of the connection is closed."""
    with connection.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            name, *arguments = json.loads(line)
            stream.write(json.dumps(_carried_out(host, name, arguments)) + "\n")
            stream.flush()


def _carried_out(host: TrafficManagerHost, name: str, arguments: list[Any]) -> list[Any]:
    """The answer to a command; only the client's own errors say that the simulator is lost."""
    try:
        return ["ok", getattr(host, name)(*arguments)]
    except SimulatorError as error:
        return ["lost", str(error)]
    except Exception:
        return ["bug", traceback.format_exc()]


def _car_blueprints(world: carla.World) -> list[carla.ActorBlueprint]:
    """Four-wheeled vehicles in the order of their names, so that a seed picks the same on every start."""
    vehicles = world.get_blueprint_library().filter("vehicle.*")
    cars = [car for car in vehicles if int(car.get_attribute("number_of_wheels")) == 4]
    return sorted(cars, key=lambda blueprint: blueprint.id)


def _traffic_manager(client: carla.Client) -> carla.TrafficManager:
    for _ in range(_PORT_ATTEMPTS - 1):
        try:
            return client.get_trafficmanager(free_ports())
        except RuntimeError as error:
            if "time-out" in str(error):
                raise
            # Another process took the port since it was found free.
    return client.get_trafficmanager(free_ports())


def main(descriptor: str, host: str, port: str, timeout_s: str, role_name: str) -> None:
    """Serves one connection, then ends at once: the Traffic Manager's threads are not waited for."""
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            traffic = TrafficManagerHost(host, int(port), float(timeout_s), role_name)
            connection.sendall(b'["ok", null]\n')
            serve(connection, traffic)
        except (OSError, SimulatorError) as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        except Exception:
            connection.sendall(json.dumps(["bug", traceback.format_exc()]).encode() + b"\n")
            os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
