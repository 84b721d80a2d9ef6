"""RPC methods of the recorder and the replayer."""

import asyncio

from minicarla.geometry.types import Pose
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Wire
from minicarla.recorder.incident_text import CATEGORIES
from minicarla.simulation import Simulation

methods = Methods()
MAX_TIME_FACTOR = 1000.0
_BEHIND: Wire = [[-10.0, 0.0, 5.0], [-25.0, 0.0, 0.0]]  # the wheel's default offset


@methods.value
def start_recorder(sim: Simulation, client: RpcConnection, name: str, additional_data: bool = False) -> str:
    """`Client.start_recorder`: simplified: without doors, bones and street lights.

    Where a file cannot be written CARLA answers with an empty path, and minicarla with an error.
    """
    return sim.recorder.start(name, sim.map_name, bool(additional_data))


@methods.void
def stop_recorder(sim: Simulation, client: RpcConnection) -> None:
    """`Client.stop_recorder`."""
    sim.recorder.stop()


@methods.value
def show_recorder_file_info(sim: Simulation, client: RpcConnection, name: str, show_all: bool) -> "asyncio.Task[str]":
    """`Client.show_recorder_file_info`: CARLA's text, with a line at its end about a file that is damaged."""
    return sim.loop.create_task(sim.recorder.file_info(name, bool(show_all)))


@methods.value
def show_recorder_collisions(
    sim: Simulation, client: RpcConnection, name: str, type1: int, type2: int
) -> "asyncio.Task[str]":
    """`Client.show_recorder_collisions`: those that a collision sensor has seen."""
    return sim.loop.create_task(sim.recorder.collisions(name, _category(type1), _category(type2)))


def _category(value: object) -> str:
    letter = chr(value) if isinstance(value, int) and 0 <= value < 128 else value
    if letter not in CATEGORIES:
        raise RpcError(f"a type of actor must be one of {', '.join(CATEGORIES)}, not {rpc_types.shown(letter)}")
    return str(letter)


@methods.value
def show_recorder_actors_blocked(
    sim: Simulation, client: RpcConnection, name: str, min_time: float, min_distance: float
) -> "asyncio.Task[str]":
    """`Client.show_recorder_actors_blocked`: seconds and centimetres."""
    limits = (rpc_types.number(min_time, "time"), rpc_types.number(min_distance, "distance"))
    return sim.loop.create_task(sim.recorder.actors_blocked(name, *limits))


@methods.value
def replay_file(
    sim: Simulation,
    client: RpcConnection,
    name: str,
    start: float,
    duration: float,
    follow_id: int,
    replay_sensors: bool = False,
    offset: Wire = _BEHIND,
) -> "asyncio.Task[str]":
    """`Client.replay_file`: simplified: replayed actors stop what runs into them; wheels and doors do not move."""
    place: Pose = rpc_types.pose(offset)
    times = (rpc_types.number(start, "start"), rpc_types.number(duration, "duration"))
    followed = rpc_types.identifier(follow_id)
    replay = sim.recorder.replay(
        name, *times, followed, bool(replay_sensors), place, lambda: sim.map_name, lambda town: sim.load(town, True)
    )
    return sim.loop.create_task(replay)


@methods.void
def stop_replayer(sim: Simulation, client: RpcConnection, keep_actors: bool) -> None:
    """`Client.stop_replayer`: unless they are kept, those actors go that the rest of the recording removes."""
    sim.recorder.stop_replay(bool(keep_actors))


@methods.void
def set_replayer_time_factor(sim: Simulation, client: RpcConnection, time_factor: float) -> None:
    """`Client.set_replayer_time_factor`: of this and later replays; from 2 on actors are not interpolated."""
    factor = rpc_types.number(time_factor, "time factor")
    if not 0.0 <= factor <= MAX_TIME_FACTOR:
        raise RpcError(f"a time factor must lie in [0, {MAX_TIME_FACTOR:g}], not {factor}")
    sim.recorder.settings.time_factor = factor


@methods.void
def set_replayer_ignore_hero(sim: Simulation, client: RpcConnection, ignore_hero: bool) -> None:
    """`Client.set_replayer_ignore_hero`: whose `role_name` is hero."""
    sim.recorder.settings.ignore_hero = bool(ignore_hero)


@methods.void
def set_replayer_ignore_spectator(sim: Simulation, client: RpcConnection, ignore_spectator: bool) -> None:
    """`Client.set_replayer_ignore_spectator`."""
    sim.recorder.settings.ignore_spectator = bool(ignore_spectator)
