"""One row of `benchmarks.envloop`, in a process of its own: python -P envloop_row.py JSON.

It runs with the packages of whatever checkout PYTHONPATH names first, so it uses only what the commits before have too.
"""

import json
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import carla
import numpy as np
import psutil

from avtd3_jax.settings.config_file import load
from benchmarks.common import OF_RECORD
from envloop.baselines.route_follower import RouteFollower
from envloop.client.simulator import Simulator
from envloop.client.traffic import Traffic
from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv

CLEARANCE_M = 10.0  # around the car
READY = "ready"  # as in `benchmarks.turns`, which the commits before may lack


def main() -> None:
    """The command."""
    wanted = json.loads(sys.argv[1])
    with ExitStack() as stack:
        driven: _Client | _Environment
        if "scenario" in wanted:
            driven = stack.enter_context(closing(_Environment(wanted["scenario"], wanted["walkers"])))
        else:
            driven = _Client(stack, wanted["camera"], wanted.get("vehicles", 0))
        driven.drive(wanted["steps"])  # what does not count
        turns = []
        for _ in range(wanted["repetitions"]):
            print(READY, flush=True)
            sys.stdin.readline()
            turns.append(driven.turn(wanted["steps"]))
    print(json.dumps({"turns": turns}))


class _Driven:
    """What can be driven, and how long its processes work for it."""

    simulator: Simulator

    def drive(self, steps: int) -> float:
        """So many steps; the seconds that they take."""
        raise NotImplementedError

    def turn(self, steps: int) -> dict[str, float]:
        """The figures of a turn."""
        before = self._cpu()
        seconds = self.drive(steps)
        after = self._cpu()
        cpu = {f"{name} CPU ms": 1e3 * (after[name] - before[name]) / steps for name in after}
        rest = sum(used for name, used in cpu.items() if not name.startswith("server"))
        return {"steps/s": steps / seconds, **cpu, "floor steps/s": 1e3 / max(rest, 1e-3)}

    def _cpu(self) -> dict[str, float]:
        """Seconds of processor time so far: this client's, its Traffic Manager's, the server's."""
        me = psutil.Process()
        server = psutil.Process(self.simulator.server_pid)
        others = [child for child in me.children() if child.pid != server.pid]
        return {
            "client": _used(me),
            "Traffic Manager": sum(_used(child) for child in others),
            "server": _used(server),
        }


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended
        return 0.0
    return float(times.user + times.system)


class _Client(_Driven):
    """The stock client alone: control, tick, wait for the picture of that tick.

    With vehicles a stock Traffic Manager drives them, and makes the ticks, as in CarlaEnv.
    """

    def __init__(self, stack: ExitStack, camera: tuple[int, int] | None, vehicles: int) -> None:
        self.simulator = stack.enter_context(Simulator(SimulatorConfig()))
        self._car, self._pictures = stack.enter_context(_spawned(self.simulator.world, camera))
        if vehicles:
            place = self.simulator.map.get_spawn_points()[0].location
            traffic = stack.enter_context(closing(Traffic(self.simulator)))
            traffic.spawn(vehicles, 0, (place.x, place.y), CLEARANCE_M, 0.0, vehicles)

    def drive(self, steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            self._car.apply_control(carla.VehicleControl(throttle=0.3))
            frame = self.simulator.tick()
            while self._pictures is not None and self._pictures.get(timeout=10.0) < frame:
                pass
        return time.perf_counter() - began


@contextmanager
def _spawned(world: carla.World, camera: tuple[int, int] | None) -> Iterator[tuple[carla.Vehicle, Any]]:
    """A car, and the frame numbers of its camera's pictures where it has one."""
    library = world.get_blueprint_library()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
    if camera is None:
        yield car, None
        return
    blueprint = library.find("sensor.camera.rgb")
    for name, value in zip(("image_size_x", "image_size_y"), camera, strict=True):
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(x=1.6, z=1.5)), attach_to=car)
    pictures: queue.Queue[int] = queue.Queue()
    sensor.listen(lambda picture: pictures.put(picture.frame))
    yield car, pictures
    sensor.stop()


class _Environment(_Driven):
    """CarlaEnv, driven along route 0 by the scripted follower, a tick a step; resets are timed apart."""

    def __init__(self, scenario: str, walkers: int) -> None:
        values: dict[str, Any] = {"scenario": scenario}
        if walkers:
            values["env.walkers"] = walkers
        self._env = CarlaEnv(load(OF_RECORD, values).driving)
        self.simulator = self._env.simulator
        self._follower = RouteFollower()
        self._resets: list[float] = []
        self._reset()

    def close(self) -> None:
        self._env.close()

    def _reset(self) -> None:
        began = time.perf_counter()
        self._env.reset(seed=len(self._resets), options={"start": "beginning"})
        self._resets.append(time.perf_counter() - began)
        self._follower.reset()

    def drive(self, steps: int) -> float:
        env, driving = self._env, 0.0
        for _ in range(steps):
            began = time.perf_counter()
            episode = env.episode
            target = env.route_task.profile.at(episode.projection.s)
            action = self._follower.act(
                episode.ego, env.route_task.route, episode.projection, target, 0.05, episode.lead.gap_m
            )
            _, _, terminated, truncated, _ = env.step(action)
            driving += time.perf_counter() - began
            if terminated or truncated:
                self._reset()
        return driving

    def turn(self, steps: int) -> dict[str, float]:
        """Each ends with a reset, so that every turn has one to time."""
        found = super().turn(steps)
        self._reset()
        return found | {"reset ms": 1e3 * float(np.median(self._resets[1:]))}


if __name__ == "__main__":
    main()
