"""What do pedestrians cost the server? Figures are minicarla's, never CARLA's.

python -m benchmarks.crowd [--walkers 0 50 250] [--ticks 500] [--rounds 5] [--json FILE]

Walkers of Town01 walk by the stock client's own crowd, as generate_traffic.py's do, in a synchronous world. "server ms"
is the processor time of the server's process for a tick, "tick ms" what the client waits for one, crowd included.
Rounds follow each other in one world for each number of walkers; median, least and greatest.
"""

import random
import time
from typing import Any

import carla
import psutil

from envloop.client.minicarla_process import EmbeddedServer
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

_WARM_UP = 200  # ticks
_SEED = 1


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--walkers", type=int, nargs="+", default=[0, 50, 250])
    options.add_argument("--ticks", type=int, default=500, help="of a round")
    options.add_argument("--rounds", type=int, default=5)
    args = options.parse_args()
    rows = []
    for count in args.walkers:
        rows.append(measured(count, args.ticks, args.rounds))
        print(f"{count} walkers: {rows[-1]['server ms']} ms of the server's processor a tick", flush=True)
    publish(rows, machine(), args.json)


def measured(count: int, ticks: int, rounds: int) -> dict[str, Any]:
    """The row of `count` walkers."""
    server = EmbeddedServer(["--town", "Town01"], 120.0)
    try:
        client = carla.Client("127.0.0.1", server.port)
        client.set_timeout(60.0)
        world = client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        controllers = _crowd(world, count)
        process = psutil.Process(server.pid)
        _round(world, process, _WARM_UP)
        both = [_round(world, process, ticks) for _ in range(rounds)]
        for controller in controllers:
            controller.stop()
    finally:
        server.stop()
    return {
        "walkers": count,
        "server ms": Spread.of([cost for cost, _ in both]),
        "tick ms": Spread.of([wall for _, wall in both]),
    }


def _crowd(world: carla.World, count: int) -> list[Any]:
    """Controllers of so many walkers, each on its way."""
    world.set_pedestrians_seed(_SEED)
    rng, library = random.Random(_SEED), world.get_blueprint_library()
    kinds, controller = list(library.filter("walker.pedestrian.*")), library.find("controller.ai.walker")
    walkers: list[carla.Actor] = []
    while len(walkers) < count:
        place = carla.Transform(world.get_random_location_from_navigation())
        if (walker := world.try_spawn_actor(rng.choice(kinds), place)) is not None:
            walkers.append(walker)
    world.tick()
    controllers = [world.spawn_actor(controller, carla.Transform(), walker) for walker in walkers]
    world.tick()
    for each in controllers:
        each.start()
        each.go_to_location(world.get_random_location_from_navigation())
        each.set_max_speed(1.4)
    return controllers


def _round(world: carla.World, process: psutil.Process, ticks: int) -> tuple[float, float]:
    """The server's processor time and the client's waiting for a tick, ms."""
    began, used = time.perf_counter(), process.cpu_times()
    for _ in range(ticks):
        world.tick()
    wall, now = time.perf_counter() - began, process.cpu_times()
    return 1e3 * (now.user + now.system - used.user - used.system) / ticks, 1e3 * wall / ticks


if __name__ == "__main__":
    main()
