"""RPC methods about the parts of actors: components, bones, sockets."""

from minicarla.geometry.poses import attached_pose
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Wire
from minicarla.simulation import Simulation
from minicarla.world import parts
from minicarla.world.actors import Actor
from minicarla.world.parts import Part

methods = Methods()


def _in_world(actor: Actor, part: Part) -> Wire:
    return rpc_types.transform(attached_pose(actor.pose, part.pose))


def _component(actor: Actor, name: str) -> Part:
    found = next((part for part in parts.components(actor) if part.name == name), None)
    if found is None:
        known = ", ".join(part.name for part in parts.components(actor))
        shown = rpc_types.shown(name)
        raise RpcError(f"{rpc_types.label(actor.id, actor.type_id)} has no component {shown}, only {known}")
    return found


def _bones(actor: Actor) -> list[Part]:
    found = parts.bones(actor)
    if not found:
        raise RpcError(f"{rpc_types.label(actor.id, actor.type_id)} has no skeleton")
    return found


@methods.value
def get_actor_component_names(sim: Simulation, client: RpcConnection, actor_id: int) -> list[str]:
    """`Actor.get_component_names`: simplified: mesh and bounds, and the front blinkers of a car."""
    return [part.name for part in parts.components(sim.state.find(actor_id))]


@methods.value
def get_actor_component_world_transform(sim: Simulation, client: RpcConnection, actor_id: int, name: str) -> Wire:
    """`Actor.get_component_world_transform`."""
    actor = sim.state.find(actor_id)
    return _in_world(actor, _component(actor, name))


@methods.value
def get_actor_component_relative_transform(sim: Simulation, client: RpcConnection, actor_id: int, name: str) -> Wire:
    """`Actor.get_component_relative_transform`: in the actor's frame."""
    return rpc_types.transform(_component(sim.state.find(actor_id), name).pose)


@methods.value
def get_actor_bone_names(sim: Simulation, client: RpcConnection, actor_id: int) -> list[str]:
    """`Actor.get_bone_names`: simplified: a vehicle's base and wheels, a walker's limbs; other actors have no bones."""
    return [part.name for part in _bones(sim.state.find(actor_id))]


@methods.value
def get_actor_bone_world_transforms(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`Actor.get_bone_world_transforms`: in the order of the names."""
    actor = sim.state.find(actor_id)
    return [_in_world(actor, part) for part in _bones(actor)]


@methods.value
def get_actor_bone_relative_transforms(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`Actor.get_bone_relative_transforms`: in the frame of the bone that each hangs on."""
    actor = sim.state.find(actor_id)
    _bones(actor)
    return [rpc_types.transform(part.pose) for part in parts.hanging_bones(actor)]


@methods.value
def get_vehicle_bone_world_transforms(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`Vehicle.get_vehicle_bone_world_transforms`."""
    vehicle = sim.state.find_vehicle(actor_id)
    return [_in_world(vehicle, part) for part in parts.bones(vehicle)]


@methods.value
def get_actor_socket_names(sim: Simulation, client: RpcConnection, actor_id: int) -> list[str]:
    """`Actor.get_socket_names`: the bones, which Unreal counts among the sockets."""
    return [part.name for part in parts.bones(sim.state.find(actor_id))]


@methods.value
def get_actor_socket_world_transforms(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`Actor.get_socket_world_transforms`."""
    actor = sim.state.find(actor_id)
    return [_in_world(actor, part) for part in parts.bones(actor)]


@methods.value
def get_actor_socket_relative_transforms(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`Actor.get_socket_relative_transforms`."""
    return [rpc_types.transform(part.pose) for part in parts.hanging_bones(sim.state.find(actor_id))]
