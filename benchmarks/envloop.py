"""How fast does the env loop turn, and where does the time go? Figures are minicarla's, never CARLA's.

python -m benchmarks.envloop [--cores 1] [--steps 1000] [--repetitions 3] [--json FILE]
"""

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import carla
import numpy as np
import psutil

from avtd3_jax.settings.config_file import load
from benchmarks.common import OF_RECORD, repeat, seconds
from envloop.baselines.route_follower import RouteFollower
from envloop.client.simulator import Simulator
from envloop.config import EnvConfig, SimulatorConfig
from envloop.env import CarlaEnv
from envloop.task.observation import grey_84, vector_observation
from envloop.task.scenario import NPC_VEHICLES
from reporting.machine import machine
from reporting.publish import Spread, parser, publish


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--cores", type=int, default=1, help="client and server together may use so many")
    options.add_argument("--steps", type=int, default=1000, help="per repetition")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--scenarios", nargs="*", default=list(NPC_VEHICLES))
    args = options.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])  # inherited by the server

    where = machine()
    rows = [bare_client(args.steps, args.repetitions, camera) for camera in (False, True)]
    rows += [environment(scenario, args.steps, args.repetitions) for scenario in args.scenarios]
    rows += preprocessing(args.repetitions)
    publish(rows, where, args.json)


def bare_client(steps: int, repetitions: int, camera: bool) -> dict[str, Any]:
    """The stock client alone: control, tick, wait for the picture of that tick."""
    with Simulator(SimulatorConfig()) as simulator, spawned(simulator.world, camera) as (car, pictures):

        def drive() -> None:
            for _ in range(steps):
                car.apply_control(carla.VehicleControl(throttle=0.3))
                frame = simulator.tick()
                while pictures is not None and pictures.get(timeout=10.0) < frame:
                    pass

        return _row(f"bare client, {'256x144 camera' if camera else 'no camera'}", simulator, drive, steps, repetitions)


@contextmanager
def spawned(world: carla.World, camera: bool) -> Iterator[tuple[carla.Vehicle, "queue.Queue[int] | None"]]:
    """A car, and the frame numbers of its camera's pictures where it has one."""
    library = world.get_blueprint_library()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
    if not camera:
        yield car, None
        return
    blueprint = library.find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", "256")
    blueprint.set_attribute("image_size_y", "144")
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(x=1.6, z=1.5)), attach_to=car)
    pictures: queue.Queue[int] = queue.Queue()
    sensor.listen(lambda picture: pictures.put(picture.frame))
    yield car, pictures
    sensor.stop()


def environment(scenario: str, steps: int, repetitions: int) -> dict[str, Any]:
    """CarlaEnv, driven along route 0 by the scripted follower, a tick a step; resets are timed apart."""
    with closing(CarlaEnv(load(OF_RECORD, {"scenario": scenario}).driving)) as env:
        follower = RouteFollower()
        resets: list[float] = []

        def reset() -> None:
            began = time.perf_counter()
            env.reset(seed=len(resets), options={"start": "beginning"})
            resets.append(time.perf_counter() - began)
            follower.reset()

        reset()
        driving = [0.0]

        def drive() -> None:
            for _ in range(steps):
                began = time.perf_counter()
                episode = env.episode
                target = env.route_task.profile.at(episode.projection.s)
                action = follower.act(
                    episode.ego, env.route_task.route, episode.projection, target, 0.05, episode.lead.gap_m
                )
                _, _, terminated, truncated, _ = env.step(action)
                driving[0] += time.perf_counter() - began
                if terminated or truncated:
                    reset()

        name = f"CarlaEnv, {NPC_VEHICLES[scenario]} NPC vehicles"
        row = _row(name, env.simulator, drive, steps, repetitions, lambda: driving[0])
        return row | {"reset ms": Spread.of([1e3 * t for t in resets[1:] or resets])}


def _row(
    name: str,
    simulator: Simulator,
    drive: Callable[[], None],
    steps: int,
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Steps per second by `clock`, and the processor time of client and server per step."""
    server, client = psutil.Process(simulator.server_pid), psutil.Process()
    used: list[tuple[float, float]] = []

    def once() -> float:
        began, before = clock(), (_cpu(client), _cpu(server))
        drive()
        used.append((_cpu(client) - before[0], _cpu(server) - before[1]))
        return steps / (clock() - began)

    rate = repeat(once, repetitions)
    of_client, of_server = (1e3 * float(np.median([u[i] for u in used[1:]])) / steps for i in (0, 1))
    return {"what": name, "steps/s": rate, "client CPU ms": of_client, "server CPU ms": of_server}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def preprocessing(repetitions: int, calls: int = 500) -> list[dict[str, Any]]:
    """What CarlaEnv adds in pure Python per step: the picture to 84x84, the 23 numbers."""
    with closing(CarlaEnv(EnvConfig())) as env:
        env.reset(seed=0, options={"start": "beginning"})
        picture = np.random.default_rng(0).integers(0, 256, (144, 256, 4), np.uint8)
        episode, route_task, config = env.episode, env.route_task, env.config.vector

        def vectors() -> None:
            for _ in range(calls):
                vector_observation(episode.ego, episode.projection, route_task.route, config)

        def pictures() -> None:
            for _ in range(calls):
                grey_84(picture)

        def per_call(work: Callable[[], None]) -> float:
            return 1e3 * seconds(work) / calls

        return [
            {"what": name, "ms": repeat(partial(per_call, work), repetitions)}
            for name, work in (("picture to 84x84 grey", pictures), ("vector of 23", vectors))
        ]


if __name__ == "__main__":
    main()
