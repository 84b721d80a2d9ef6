"""RPC methods that ask about the scene: level boxes, environment objects, rays."""

import math
from collections.abc import Iterator, Sequence

import carla

from minicarla.limits import MAX_RAY_M
from minicarla.maps import OrientedBox
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Wire
from minicarla.render.environment import environment_objects
from minicarla.simulation import Simulation
from minicarla.world.actors import Actor
from minicarla.world.state import world_box

methods = Methods()
# carla.CityObjectLabel
_BUILDINGS, _ROADS, _TERRAIN, _OTHER, _ANY = 3, 1, 10, 22, 255


@methods.value
def get_all_level_BBs(sim: Simulation, client: RpcConnection, tag: int) -> list[Wire]:  # noqa: N802 - CARLA's name
    """`World.get_level_bbs`: simplified: a road has one box; else environment objects, vehicles, walkers, props."""
    return [_wire_box(box) for label, box in _boxes(sim) if tag in (label, _ANY)]


@methods.value
def get_environment_objects(sim: Simulation, client: RpcConnection, tag: int) -> list[Wire]:
    """`World.get_environment_objects`: simplified: buildings, lights, signs, their poles, roads, sidewalks, trees."""
    return [
        [rpc_types.transform(thing.pose), _wire_box(thing.box), index, thing.name, int(thing.label)]
        for index, thing in enumerate(environment_objects(sim.state.town))
        if tag in (thing.label, _ANY)
    ]


@methods.value
def get_names_of_all_objects(sim: Simulation, client: RpcConnection) -> list[str]:
    """`World.get_names_of_all_objects`: the environment objects."""
    return [thing.name for thing in environment_objects(sim.state.town)]


@methods.void
def enable_environment_objects(sim: Simulation, client: RpcConnection, numbers: Wire, enabled: bool) -> None:
    """`World.enable_environment_objects`: simplified: whole in pictures, and houses alone can be run into.

    An id that is none is passed over, as on CARLA. Of a light the lower head and the post are hidden.
    """
    count = len(environment_objects(sim.state.town))
    asked = {rpc_types.identifier(number, "object id") for number in rpc_types.items(numbers, "object ids")}
    sim.state.enable_environment([number for number in asked if number < count], bool(enabled))


@methods.void
def load_map_layer(sim: Simulation, client: RpcConnection, layers: int) -> None:
    """`World.load_map_layer`: nothing, as on CARLA where a map has no layers."""


@methods.void
def unload_map_layer(sim: Simulation, client: RpcConnection, layers: int) -> None:
    """`World.unload_map_layer`: nothing, as on CARLA where a map has no layers."""


@methods.value
def project_point(sim: Simulation, client: RpcConnection, start: Wire, direction: Wire, distance: float) -> Wire:
    """`World.project_point`, `World.ground_projection`: the first solid thing on a ray."""
    reach = rpc_types.number(distance, "search distance")
    point = _first_hit(sim, rpc_types.location(start), rpc_types.vector(direction, "direction"), reach)
    return [False, [[0.0, 0.0, 0.0], 0]] if point is None else [True, point]


@methods.value
def cast_ray(sim: Simulation, client: RpcConnection, start: Wire, end: Wire) -> list[Wire]:
    """`World.cast_ray`: simplified: of all points that CARLA lists, the first."""
    origin, target = rpc_types.location(start, "start"), rpc_types.location(end, "end")
    ray = (target[0] - origin[0], target[1] - origin[1], target[2] - origin[2])
    point = _first_hit(sim, origin, ray, math.hypot(*ray))
    return [] if point is None else [point]


def _first_hit(
    sim: Simulation, origin: tuple[float, float, float], ray: tuple[float, float, float], reach: float
) -> Wire | None:
    length = math.hypot(*ray)
    if length == 0.0 or reach < 0.0:
        raise RpcError("a ray needs a direction other than zero and a length that is not negative")
    x, y, z = (component / length for component in ray)
    reach = min(reach, MAX_RAY_M / max(math.hypot(x, y), 1e-6))  # the client's default is 10 km
    state = sim.state
    hit = state.collisions.raycast(origin, (x, y, z), reach, state.bodies())
    distance = math.inf if hit is None else hit.distance
    met = state.town.surface.ray(origin, (x, y, z), min(reach, distance))
    ground = math.inf if met is None else met
    if min(distance, ground) > reach:
        return None
    distance = min(distance, ground)
    point = [origin[0] + x * distance, origin[1] + y * distance, origin[2] + z * distance]
    if distance == ground:
        label = _ROADS if _is_road(sim, point) else _TERRAIN
    else:
        struck = None if hit is None or hit.actor_id is None else state.actors.get(hit.actor_id)
        label = _BUILDINGS if struck is None else _label(struck)
    return [point, label]


def _boxes(sim: Simulation) -> Iterator[tuple[int, OrientedBox]]:
    state = sim.state
    for thing in environment_objects(state.town):
        yield thing.label, thing.box
    for group in (state.vehicles, state.walkers, state.props):
        for actor in group:
            yield _label(actor), world_box(actor)


def _is_road(sim: Simulation, point: Sequence[float]) -> bool:
    place = carla.Location(*point)
    return sim.state.town.carla_map.get_waypoint(place, project_to_road=False) is not None


def _label(actor: Actor) -> int:
    return _OTHER if actor.tag is None else int(actor.tag)


def _wire_box(box: OrientedBox) -> Wire:
    return rpc_types.bounding_box((box.x, box.y, box.z), (box.ex, box.ey, box.ez), (0.0, box.yaw, 0.0))
