"""RPC methods about the world as a whole: episode, map, settings, ticks, weather, Traffic Manager registry."""

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from minicarla import limits
from minicarla.protocol import rpc_types, wire
from minicarla.protocol.reply_pacing import TrafficRhythm
from minicarla.protocol.rpc import Method, Methods, Result, RpcConnection, RpcError
from minicarla.protocol.rpc_types import EpisodeSettings, Wire
from minicarla.render.weather import Weather
from minicarla.world import blueprints

if TYPE_CHECKING:
    from minicarla.server import Server

methods = Methods()
MAP_FOLDER = "Carla/Maps/"
MAX_PORT = 65535  # other clients are given it, and could not decode a larger one
_NO_TRAFFIC_MANAGER: Wire = ["", 0]


@methods.value
def version(server: "Server", client: RpcConnection) -> str:
    """The protocol version that the client compares with its own."""
    return wire.CARLA_VERSION


@methods.value
def get_episode_info(server: "Server", client: RpcConnection) -> Wire:
    """Episode id and the token of the snapshot stream."""
    return [server.world.episode, [wire.token(wire.SNAPSHOT_STREAM, server.streams.port)]]


@methods.value
def get_sensor_token(server: "Server", client: RpcConnection, stream: int) -> Wire:
    """A client is about to subscribe: the next tick waits for it."""
    if not server.streams.exists(rpc_types.identifier(stream, "stream id")):
        raise RpcError(f"there is no stream {stream}: its sensor has been destroyed")
    server.streams.expect(stream, server.loop.time(), client)
    return [wire.token(stream, server.streams.port)]


def get_episode_settings(server: "Server", client: RpcConnection) -> Wire:
    """`World.get_settings`; a Traffic Manager asks while a tick may already be waiting for its question."""
    if client.rhythm is not None:
        client.rhythm.settings_asked()
    return server.world.settings.wire()


methods["get_episode_settings"] = Method(get_episode_settings, Result.VALUE, overtakes=True)


@methods.value
def set_episode_settings(server: "Server", client: RpcConnection, settings: Wire) -> int:
    """`World.apply_settings`; they hold from the next tick on, so there is no frame to wait for but the last."""
    server.world.settings = EpisodeSettings.parse(settings)
    server.pace()
    return server.world.frame


@methods.value
def tick_cue(server: "Server", client: RpcConnection) -> "int | asyncio.Task[int]":
    """`World.tick`: one step in synchronous mode; an asynchronous world ticks by itself."""
    return server.tick_when_settled(client, lambda frame: frame)


@methods.value
def get_map_info(server: "Server", client: RpcConnection) -> Wire:
    """Name and spawn points."""
    town = server.world.town
    return [MAP_FOLDER + town.name, [rpc_types.transform(point) for point in town.spawn_points]]


@methods.value
def get_map_data(server: "Server", client: RpcConnection) -> str:
    """The OpenDRIVE text."""
    return server.world.town.xodr


@methods.value
def get_required_files(server: "Server", client: RpcConnection, folder: str) -> Wire:
    """None: clients get the map by `get_map_data`."""
    return []


@methods.value
def get_available_maps(server: "Server", client: RpcConnection) -> Wire:
    """What `Client.load_world` accepts."""
    return [MAP_FOLDER + name for name in server.town_names()]


@methods.void
def load_new_episode(
    server: "Server", client: RpcConnection, name: str, reset_settings: bool = True, layers: int = 0
) -> None:
    """`Client.load_world` and `reload_world` (an empty name); map layers mean nothing here."""
    server.load(rpc_types.text(name, "map name").rpartition("/")[2], bool(reset_settings))


@methods.void
def copy_opendrive_to_file(
    server: "Server", client: RpcConnection, xodr: str, parameters: Wire
) -> "asyncio.Future[None]":
    """First half of `Client.generate_opendrive_world`; the mesh parameters mean nothing here."""
    return server.loop.create_task(server.take_opendrive(rpc_types.text(xodr, "OpenDRIVE")))


@methods.value
def get_actor_definitions(server: "Server", client: RpcConnection) -> list[Wire]:
    """`World.get_blueprint_library`."""
    return blueprints.definitions()


@methods.value
def get_weather_parameters(server: "Server", client: RpcConnection) -> Wire:
    """14 numbers in CARLA's order."""
    return list(dataclasses.astuple(server.world.weather))


@methods.void
def set_weather_parameters(server: "Server", client: RpcConnection, weather: Wire) -> None:
    """`World.set_weather`."""
    server.world.weather = Weather(*rpc_types.numbers(weather, len(dataclasses.fields(Weather)), "weather"))


@methods.value
def is_traffic_manager_running(server: "Server", client: RpcConnection, port: int) -> bool:
    """Whether a client has a Traffic Manager on that port."""
    return rpc_types.identifier(port, "port") in server.traffic_managers


@methods.value
def get_traffic_manager_running(server: "Server", client: RpcConnection, port: int) -> Wire:
    """Host and port of the Traffic Manager, by which other clients find it."""
    return server.traffic_managers.get(rpc_types.identifier(port, "port"), _NO_TRAFFIC_MANAGER)


@methods.value
def add_traffic_manager_running(server: "Server", client: RpcConnection, endpoint: Wire) -> bool:
    """Register a Traffic Manager until its client leaves: a stale one would cost the next client seconds."""
    host, port = rpc_types.items(endpoint, "endpoint", at_least=2)[:2]
    entry: Wire = [rpc_types.text(host, "host", limits.MAX_NAME_LENGTH), port]
    if not 0 < rpc_types.identifier(port, "port") <= MAX_PORT:
        raise RpcError(f"there is no port {port}")
    if port in server.traffic_managers:
        return False
    if len(client.traffic_managers) >= limits.MAX_TRAFFIC_MANAGERS:
        raise RpcError(f"a client can have {limits.MAX_TRAFFIC_MANAGERS} Traffic Managers, not more")
    server.traffic_managers[port] = entry
    client.traffic_managers.add(port)
    client.rhythm = client.rhythm or TrafficRhythm()
    return True


@methods.value
def destroy_traffic_manager(server: "Server", client: RpcConnection, port: int) -> bool:
    """`TrafficManager.shut_down`."""
    return server.traffic_managers.pop(rpc_types.identifier(port, "port"), None) is not None


@methods.value
def query_lights_state(server: "Server", client: RpcConnection, endpoint: str) -> Wire:
    """Street lights: the towns have none."""
    return []


@methods.void
def update_lights_state(server: "Server", client: RpcConnection, *_: Any) -> None:
    """Street lights: the towns have none."""


@methods.void
def update_day_night_cycle(server: "Server", client: RpcConnection, *_: Any) -> None:
    """Street lights: the towns have none."""


@methods.void
def draw_debug_shape(server: "Server", client: RpcConnection, shape: Wire) -> None:
    """Accepted and not drawn: sensors see what CARLA's see, which is no debug drawing either."""
