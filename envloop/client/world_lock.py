"""The lock on a server's world: one server serves one environment, and a second one is refused.

An environment's actors are its lock, for they carry its owner's name: one Simulator object of one process. As with any
lock, what a dead owner left behind is stale and is removed.
"""

import itertools
import os
import socket
from pathlib import Path

import carla

from envloop.client.errors import carla_calls
from envloop.errors import SimulatorError

_PREFIX = "avtd3-"
_COUNTER = itertools.count()
_STARTTIME = 22 - 4  # field 22 of /proc/PID/stat, of those after the state


def new_owner() -> str:
    """Name of an owner: host, process id, the process's start time (ids are reused), a number within the process."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_start_time(pid)}:{next(_COUNTER)}"


def role_name(kind: str, owner: str) -> str:
    """Value of the blueprint attribute `role_name` for an actor of `owner`; kind is "ego" or "npc"."""
    return f"{_PREFIX}{kind}:{owner}"


def lock_world(client: carla.Client, world: carla.World, owner: str, address: str) -> None:
    """Takes the world for `owner`: removes what it or a dead owner left there.

    Raises:
      SimulatorError: another environment is using this simulator, or it is lost.
    """
    with carla_calls(address):
        actors = world.get_actors()
        bodies = [*actors.filter("vehicle.*"), *actors.filter("walker.*")]
        names = [(body.id, body.attributes.get("role_name", "")) for body in bodies]
        attached = [*actors.filter("sensor.*"), *actors.filter("controller.*")]
        parents = [(actor.id, _parent_id(actor)) for actor in attached]
    leftovers = set()
    for body, name in names:
        other = name.partition(_PREFIX)[2].partition(":")[2]
        if not other:
            continue
        if other != owner and _in_use(other):
            host, pid, *_ = other.split(":")
            raise SimulatorError(
                f"The simulator at {address} already serves another environment (process {pid} on {host}); "
                "one simulator serves one environment: start a second one on another port."
            )
        leftovers.add(body)
    if leftovers:
        children = [child for child, parent in parents if parent in leftovers]
        with carla_calls(address):
            commands = [carla.command.DestroyActor(actor) for actor in [*children, *sorted(leftovers)]]
            client.apply_batch_sync(commands, False)


def _in_use(owner: str) -> bool:
    """Whether an owner still lives; one on another host cannot be asked and counts as alive."""
    host, pid, start_time, _ = owner.split(":")
    if host != socket.gethostname():
        return True
    return _start_time(int(pid)) == int(start_time)


def _start_time(pid: int) -> int:
    """Clock ticks from the machine's start to the process's; -1 where there is none, or none any more.

    A time of day would be another one, and a living owner dead, after somebody has set the clock.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    state, *fields = stat.rpartition(")")[2].split()
    return -1 if state in "ZX" else int(fields[_STARTTIME])


def _parent_id(actor: carla.Actor) -> int | None:
    return None if actor.parent is None else int(actor.parent.id)
