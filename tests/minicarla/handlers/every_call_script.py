"""Calls every method and property of the stock client's classes, and prints what came of each as lines of JSON.

The arguments are made from the types in the methods' own docstrings. Given the server's port and a folder for the
client's files.
"""

import json
import os
import re
import sys
from collections.abc import Callable

import carla

from envloop.free_ports import free_ports

SAMPLES: dict[str, Callable[[], object]] = {
    "bool": lambda: True,
    "int": lambda: 1,
    "float": lambda: 1.0,
    "str": lambda: "sample",
    "list": list,
    "object": list,
    "Location": lambda: carla.Location(92.4, 135.0, 0.5),
    "Vector3D": lambda: carla.Vector3D(0.0, 0.0, -1.0),
    "Rotation": carla.Rotation,
    "Color": lambda: carla.Color(1, 2, 3),
    "BoundingBox": lambda: carla.BoundingBox(carla.Location(), carla.Vector3D(1.0, 1.0, 1.0)),
    "LightState": carla.LightState,
    "LightGroup": lambda: carla.LightGroup.NONE,
    "TextureColor": lambda: carla.TextureColor(1, 1),
    "TextureFloatColor": lambda: carla.TextureFloatColor(1, 1),
    "MaterialParameter": lambda: carla.MaterialParameter.Diffuse,
    "MapLayer": lambda: carla.MapLayer.All,
    "VehicleDoor": lambda: carla.VehicleDoor.FL,
    "VehicleWheelLocation": lambda: carla.VehicleWheelLocation.FL_Wheel,
    "TrafficLightState": lambda: carla.TrafficLightState.Red,
    "VehicleLightState": lambda: carla.VehicleLightState.NONE,
}
LAST = ("destroy", "shut_down", "apply_settings", "replay_file")  # what ends the object goes behind the others
# They change what the script itself needs, or wait for ticks of a world that it has to tick.
LEFT_OUT = {"Client.set_timeout", "Client.set_files_base_folder", "World.wait_for_tick"}


def required(docstring: str) -> list[str]:
    """Types of the arguments that must be given, beside the object itself."""
    signature = next(line for line in docstring.splitlines() if "->" in line)
    return re.findall(r"\((\w+)\)\w+", signature.split(" [")[0].rsplit("->", 1)[0])[1:]


def sample(name: str) -> object:
    return SAMPLES[name]() if name in SAMPLES else getattr(carla, name)()


def main(port: int, folder: str) -> None:
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(20.0)
    client.set_files_base_folder(folder)
    world = client.get_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    town, library = world.get_map(), world.get_blueprint_library()
    places = town.get_spawn_points()
    car, other = (world.spawn_actor(library.find("vehicle.tesla.model3"), place) for place in places[:2])
    walker = world.spawn_actor(library.find("walker.pedestrian.0001"), places[2])
    controller = world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker)
    sensor = world.spawn_actor(library.find("sensor.other.gnss"), carla.Transform(), attach_to=car)
    lane = world.spawn_actor(library.find("sensor.other.lane_invasion"), carla.Transform(), attach_to=car)
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    junction = next(start.get_junction() for start, _ in town.get_topology() if start.is_junction)
    tm_port = free_ports()
    manager = client.get_trafficmanager(tm_port)
    special = {
        "Client.generate_opendrive_world": [town.to_opendrive()],
        "Client.load_world": ["Town01"],
        "Client.load_world_if_different": ["Town01"],
        "Client.get_trafficmanager": [tm_port],
        "Client.request_file": client.get_required_files("Nav", False),
        "Client.show_recorder_collisions": ["sample", "a", "a"],
        "Client.replay_file": ["sample", 0.0, 0.0, 0],
        "World.get_actor": [car.id],
        "World.get_traffic_lights_in_junction": [
            junction.id
        ],  # any other id ends the client: it follows a null pointer
        "World.get_traffic_light": [town.get_all_landmarks_of_type("1000001")[0]],
        "World.get_traffic_sign": [town.get_all_landmarks_of_type("1000001")[0]],
        "World.get_traffic_lights_from_waypoint": [town.get_waypoint(places[0].location), 50.0],
        "World.apply_settings": [world.get_settings()],
        "World.spawn_actor": [library.find("static.prop.box01"), places[5]],
        "World.try_spawn_actor": [library.find("static.prop.box01"), places[6]],
        "World.cast_ray": [carla.Location(92.4, 135.0, 5.0), carla.Location(92.4, 135.0, -5.0)],
        "World.on_tick": [lambda snapshot: None],
        "Actor.set_transform": [places[0]],
        "Actor.get_component_world_transform": car.get_component_names()[:1],
        "Actor.get_component_relative_transform": car.get_component_names()[:1],
        "Vehicle.apply_physics_control": [car.get_physics_control()],
        "Vehicle.set_autopilot": [False, tm_port],
        "WalkerAIController.go_to_location": [places[3].location],
        "Sensor.listen": [lambda data: None],
        "LaneInvasionSensor.listen": [lambda data: None],
        "ServerSideSensor.listen_to_gbuffer": [0, lambda data: None],
        "TrafficManager.set_boundaries_respawn_dormant_vehicles": [25.0, 50.0],
        "TrafficManager.set_path": [car, [places[0].location]],
        "TrafficManager.set_route": [car, ["Left"]],
        "TrafficManager.collision_detection": [car, other, True],
    }
    SAMPLES["Actor"] = lambda: car
    targets = [
        ("DebugHelper", world.debug), ("LightManager", world.get_lightmanager()), ("Walker", walker),
        ("WalkerAIController", controller), ("Sensor", sensor), ("ServerSideSensor", sensor), ("Sensor", lane),
        ("TrafficLight", light), ("TrafficSign", light), ("Vehicle", car), ("Actor", car), ("TrafficManager", manager),
        ("Actor", other), ("World", world), ("Client", client),
    ]  # fmt: skip
    for class_name, target in targets:
        kind = vars(getattr(carla, class_name))
        for name in sorted(kind, key=lambda name: (name in LAST, name)):
            call = f"{class_name}.{name}"
            if name.startswith("__") or call in LEFT_OUT or (target is car and name == "destroy"):
                continue
            print(json.dumps([call]), flush=True)  # first, so that a call that ends the process is known
            error = ""
            try:
                if isinstance(kind[name], property):
                    getattr(target, name)
                else:
                    getattr(target, name)(*(special.get(call) or map(sample, required(kind[name].__doc__))))
            except Exception as caught:
                error = f"{type(caught).__name__}: {caught}"
            print(json.dumps([call, error]), flush=True)
            if class_name == "World":
                world.tick()
    sys.stdout.flush()
    os._exit(0)  # the wheel may abort when it takes down a Traffic Manager's thread at the end of a process


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
