"""The simulator that is asked, and what several checks do with it: a car, a camera, ticks, pictures by frame."""

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.ego import BLUEPRINT
from envloop.client.simulator import Simulator
from envloop.client.world_lock import role_name
from envloop.config import CameraConfig
from envloop.errors import TaskError

CAMERA = CameraConfig()
_SPAWN_HEIGHT_M = 0.5
_SETTLE_TICKS = 10
_STRAIGHT_DEG = 1.0


@dataclass(frozen=True)
class Effort:
    """How long the checks look.

    Attributes:
      ticks: of clock and camera.
      resets: of the environment, while memory is watched.
      steps: of the environment, while they are timed.
      traffic_ticks: that cars and walkers are watched for.
      vehicles, walkers: how many.
    """

    ticks: int = 200
    resets: int = 200
    steps: int = 300
    traffic_ticks: int = 100
    vehicles: int = 10
    walkers: int = 10


QUICK = Effort(ticks=40, resets=20, steps=40, traffic_ticks=40, vehicles=5, walkers=5)


@dataclass
class Subject:
    """A started simulator and how to ask it.

    Attributes:
      simulator: in synchronous mode, taken for this process.
      effort: how long to look.
      server_pid: process whose memory is watched; None where it is not known.
      tell: told of progress: done, of how many.
    """

    simulator: Simulator
    effort: Effort
    server_pid: int | None
    tell: Callable[[int, int], None]
    _straight: dict[tuple[int, float], list[carla.Transform]] = field(default_factory=dict)

    @property
    def world(self) -> carla.World:
        return self.simulator.world

    @property
    def timeout_s(self) -> float:
        return self.simulator.config.timeout_s

    def counted(self, total: int) -> Iterator[int]:
        """0 to `total` - 1, with progress."""
        for i in range(total):
            self.tell(i, total)
            yield i

    def ticks(self, count: int) -> int:
        """Makes ticks; the last frame number."""
        for _ in range(count):
            frame = self.simulator.tick()
        return frame

    def straight_places(self, metres: float) -> list[carla.Transform]:
        """Places on driving lanes with so many metres of straight road ahead, outside of junctions.

        Raises:
          TaskError: the map has none.
        """
        known = self.simulator.generation, metres
        if known not in self._straight:
            self._straight[known] = self._find_straight_places(metres)
        return self._straight[known]

    def _find_straight_places(self, metres: float) -> list[carla.Transform]:
        carla_map = self.simulator.map
        places = []
        for point in carla_map.get_spawn_points():
            here = carla_map.get_waypoint(point.location)
            steps = [here, *(here.next(s)[:1] for s in np.arange(5.0, metres + 1.0, 5.0))]
            way = [here, *(step[0] for step in steps[1:] if step)]
            if len(way) == len(steps) and all(_is_straight(here, step) for step in way):
                places.append(raised(here.transform))
        if not places:
            raise TaskError(
                f"{carla_map.name} has no {metres:g} m of straight road at any spawn point: ask another town."
            )
        return places

    def spawn_car(self, place: carla.Transform) -> carla.Vehicle:
        """A car that the next tick shows. Left behind, it is removed when this simulator is taken again."""
        model = self.world.get_blueprint_library().find(BLUEPRINT)
        model.set_attribute("role_name", role_name("ego", self.simulator.owner))
        return self.world.spawn_actor(model, place)

    @contextmanager
    def car(self, place: carla.Transform) -> Iterator[carla.Vehicle]:
        """A car that stands on its wheels at `place`; gone afterwards."""
        with self.destroyed(self.spawn_car(place)) as car:
            self.ticks(_SETTLE_TICKS)
            yield car

    @contextmanager
    def destroyed(self, actor: Any) -> Iterator[Any]:
        """The actor is destroyed at the end of the block, and a tick shows it."""
        try:
            self.simulator.tick()  # an actor that no snapshot has shown can be neither moved nor destroyed
            yield actor
        finally:
            with contextlib.suppress(RuntimeError):  # of a simulator that is lost, the check's own error tells
                actor.destroy()
                self.simulator.tick()

    @contextmanager
    def sensor(
        self, kind: str, parent: carla.Actor, hear: Callable[[Any], None], place: carla.Transform | None = None
    ) -> Iterator[carla.Sensor]:
        """A sensor on `parent` that `hear` listens to. What it is told comes in a thread of the client's."""
        blueprint = self.world.get_blueprint_library().find(kind)
        if kind.startswith("sensor.camera"):
            for name, value in (("image_size_x", CAMERA.width), ("image_size_y", CAMERA.height)):
                blueprint.set_attribute(name, str(value))
            blueprint.set_attribute("fov", str(CAMERA.fov_deg))
        with (
            self.simulator.long_timeout(),  # the first camera of a server takes long
            self.destroyed(self.world.spawn_actor(blueprint, place or carla.Transform(), attach_to=parent)) as sensor,
        ):
            sensor.listen(hear)
            self.simulator.tick()
            try:
                yield sensor
            finally:
                if sensor.is_listening:
                    sensor.stop()

    @contextmanager
    def camera(self, parent: carla.Actor) -> Iterator["Pictures"]:
        """The task's front camera on a car, after its first picture."""
        inbox: queue.SimpleQueue[carla.Image] = queue.SimpleQueue()
        place = carla.Transform(carla.Location(x=CAMERA.x, z=CAMERA.z))
        with self.sensor("sensor.camera.rgb", parent, inbox.put, place):
            pictures = Pictures(inbox, self.timeout_s)
            pictures.of(self.simulator.tick())
            yield pictures


class Pictures:
    """What a camera sends, by frame number."""

    def __init__(self, inbox: "queue.SimpleQueue[carla.Image]", timeout_s: float) -> None:
        self._inbox = inbox
        self._timeout_s = timeout_s
        self._ahead: carla.Image | None = None  # came where an older one was asked for
        self.stale = 0  # came when their tick was over

    def of(self, frame: int) -> carla.Image | None:
        """The picture of that tick; None where a later one comes instead, or none in time."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            picture, self._ahead = self._ahead, None
            if picture is None:
                try:
                    picture = self._inbox.get(timeout=max(deadline - time.monotonic(), 1e-3))
                except queue.Empty:
                    return None
            if picture.frame == frame:
                return picture
            if picture.frame > frame:
                self._ahead = picture
                return None
            self.stale += 1


def _is_straight(here: carla.Waypoint, there: carla.Waypoint) -> bool:
    turned = (there.transform.rotation.yaw - here.transform.rotation.yaw + 180.0) % 360.0 - 180.0
    return abs(turned) < _STRAIGHT_DEG and not there.is_junction


def pixels(picture: carla.Image) -> NDArray[np.uint8]:
    """[H, W, 4] BGRA of a picture."""
    return np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4)


def raised(place: carla.Transform, up_m: float = _SPAWN_HEIGHT_M) -> carla.Transform:
    """The same place, so much higher: no wheel is spawned inside the road."""
    at = place.location
    return carla.Transform(carla.Location(at.x, at.y, at.z + up_m), place.rotation)


def ahead(place: carla.Transform, metres: float) -> carla.Transform:
    """A place so far ahead in its own direction."""
    return carla.Transform(place.location + place.get_forward_vector() * metres, place.rotation)


def mean_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two pictures' colours, 0 to 255."""
    return float(np.abs(one[..., :3].astype(np.int16) - other[..., :3]).mean())
