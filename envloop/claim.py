"""One server, one environment: actors carry their owner's name, so that a second environment is refused.

An owner is one Simulator object of one process. What a dead owner left behind on an external server is removed.
"""

import itertools
import os
import socket

import carla
import psutil

from envloop.probe import SimulatorError

_PREFIX = "avtd3-"
_COUNTER = itertools.count()


def new_owner() -> str:
    """Name of an owner: host, process id, the process's start time (ids are reused), a number within the process."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_start_time(pid)}:{next(_COUNTER)}"


def role_name(kind: str, owner: str) -> str:
    """Value of the blueprint attribute `role_name` for an actor of `owner`; kind is "ego" or "npc"."""
    return f"{_PREFIX}{kind}:{owner}"


def take_over(client: carla.Client, world: carla.World, owner: str, address: str) -> None:
    """Removes what `owner` or a dead owner left in the world.

    Raises:
      SimulatorError: another environment is using this simulator.
    """
    leftovers = set()
    for vehicle in world.get_actors().filter("vehicle.*"):
        _, _, other = vehicle.attributes.get("role_name", "").partition(_PREFIX)
        other = other.partition(":")[2]
        if not other:
            continue
        if other != owner and _in_use(other):
            host, pid, *_ = other.split(":")
            raise SimulatorError(
                f"The simulator at {address} already serves another environment (process {pid} on {host}); "
                "one simulator serves one environment: start a second one on another port."
            )
        leftovers.add(vehicle.id)
    if leftovers:
        sensors = [sensor.id for sensor in world.get_actors().filter("sensor.*") if _parent_id(sensor) in leftovers]
        client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in [*sensors, *sorted(leftovers)]], False)


def _in_use(owner: str) -> bool:
    """Whether an owner still lives; one on another host cannot be asked and counts as alive."""
    host, pid, start_time, _ = owner.split(":")
    if host != socket.gethostname():
        return True
    return psutil.pid_exists(int(pid)) and _start_time(int(pid)) == int(start_time)


def _start_time(pid: int) -> int:
    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return -1


def _parent_id(actor: carla.Actor) -> int | None:
    return None if actor.parent is None else int(actor.parent.id)
