"""Records what a stock client sends: the seeds of the fuzzer.

python -m robustness.fuzz.record [tests/robustness/corpus/requests.msgpack]

A relay stands between the client and a real server; of every method, and of every kind of command in a batch, the first
few requests are kept.
"""

import contextlib
import multiprocessing
import socket
import threading
from collections import Counter
from pathlib import Path

import carla
import msgpack

from envloop.client.minicarla_process import EmbeddedServer
from minicarla.protocol.framing import RequestCutter, decode
from reporting.publish import plain_parser

CORPUS = Path(__file__).parents[2] / "tests" / "robustness" / "corpus"
_OF_A_METHOD = 3


class Relay:
    """Forwards one client's RPC connection and keeps the requests."""

    def __init__(self, host: str, port: int) -> None:
        self.requests: list[bytes] = []
        self._server = socket.create_connection((host, port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        for connection in (client, self._server):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._forward, args=(self._server, client, None), daemon=True).start()
        self._forward(client, self._server, RequestCutter())

    def _forward(self, source: socket.socket, target: socket.socket, cutter: RequestCutter | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if cutter is not None:
                    self.requests += cutter.feed(data)
                target.sendall(data)


def main() -> None:
    """The command."""
    options = plain_parser(__doc__)
    options.add_argument("path", type=Path, nargs="?", default=CORPUS / "requests.msgpack", help="default: the corpus")
    path = options.parse_args().path
    server = EmbeddedServer(["--town", "Town01"], timeout_s=120.0)
    try:
        relay = Relay("127.0.0.1", server.port)
        # A process of its own: the wheel waits for replies without letting other threads run.
        script = multiprocessing.get_context("spawn").Process(target=use, args=(relay.port,))
        script.start()
        script.join()
        kept = chosen(relay.requests)
    finally:
        server.stop()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgpack.packb(kept))
    print(f"{len(kept)} of {len(relay.requests)} requests, {path.stat().st_size} bytes, written to {path}")


def chosen(requests: list[bytes]) -> list[bytes]:
    """The first few of each method; batches and spawns count by what is in them."""
    seen: Counter[str] = Counter()
    kept = []
    for request in requests:
        _, _, method, (_, *arguments) = decode(request)
        key = method
        if method == "apply_batch":
            key += str(sorted({command[0][0] for command in arguments[0]}))
        elif method.startswith("spawn"):
            key += str(arguments[0][1])
        seen[key] += 1
        if seen[key] <= _OF_A_METHOD:
            kept.append(request)
    return kept


def use(port: int) -> None:
    """Call what a client can call."""
    client = carla.Client("127.0.0.1", port, worker_threads=1)
    client.set_timeout(60.0)
    world = client.get_world()
    client.get_available_maps()
    world = client.reload_world()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    library, town = world.get_blueprint_library(), world.get_map()
    places = town.get_spawn_points()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), places[0])
    walker = world.spawn_actor(library.find("walker.pedestrian.0001"), places[7])
    world.spawn_actor(library.find("static.prop.trafficcone01"), places[9])
    world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker)
    for name in ("rgb", "depth", "semantic_segmentation"):
        camera = library.find(f"sensor.camera.{name}")
        camera.set_attribute("image_size_x", "32")
        camera.set_attribute("image_size_y", "18")
        world.spawn_actor(camera, carla.Transform(carla.Location(1.5, 0.0, 1.5)), attach_to=car)
    sensors = [
        world.spawn_actor(library.find(f"sensor.other.{name}"), carla.Transform(), attach_to=car)
        for name in ("collision", "lane_invasion", "obstacle", "gnss", "imu")
    ]
    world.tick()
    sensors[-1].listen(lambda _: None)
    world.tick()
    sensors[-1].stop()
    move(car)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.0, False))
    look(world, car)
    for light in list(world.get_actors().filter("traffic.traffic_light*"))[:1]:
        light.set_state(carla.TrafficLightState.Red)
        light.set_green_time(5.0), light.set_yellow_time(2.0), light.set_red_time(1.0)
        light.freeze(True), light.freeze(False)
        light.get_group_traffic_lights(), light.get_light_boxes()
    world.reset_all_traffic_lights()
    batches(client, world, car, walker, places)
    for actor in (*sensors, walker, car):
        actor.destroy()
    world.tick()


def move(car: carla.Vehicle) -> None:
    """Everything that moves or changes a vehicle."""
    vector = carla.Vector3D(1.0, 2.0, 0.5)
    car.apply_control(carla.VehicleControl(0.5, 0.1, 0.0, False, False, True, 2))
    car.apply_ackermann_control(carla.VehicleAckermannControl(0.1, 0.0, 5.0, 1.0, 0.0))
    car.apply_ackermann_controller_settings(car.get_ackermann_controller_settings())
    car.set_transform(car.get_transform())
    car.set_location(car.get_location())
    for method in ("set_target_velocity", "set_target_angular_velocity", "enable_constant_velocity", "add_impulse"):
        getattr(car, method)(vector)
    car.disable_constant_velocity()
    for method in ("add_force", "add_angular_impulse", "add_torque"):
        getattr(car, method)(vector)
    car.set_simulate_physics(False), car.set_simulate_physics(True)
    car.set_collisions(True), car.set_enable_gravity(True)
    car.apply_physics_control(car.get_physics_control())
    car.set_light_state(carla.VehicleLightState(carla.VehicleLightState.Brake))
    car.get_light_state(), car.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel), car.get_telemetry_data()
    car.show_debug_telemetry(True)


def look(world: carla.World, car: carla.Vehicle) -> None:
    """Everything that asks."""
    origin, down = carla.Location(60.0, 60.0, 5.0), carla.Vector3D(0.0, 0.0, -1.0)
    world.get_spectator().set_transform(car.get_transform())
    world.set_weather(world.get_weather())
    world.get_level_bbs(carla.CityObjectLabel.Any)
    world.get_environment_objects(carla.CityObjectLabel.Any)
    world.get_names_of_all_objects()
    world.cast_ray(origin, carla.Location(60.0, 60.0, -5.0))
    world.project_point(origin, down, 10.0)
    world.get_vehicles_light_states()
    world.get_actor(car.id)
    world.debug.draw_point(origin), world.debug.draw_string(origin, "hello")


def batches(
    client: carla.Client, world: carla.World, car: carla.Actor, walker: carla.Actor, places: list[carla.Transform]
) -> None:
    """One batch of every command, and a spawn with what follows it."""
    command, vector, here = carla.command, carla.Vector3D(1.0, 0.0, 0.0), car.get_transform()
    model = world.get_blueprint_library().find("vehicle.audi.tt")
    commands = [
        command.ApplyVehicleControl(car.id, carla.VehicleControl(throttle=1.0)),
        command.ApplyVehicleAckermannControl(car.id, carla.VehicleAckermannControl(0.1, 0.0, 3.0, 1.0, 0.0)),
        command.ApplyWalkerControl(walker.id, carla.WalkerControl()),
        command.ApplyTransform(car.id, here),
        command.ApplyWalkerState(walker.id, here, 1.0),
        command.ApplyTargetVelocity(car.id, vector),
        command.ApplyTargetAngularVelocity(car.id, vector),
        command.ApplyImpulse(car.id, vector),
        command.ApplyForce(car.id, vector),
        command.ApplyAngularImpulse(car.id, vector),
        command.ApplyTorque(car.id, vector),
        command.SetSimulatePhysics(car.id, True),
        command.SetEnableGravity(car.id, True),
        command.SetVehicleLightState(car.id, carla.VehicleLightState(3)),
        command.DestroyActor(4_000_000),
    ]
    for one in commands:
        client.apply_batch([one])
    client.apply_batch_sync(commands, True)
    autopilot = command.SetAutopilot(command.FutureActor, False)
    follow = command.ApplyVehicleControl(command.FutureActor, carla.VehicleControl())
    client.apply_batch_sync([command.SpawnActor(model, places[20 + i]).then(follow).then(autopilot) for i in (0, 9)])


if __name__ == "__main__":
    main()
