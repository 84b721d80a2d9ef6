"""RPC methods that every actor understands: life, place, velocity, forces."""

import asyncio

from minicarla.limits import MAX_SPEED, MAX_SPIN_DEG_S
from minicarla.physics.vehicle import apply_impulse, set_velocity
from minicarla.physics.walkers import carry
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Aside, Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Description, Wire
from minicarla.simulation import Simulation
from minicarla.world import parts
from minicarla.world.actors import Prop, Vehicle, Walker

methods = Methods()


@methods.value
def get_actors_by_id(sim: Simulation, client: RpcConnection, ids: list[int]) -> list[Wire]:
    """`World.get_actors`, `World.get_actor`: those of the actors that exist, each once."""
    actors = sim.state.actors
    asked = dict.fromkeys(rpc_types.identifier(actor_id) for actor_id in rpc_types.items(ids, "actor ids"))
    found = (actors.get(actor_id) for actor_id in asked)
    return [actor.wire(sim.streams.port) for actor in found if actor is not None]


@methods.value
def get_spectator(sim: Simulation, client: RpcConnection) -> Wire:
    """`World.get_spectator`: the actor that stands for the simulator's own view."""
    return sim.state.spectator.wire(sim.streams.port)


@methods.value
def spawn_actor(
    sim: Simulation, client: RpcConnection, description: Wire, transform: Wire
) -> "Wire | asyncio.Future[Wire]":
    """`World.spawn_actor`, `World.try_spawn_actor`."""
    actor = sim.state.spawn(Description.parse(description), rpc_types.pose(transform))
    return sim.when_known(actor.wire(sim.streams.port))


@methods.value
def spawn_actor_with_parent(
    sim: Simulation,
    client: RpcConnection,
    description: Wire,
    transform: Wire,
    parent: int,
    attachment: int = 0,
    socket: str = "",
) -> "Wire | asyncio.Future[Wire]":
    """`World.spawn_actor`: simplified: what `attach_to` attaches is rigid.

    A spring arm would not be the same twice.
    """
    actor = sim.state.spawn(Description.parse(description), rpc_types.pose(transform), rpc_types.identifier(parent))
    return sim.when_known(actor.wire(sim.streams.port))


@methods.value
def destroy_actor(sim: Simulation, client: RpcConnection, actor_id: int) -> "bool | asyncio.Future[bool] | Aside":
    """`Actor.destroy`."""

    def destroy() -> "bool | asyncio.Future[bool]":
        return sim.state.destroy(actor_id) and sim.when_known(True)

    if sim.clock.runs and client.reply_pacing is not None:
        return Aside(sim.loop.create_task(sim.beside_traffic(client.reply_pacing, destroy)))
    return destroy()


@methods.value
def get_actor_bounding_box(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Actor.bounding_box`: empty for an actor that has vanished.

    An error would abort a client whose Traffic Manager asks.
    """
    actor = sim.state.actors.get(rpc_types.identifier(actor_id))
    return rpc_types.bounding_box((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)) if actor is None else actor.bounding_box()


@methods.void
def set_actor_transform(sim: Simulation, client: RpcConnection, actor_id: int, transform: Wire) -> None:
    """`Actor.set_transform`: as on CARLA the velocity stays, and for an attached actor it is relative to the parent."""
    actor = sim.state.find(actor_id)
    if actor.parent is None:
        actor.move_to(rpc_types.pose(transform))
    else:
        sim.state.put_attached(actor, rpc_types.pose(transform))


@methods.void
def set_actor_location(sim: Simulation, client: RpcConnection, actor_id: int, location: Wire) -> None:
    """`Actor.set_location`."""
    actor = sim.state.find(actor_id)
    x, y, z = rpc_types.location(location)
    old = actor.pose if actor.offset is None else actor.offset
    set_actor_transform(sim, client, actor_id, [[x, y, z], [old.pitch, old.yaw, old.roll]])


@methods.void
def set_walker_state(sim: Simulation, client: RpcConnection, actor_id: int, transform: Wire, speed: float) -> None:
    """`command.ApplyWalkerState`: what the client's crowd moves its walkers by. The place is that of the feet."""
    walker = sim.state.find_walker(actor_id)
    carry(walker.state, walker.control, *rpc_types.pose_numbers(transform), _walking_speed(speed))


def _walking_speed(value: float) -> float:
    if type(value) is float and 0.0 <= value <= MAX_SPEED:  # a crowd sends hundreds of these for every tick
        return value
    return min(max(rpc_types.number(value, "speed"), 0.0), MAX_SPEED)


@methods.void
def set_actor_target_velocity(sim: Simulation, client: RpcConnection, actor_id: int, velocity: Wire) -> None:
    """`Actor.set_target_velocity`.

    Velocity zero puts a vehicle wholly to rest: angular velocity, pedals and steering still on their way, controllers.
    With `set_transform` it makes what follows independent of what went before, which resets need.
    """
    actor = sim.state.find(actor_id)
    x, y, z = rpc_types.vector(velocity, "velocity")
    if not isinstance(actor, Vehicle):
        return
    if x == y == z == 0.0:
        actor.rest()
    else:
        set_velocity(actor.state, x, y, z)


@methods.void
def set_actor_target_angular_velocity(sim: Simulation, client: RpcConnection, actor_id: int, velocity: Wire) -> None:
    """`Actor.set_target_angular_velocity`: simplified: deg/s; vehicles only turn about the vertical axis."""
    actor = sim.state.find(actor_id)
    _, _, yaw_rate = rpc_types.vector(velocity, "angular velocity", MAX_SPIN_DEG_S)
    if isinstance(actor, Vehicle):
        actor.state.yaw_rate = yaw_rate


@methods.void
def enable_actor_constant_velocity(sim: Simulation, client: RpcConnection, actor_id: int, velocity: Wire) -> None:
    """`Actor.enable_constant_velocity`, in the vehicle's own frame."""
    forward, right, _ = rpc_types.vector(velocity, "velocity")
    if max(abs(forward), abs(right)) > MAX_SPEED:
        raise RpcError(f"a constant velocity must not exceed {MAX_SPEED} m/s")
    sim.state.find_vehicle(actor_id).state.constant_velocity = (forward, right)


@methods.void
def disable_actor_constant_velocity(sim: Simulation, client: RpcConnection, actor_id: int) -> None:
    """`Actor.disable_constant_velocity`."""
    sim.state.find_vehicle(actor_id).state.constant_velocity = None


@methods.void
def add_actor_impulse(sim: Simulation, client: RpcConnection, actor_id: int, impulse: Wire) -> None:
    """`Actor.add_impulse`, N s."""
    vehicle = sim.state.find_vehicle(actor_id)
    apply_impulse(vehicle.state, vehicle.params, *rpc_types.vector(impulse, "impulse"))


@methods.void
def add_actor_force(sim: Simulation, client: RpcConnection, actor_id: int, force: Wire) -> None:
    """`Actor.add_force`, N, for the coming tick."""
    vehicle = sim.state.find_vehicle(actor_id)
    x, y, z = rpc_types.vector(force, "force")
    force = vehicle.drive.force
    force[:] = (force[0] + x, force[1] + y, force[2] + z)


@methods.void
def add_actor_impulse_at_location(
    sim: Simulation, client: RpcConnection, actor_id: int, impulse: Wire, location: Wire
) -> None:
    """`Actor.add_impulse` at a place in the world: by its own RPC name, which the wheel's Python does not call."""
    vehicle = sim.state.find_vehicle(actor_id)
    jx, jy, jz = rpc_types.vector(impulse, "impulse")
    x, y = parts.lever(vehicle, *rpc_types.location(location)[:2])
    apply_impulse(vehicle.state, vehicle.params, jx, jy, jz)
    vehicle.spin(x * jy - y * jx)


@methods.void
def add_actor_force_at_location(
    sim: Simulation, client: RpcConnection, actor_id: int, force: Wire, location: Wire
) -> None:
    """`Actor.add_force` at a place in the world: by its own RPC name, which the wheel's Python does not call."""
    add_actor_force(sim, client, actor_id, force)
    vehicle = sim.state.find_vehicle(actor_id)
    fx, fy, _ = rpc_types.vector(force, "force")
    x, y = parts.lever(vehicle, *rpc_types.location(location)[:2])
    vehicle.drive.torque += x * fy - y * fx


@methods.void
def add_actor_angular_impulse(sim: Simulation, client: RpcConnection, actor_id: int, impulse: Wire) -> None:
    """`Actor.add_angular_impulse`: simplified: N m s; vehicles only turn about the vertical axis."""
    sim.state.find_vehicle(actor_id).spin(rpc_types.vector(impulse, "angular impulse")[2])


@methods.void
def add_actor_torque(sim: Simulation, client: RpcConnection, actor_id: int, torque: Wire) -> None:
    """`Actor.add_torque`: simplified: N m, for the coming tick; vehicles only turn about the vertical axis."""
    sim.state.find_vehicle(actor_id).drive.torque += rpc_types.vector(torque, "torque")[2]


@methods.void
def set_actor_simulate_physics(sim: Simulation, client: RpcConnection, actor_id: int, enabled: bool) -> None:
    """`Actor.set_simulate_physics`: without it a vehicle or walker stays where it is put.

    No error for an actor that has vanished: it would abort a client whose Traffic Manager has not noticed yet.
    """
    actor = sim.state.actors.get(rpc_types.identifier(actor_id))
    if isinstance(actor, Vehicle):
        actor.set_physics(bool(enabled))
    elif isinstance(actor, Walker):
        actor.state.simulate_physics = bool(enabled)


@methods.void
def set_actor_collisions(sim: Simulation, client: RpcConnection, actor_id: int, enabled: bool) -> None:
    """`Actor.set_collisions`."""
    actor = sim.state.find(actor_id)
    if isinstance(actor, Vehicle | Walker | Prop):
        actor.solid.collides = bool(enabled)


@methods.void
def set_actor_enable_gravity(sim: Simulation, client: RpcConnection, actor_id: int, enabled: bool) -> None:
    """`Actor.set_enable_gravity`."""
    actor = sim.state.find(actor_id)
    if isinstance(actor, Vehicle):
        actor.state.gravity = bool(enabled)


@methods.void
def apply_control_to_walker(sim: Simulation, client: RpcConnection, actor_id: int, control: Wire) -> None:
    """`Walker.apply_control`; there is no jumping, the flag only travels."""
    walker = sim.state.find_walker(actor_id)
    direction, speed, jump = rpc_types.items(control, "walker control", at_least=3)[:3]
    c = walker.control
    c.dx, c.dy, c.dz = rpc_types.vector(direction, "direction")
    c.speed = _walking_speed(speed)
    c.jump = bool(jump)
