"""RPC methods about the world as a whole: episode, map, settings, ticks, weather, Traffic Manager registry."""

import asyncio
import dataclasses
from typing import Any

from minicarla import limits
from minicarla.navigation.files import navigation_file_name
from minicarla.protocol import rpc_types, wire
from minicarla.protocol.reply_pacing import MAX_CHANGE_S, ReplyPacing
from minicarla.protocol.rpc import Aside, Method, Methods, Result, RpcConnection, RpcError
from minicarla.protocol.rpc_types import EpisodeSettings, Wire
from minicarla.render.weather import Weather
from minicarla.simulation import Simulation
from minicarla.world import blueprints

methods = Methods()
MAP_FOLDER = "Carla/Maps/"
NAVIGATION_FOLDER = "Nav"
MAX_PORT = 65535  # other clients are given it, and could not decode a larger one
_NO_TRAFFIC_MANAGER: Wire = ["", 0]


@methods.value
def version(sim: Simulation, client: RpcConnection) -> str:
    """`Client.get_server_version`: the protocol version, which the client compares with its own."""
    return wire.CARLA_VERSION


@methods.value
def get_episode_info(sim: Simulation, client: RpcConnection) -> Wire:
    """`Client.get_world`: episode id and the token of the snapshot stream."""
    return [sim.state.episode, [wire.token(wire.SNAPSHOT_STREAM, sim.streams.port)]]


@methods.value
def get_sensor_token(sim: Simulation, client: RpcConnection, stream: int) -> Wire:
    """`Sensor.listen`: the next tick waits for the subscription that is about to come."""
    if not sim.streams.exists(rpc_types.identifier(stream, "stream id")):
        raise RpcError(f"there is no stream {stream}: its sensor has been destroyed")
    if stream == wire.SNAPSHOT_STREAM and client.reply_pacing is not None:
        client.reply_pacing.end_change()
    sim.streams.expect(stream, sim.loop.time(), client)
    return [wire.token(stream, sim.streams.port)]


def get_episode_settings(sim: Simulation, client: RpcConnection) -> Wire | Aside:
    """`World.get_settings`.

    A Traffic Manager asks while a tick may already be waiting for its question, so it is answered at once. It is not
    while the world changes under it (`reply_pacing`).
    """
    change = None if client.reply_pacing is None else client.reply_pacing.settings_asked()
    if change is not None:
        return Aside(sim.loop.create_task(_settings_after(sim, change)))
    return sim.state.settings.wire()


async def _settings_after(sim: Simulation, change: "asyncio.Future[None]") -> Wire:
    await asyncio.wait([change], timeout=MAX_CHANGE_S)
    return sim.state.settings.wire()


methods["get_episode_settings"] = Method(get_episode_settings, Result.VALUE, overtakes=True)


@methods.value
def set_episode_settings(sim: Simulation, client: RpcConnection, settings: Wire) -> "int | asyncio.Future[int]":
    """`World.apply_settings`: they hold from the next tick on.

    The client waits for the frame that is the answer: in a synchronous simulation the last one, in an asynchronous one
    the first to which the settings apply.
    """
    sim.state.settings = EpisodeSettings.parse(settings)
    sim.set_clock()
    return sim.state.frame if sim.state.settings.synchronous else sim.clock.at_next_tick(lambda frame: frame)


@methods.value
def tick_cue(sim: Simulation, client: RpcConnection) -> "int | asyncio.Future[int]":
    """`World.tick`: one step in synchronous mode; in asynchronous mode it waits for the next one."""
    return sim.tick_when_settled(client, lambda frame: frame)


@methods.value
def get_map_info(sim: Simulation, client: RpcConnection) -> Wire:
    """`World.get_map`: simplified: name and spawn points, which are others than on CARLA."""
    return [MAP_FOLDER + sim.map_name, [rpc_types.transform(point) for point in sim.state.town.spawn_points]]


@methods.value
def get_map_data(sim: Simulation, client: RpcConnection) -> str:
    """`World.get_map`: the OpenDRIVE text."""
    return sim.state.town.xodr


@methods.value
def get_required_files(sim: Simulation, client: RpcConnection, folder: str) -> Wire:
    """`Client.get_required_files`: the navigation mesh under "Nav"; clients get the map by `World.get_map`."""
    name = navigation_file_name(sim.state.town) if folder == NAVIGATION_FOLDER else None
    return [] if name is None else [name]


@methods.value
def request_file(sim: Simulation, client: RpcConnection, name: str) -> bytes:
    """`Client.request_file`: the current town's navigation mesh, on which the client's crowd walks."""
    if rpc_types.text(name, "file name") != navigation_file_name(sim.state.town):
        raise RpcError(f"there is no file {name!r:.80}: see client.get_required_files('{NAVIGATION_FOLDER}')")
    return sim.navigation.content(sim.state.town)


@methods.value
def get_available_maps(sim: Simulation, client: RpcConnection) -> Wire:
    """`Client.get_available_maps`: what `Client.load_world` accepts."""
    return [MAP_FOLDER + name for name in sim.town_names()]


@methods.void
def load_new_episode(
    sim: Simulation, client: RpcConnection, name: str, reset_settings: bool = True, layers: int = 0
) -> "asyncio.Task[None] | Aside | None":
    """`Client.load_world`, `Client.reload_world`: no map has layers; `Town01_Opt` is Town01.

    To reload, the client sends an empty name.
    """
    town = rpc_types.text(name, "map name").rpartition("/")[2]
    if client.reply_pacing is None:
        return sim.load(town, bool(reset_settings))
    return Aside(sim.loop.create_task(_load_beside_traffic(sim, client.reply_pacing, town, bool(reset_settings))))


async def _load_beside_traffic(sim: Simulation, pacing: ReplyPacing, town: str, reset_settings: bool) -> None:
    await pacing.begin_change()
    try:
        loading = sim.load(town, reset_settings)
        if loading is not None:
            await loading
    except BaseException:
        pacing.end_change()
        raise
    pacing.end_change(MAX_CHANGE_S)  # or as soon as the client reads the new episode


@methods.void
def copy_opendrive_to_file(
    sim: Simulation, client: RpcConnection, xodr: str, parameters: Wire
) -> "asyncio.Future[None]":
    """`Client.generate_opendrive_world`: simplified: the mesh parameters mean nothing here."""
    return sim.loop.create_task(sim.take_opendrive(rpc_types.text(xodr, "OpenDRIVE")))


@methods.value
def get_actor_definitions(sim: Simulation, client: RpcConnection) -> list[Wire]:
    """`World.get_blueprint_library`."""
    return blueprints.definitions()


@methods.value
def get_weather_parameters(sim: Simulation, client: RpcConnection) -> Wire:
    """`World.get_weather`: 14 numbers in CARLA's order."""
    return list(vars(sim.state.weather).values())  # a Traffic Manager asks at every tick


@methods.void
def set_weather_parameters(sim: Simulation, client: RpcConnection, weather: Wire) -> None:
    """`World.set_weather`: simplified: wind, fog falloff and Mie scattering change nothing."""
    sim.state.weather = Weather(*rpc_types.numbers(weather, len(dataclasses.fields(Weather)), "weather"))


@methods.value
def is_traffic_manager_running(sim: Simulation, client: RpcConnection, port: int) -> bool:
    """`Client.get_trafficmanager`: whether a client has a Traffic Manager on that port."""
    return rpc_types.identifier(port, "port") in sim.traffic_managers


@methods.value
def get_traffic_manager_running(sim: Simulation, client: RpcConnection, port: int) -> Wire:
    """`Client.get_trafficmanager`: host and port by which other clients find it."""
    return sim.traffic_managers.get(rpc_types.identifier(port, "port"), _NO_TRAFFIC_MANAGER)


@methods.value
def add_traffic_manager_running(sim: Simulation, client: RpcConnection, endpoint: Wire) -> bool:
    """`Client.get_trafficmanager`: registered until its client leaves.

    A stale one would cost the next client seconds.
    """
    host, port = rpc_types.items(endpoint, "endpoint", at_least=2)[:2]
    entry: Wire = [rpc_types.text(host, "host", limits.MAX_NAME_LENGTH), port]
    if not 0 < rpc_types.identifier(port, "port") <= MAX_PORT:
        raise RpcError(f"there is no port {port}")
    if port in sim.traffic_managers:
        return False
    if len(client.traffic_managers) >= limits.MAX_TRAFFIC_MANAGERS:
        raise RpcError(f"a client can have {limits.MAX_TRAFFIC_MANAGERS} Traffic Managers, not more")
    sim.traffic_managers[port] = entry
    client.traffic_managers.add(port)
    client.reply_pacing = client.reply_pacing or ReplyPacing()
    return True


@methods.value
def destroy_traffic_manager(sim: Simulation, client: RpcConnection, port: int) -> bool:
    """`TrafficManager.shut_down`."""
    return sim.traffic_managers.pop(rpc_types.identifier(port, "port"), None) is not None


@methods.value
def query_lights_state(sim: Simulation, client: RpcConnection, endpoint: str) -> Wire:
    """`World.get_lightmanager`: simplified: the towns have no street lights."""
    return []


@methods.void
def update_lights_state(sim: Simulation, client: RpcConnection, *_: Any) -> None:
    """`LightManager.turn_on`, `LightManager.turn_off`: simplified: the towns have no street lights."""


@methods.void
def update_day_night_cycle(sim: Simulation, client: RpcConnection, *_: Any) -> None:
    """`LightManager.set_day_night_cycle`: simplified: the towns have no street lights."""


@methods.void
def draw_debug_shape(sim: Simulation, client: RpcConnection, shape: Wire) -> None:
    """`World.debug`: simplified: accepted and not drawn."""


@methods.void
def clear_debug_shape(sim: Simulation, client: RpcConnection) -> None:
    """`DebugHelper.clear_debug_shape`: there are none."""


@methods.void
def clear_debug_string(sim: Simulation, client: RpcConnection) -> None:
    """`DebugHelper.clear_debug_string`: there are none."""
