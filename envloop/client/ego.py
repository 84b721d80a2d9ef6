"""The ego car and its sensors in the simulator: made once per connection, put in place once per episode."""

import contextlib
import math
import queue
from collections import deque

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.errors import carla_calls
from envloop.client.simulator import Simulator
from envloop.client.world_lock import role_name
from envloop.config import CameraConfig
from envloop.errors import SimulatorError
from envloop.task.episode import InitialState
from envloop.task.observation import EgoState
from envloop.task.route import Route

BLUEPRINT = "vehicle.tesla.model3"
_SPAWN_HEIGHT_M = 0.5  # above the road, so that no wheel is spawned inside it

Collision = tuple[str, int]  # blueprint id and actor id of what was hit


class _Inbox:
    """What the client's streaming thread delivers, to be read by frame number.

    It refers to no object of the client: the thread may be the last to let go of a callback, and a client that is
    destroyed by its own thread aborts the process.
    """

    def __init__(self) -> None:
        self.ticks: queue.SimpleQueue[carla.SensorData] = queue.SimpleQueue()
        self.collisions: deque[tuple[int, Collision]] = deque()

    def on_collision(self, event: carla.CollisionEvent) -> None:
        other = event.other_actor
        self.collisions.append((event.frame, ("static", 0) if other is None else (other.type_id, other.id)))

    def clear(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self.ticks.get_nowait()
        self.collisions.clear()


class EgoVehicle:
    """A Tesla Model 3 with a collision sensor and a front camera, or without a camera where nobody looks.

    Each tick ends with what the last sensor sends of it: the picture, or a position that is of no interest in itself.

    Raises (all methods):
      SimulatorError: the simulator is lost, or a sensor's frame does not come.
    """

    def __init__(self, simulator: Simulator, camera: CameraConfig | None, start: carla.Transform) -> None:
        self._world = simulator.world
        self._address = simulator.address
        self._camera = camera
        self._inbox = _Inbox()
        name = role_name("ego", simulator.owner)
        with simulator.long_timeout() as self._timeout_s:
            with carla_calls(self._address):
                library = self._world.get_blueprint_library()
                blueprint = library.find(BLUEPRINT)
                blueprint.set_attribute("role_name", name)
                self.vehicle: carla.Vehicle = self._world.spawn_actor(blueprint, start)
            simulator.tick()  # the client neither moves nor destroys an actor that no snapshot has shown
            with carla_calls(self._address):
                extent = self.vehicle.bounding_box.extent
                # Sensors send in the order in which they were made: a tick's collisions come before its picture.
                self._sensors: list[carla.Sensor] = [
                    self._attached(library.find("sensor.other.collision"), carla.Transform()),
                    self._attached(*_last_sensor(library, camera)),
                ]
            self.half_length_m, self.half_width_m = float(extent.x), float(extent.y)
            simulator.tick()
            collision, last = self._sensors
            with carla_calls(self._address):
                collision.listen(self._inbox.on_collision)
                last.listen(self._inbox.ticks.put)
            self.end_tick(simulator.tick())
        self._timeout_s = simulator.config.timeout_s

    def place(self, transform: carla.Transform) -> None:
        """Teleports the car to rest. Physics stay off until `release`, so that nothing of the last episode lives on."""
        # The client sends no control that is its own last one, and knows nothing of those that another client sent.
        self.control(0.0, 0.0, 0.0)
        self.control(0.0, 0.0, 1.0)
        with carla_calls(self._address):
            self.vehicle.set_simulate_physics(False)
            self.vehicle.set_transform(transform)
            self.vehicle.set_target_velocity(carla.Vector3D())
            self.vehicle.set_target_angular_velocity(carla.Vector3D())
        self._await_calls()

    def release(self) -> None:
        """Lets the car stand on its wheels, brakes on."""
        with carla_calls(self._address):
            self.vehicle.set_simulate_physics(True)
        self._await_calls()

    def launch(self, transform: carla.Transform, speed_mps: float) -> None:
        """Lets the car roll along `transform`'s heading at `speed_mps` from the next tick on, whoever makes it."""
        self.control(0.0, 0.0, 0.0)
        with carla_calls(self._address):
            self.vehicle.set_target_velocity(transform.get_forward_vector() * speed_mps)
        self._await_calls()

    def control(self, steer: float, throttle: float, brake: float) -> None:
        """Control of the next ticks: steer in [-1, 1], right positive; throttle and brake in [0, 1]."""
        with carla_calls(self._address):
            self.vehicle.apply_control(carla.VehicleControl(throttle, steer, brake))

    def state(self) -> EgoState:
        """The car in the last snapshot; no call to the server."""
        with carla_calls(self._address):
            transform = self.vehicle.get_transform()
            velocity, acceleration = self.vehicle.get_velocity(), self.vehicle.get_acceleration()
        location = transform.location
        return EgoState(
            x=location.x,
            y=location.y,
            z=location.z,
            yaw_deg=transform.rotation.yaw,
            vx=velocity.x,
            vy=velocity.y,
            ax=acceleration.x,
            ay=acceleration.y,
        )

    def light(self) -> str:
        """The state of the traffic light whose zone the car is in: "red", "yellow", "green" or "off"; "" in no zone."""
        with carla_calls(self._address):
            if not self.vehicle.is_at_traffic_light():
                return ""
            return str(self.vehicle.get_traffic_light_state()).lower()

    def off_road(self, carla_map: carla.Map) -> bool:
        """Whether the car's centre is outside every driving lane."""
        with carla_calls(self._address):
            return carla_map.get_waypoint(self.vehicle.get_location(), project_to_road=False) is None

    def end_tick(self, frame: int) -> NDArray[np.uint8] | None:
        """[H, W, 4] BGRA camera picture of exactly this tick, None without a camera, once all of the tick is there."""
        what = "position" if self._camera is None else "picture"
        while True:
            try:
                data = self._inbox.ticks.get(timeout=self._timeout_s)
            except queue.Empty:
                raise SimulatorError(
                    f"The simulator at {self._address} sent no {what} of frame {frame} in {self._timeout_s:g} s."
                ) from None
            if data.frame == frame:
                if self._camera is None:
                    return None
                size = self._camera.height, self._camera.width
                # Copied while `data` lives: the client's memory view does not keep what it shows.
                return np.frombuffer(data.raw_data, dtype=np.uint8).reshape(*size, 4).copy()
            if data.frame > frame:
                raise SimulatorError(f"The simulator at {self._address} skipped the {what} of frame {frame}.")

    def collisions(self, frame: int) -> tuple[Collision, ...]:
        """Collisions up to this tick that were not yet read. Complete after the tick's `end_tick`."""
        waiting, hits = self._inbox.collisions, []
        while waiting and waiting[0][0] <= frame:
            hits.append(waiting.popleft()[1])
        return tuple(hits)

    def close(self) -> None:
        """Destroys sensors (which stops them) and car; errors of a dead simulator are of no interest here."""
        for actor in (*self._sensors, self.vehicle):
            with contextlib.suppress(RuntimeError):
                actor.destroy()
        self._sensors.clear()

    def abandon(self) -> None:
        """Stops listening, without a call to a server that may be dead."""
        for sensor in self._sensors:
            with contextlib.suppress(RuntimeError):
                if sensor.is_listening:
                    sensor.stop()
        self._inbox.clear()

    def _await_calls(self) -> None:
        """Another client's tick, as with traffic, could come before calls of this one that have no answer."""
        with carla_calls(self._address):
            self._world.get_settings()  # is answered after them

    def _attached(self, blueprint: carla.ActorBlueprint, transform: carla.Transform) -> carla.Sensor:
        return self._world.spawn_actor(blueprint, transform, attach_to=self.vehicle)


def start_pose(route: Route, start: InitialState) -> carla.Transform:
    """Where the car is put for a start on a route, half a metre above the road and along its slope."""
    x, y, z = route.point_at(start.s)
    along_deg = route.heading_at(start.s)
    right_x, right_y = -math.sin(math.radians(along_deg)), math.cos(math.radians(along_deg))
    place = carla.Location(x + start.lateral_m * right_x, y + start.lateral_m * right_y, z + _SPAWN_HEIGHT_M)
    return carla.Transform(place, carla.Rotation(pitch=route.pitch_at(start.s), yaw=along_deg + start.heading_deg))


def _last_sensor(
    library: carla.BlueprintLibrary, camera: CameraConfig | None
) -> tuple[carla.ActorBlueprint, carla.Transform]:
    """The sensor that ends each tick, and where on the car it sits."""
    if camera is None:
        return library.find("sensor.other.gnss"), carla.Transform()
    blueprint = library.find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", str(camera.width))
    blueprint.set_attribute("image_size_y", str(camera.height))
    blueprint.set_attribute("fov", str(camera.fov_deg))
    blueprint.set_attribute("sensor_tick", "0.0")
    return blueprint, carla.Transform(carla.Location(x=camera.x, z=camera.z))
