"""A real server in a process of its own, and raw sockets to look at what it sends."""

import queue
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import carla
import msgpack
import psutil

READY = re.compile(r"^minicarla ready port=(\d+) pid=(\d+) town=(\S+) version=(\S+)$")
START_TIMEOUT_S = 240.0  # the first start of a checkout compiles the loops
HOST = "127.0.0.1"


@dataclass
class ServerProcess:
    process: subprocess.Popen[str]
    port: int
    pid: int
    town: str
    version: str

    def client(self, timeout_s: float = 20.0) -> carla.Client:
        client = carla.Client(HOST, self.port, worker_threads=2)
        client.set_timeout(timeout_s)
        return client

    def stop(self) -> tuple[int, str]:
        """SIGTERM; exit code and what it wrote to stderr."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def launch(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "minicarla", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def ready(process: subprocess.Popen[str], timeout_s: float = START_TIMEOUT_S) -> Iterator[ServerProcess]:
    """The server that the process has become ready as; it ends with the block."""
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], timeout_s)
        line = process.stdout.readline().strip() if readable else ""
        found = READY.match(line)
        if found is None:
            process.kill()
            raise AssertionError(f"no ready line but {line!r}; stderr: {process.communicate()[1]}")
        yield ServerProcess(process, int(found[1]), int(found[2]), found[3], found[4])
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


@contextmanager
def held_still(server: ServerProcess) -> Iterator[None]:
    """The server reads nothing in the block: what is sent there by several connections it finds at once, in order."""
    process = psutil.Process(server.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def running_server(*options: str) -> Iterator[ServerProcess]:
    with ready(launch("--port", "0", *options)) as server:
        yield server


class RawRpc:
    """msgpack-rpc by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = msgpack.Unpacker()
        self._count = 0

    def send(self, method: str, *arguments: object, asynchronous: bool = False) -> int:
        self._count += 1
        self.socket.sendall(msgpack.packb([0, self._count, method, [[asynchronous], *arguments]]))
        return self._count

    def reply(self) -> list:
        while True:
            for message in self._unpacker:
                return message
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server has closed the connection")
            self._unpacker.feed(data)

    def call(self, method: str, *arguments: object) -> object:
        self.send(method, *arguments)
        return self.reply()[3]

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "RawRpc":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RawStream:
    """A stream's frames as bytes, without their length prefix."""

    def __init__(self, port: int, stream: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=20)
        self.socket.sendall(struct.pack("<I", stream))

    def frame(self) -> bytes:
        (size,) = struct.unpack("<I", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the stream has ended")
            data += part
        return bytes(data)

    def close(self) -> None:
        self.socket.close()


@dataclass
class SyncWorld:
    """A synchronous world of 0.05 s steps, and what tests do with it all the time."""

    client: carla.Client
    world: carla.World
    port: int

    def __post_init__(self) -> None:
        self._listening: list[carla.Sensor] = []
        self.map = self.world.get_map()
        self.spawn_points = self.map.get_spawn_points()
        self.blueprints = self.world.get_blueprint_library()

    def spawn(self, blueprint: str, place: carla.Transform, parent: carla.Actor | None = None, **attributes: object):
        definition = self.blueprints.find(blueprint)
        for name, value in attributes.items():
            definition.set_attribute(name, str(value))
        return self.world.spawn_actor(definition, place, attach_to=parent)

    def car(self, spawn_point: int = 0, blueprint: str = "vehicle.tesla.model3") -> carla.Vehicle:
        """A car that stands on the ground."""
        place = self.spawn_points[spawn_point]
        place.location.z = 0.0
        car = self.spawn(blueprint, place)
        self.world.tick()
        return car

    def ticks(self, count: int) -> int:
        for _ in range(count):
            frame = self.world.tick()
        return frame

    def camera(self, kind: str, parent: carla.Actor, **attributes: object) -> tuple[carla.Sensor, queue.Queue]:
        place = carla.Transform(carla.Location(1.6, 0.0, 1.5))
        attributes = {"image_size_x": 64, "image_size_y": 36} | attributes
        return self.listen(self.spawn(f"sensor.camera.{kind}", place, parent, **attributes))

    def listen(self, sensor: carla.Sensor) -> tuple[carla.Sensor, queue.Queue]:
        events: queue.Queue = queue.Queue()
        sensor.listen(events.put)
        self._listening.append(sensor)  # the wheel stops listening when it forgets a sensor
        return sensor, events

    def clear(self) -> None:
        """Remove what a test has spawned, and put the world back to where it was."""
        self.world.tick()
        for sensor in self._listening:
            if sensor.is_listening:
                sensor.stop()
        self._listening.clear()
        keep = ("traffic.traffic_light", "spectator")
        ids = [actor.id for actor in self.world.get_actors() if actor.type_id not in keep]
        self.client.apply_batch_sync([carla.command.DestroyActor(actor_id) for actor_id in ids], False)
        self.world.freeze_all_traffic_lights(False)
        self.world.reset_all_traffic_lights()
        self.world.set_weather(carla.WeatherParameters.ClearNoon)


def synchronous(server: ServerProcess, delta_s: float = 0.05) -> SyncWorld:
    client = server.client()
    world = client.get_world()
    settings = carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=delta_s)
    world.apply_settings(settings)
    return SyncWorld(client, world, server.port)


def wait_until(condition, timeout_s: float = 60.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
