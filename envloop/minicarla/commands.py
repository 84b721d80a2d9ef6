"""Batches: every command is an RPC method with its arguments in an array."""

from typing import TYPE_CHECKING, Any

from envloop.minicarla import shapes
from envloop.minicarla.rpc import Methods, RpcConnection, RpcError
from envloop.minicarla.shapes import ShapeError, Wire

if TYPE_CHECKING:
    import asyncio

    from envloop.minicarla.server import Server

methods = Methods()
MAX_NESTING = 8  # SpawnActor(...).then(SpawnActor(...).then(...))

# By index in the variant of carla.command; source: LibCarla's rpc/Command.h
_SPAWN_ACTOR = 0
_METHOD_OF_COMMAND = {
    1: "destroy_actor",
    2: "apply_control_to_vehicle",
    3: "apply_ackermann_control_to_vehicle",
    4: "apply_control_to_walker",
    5: "apply_physics_control",
    6: "set_actor_transform",
    7: "set_walker_state",
    8: "set_actor_target_velocity",
    9: "set_actor_target_angular_velocity",
    10: "add_actor_impulse",
    11: "add_actor_force",
    12: "add_actor_angular_impulse",
    13: "add_actor_torque",
    14: "set_actor_simulate_physics",
    15: "set_actor_enable_gravity",
    16: "set_actor_autopilot",
    17: "show_vehicle_debug_telemetry",
    18: "set_vehicle_light_state",
    19: "set_actor_location",
    20: "console_command",
    21: "set_traffic_light_state",
}


@methods.raw
def apply_batch(
    server: "Server", client: RpcConnection, commands: list[Wire], do_tick: bool
) -> "list[Wire] | asyncio.Task[list[Wire]]":
    """`Client.apply_batch` and `apply_batch_sync`: one response per command; an error spoils no other command."""
    if not isinstance(commands, list):
        raise ShapeError("a batch must be an array of commands")
    responses = [_run(server, client, command) for command in commands]
    if client.rhythm is not None:
        client.rhythm.batch_applied()
    return server.tick_when_settled(client, lambda _: responses) if do_tick else responses


def _run(server: "Server", client: RpcConnection, command: Any) -> Wire:
    try:
        return [[1, _apply(server, client, command, None, 0)]]
    except (RpcError, ShapeError) as error:
        return [[0, [str(error)]]]
    except TypeError:
        return [[0, [f"malformed command {command!r:.80}"]]]


def _apply(server: "Server", client: RpcConnection, command: Any, future_actor: int | None, depth: int) -> int:
    """Run one command; the id of the actor that it was about. Id 0 stands for `future_actor`."""
    index, fields = shapes.items(shapes.items(command, "command", at_least=1)[0], "command", at_least=2)[:2]
    shapes.items(fields, "command", at_least=1)
    if index == _SPAWN_ACTOR:
        return _spawn(server, client, fields, depth)
    name = _METHOD_OF_COMMAND.get(index)
    if name is None:
        raise RpcError(f"minicarla does not have command {index}")
    actor_id = fields[0]
    if future_actor is not None and actor_id == 0:
        actor_id = future_actor
    done = server.methods[name].call(server, client, actor_id, *fields[1:])
    if done is False:
        raise RpcError(f"{name}: there is no actor {actor_id} that it could be done to")
    return actor_id if isinstance(actor_id, int) else 0


def _spawn(server: "Server", client: RpcConnection, fields: Wire, depth: int) -> int:
    if depth >= MAX_NESTING:
        raise RpcError(f"commands are nested more than {MAX_NESTING} deep")
    description, transform, parent, _, _, then = shapes.items(fields, "SpawnActor", at_least=6)[:6]
    has_parent = shapes.items(parent, "parent", at_least=1)[0]
    arguments = (shapes.Description.parse(description), shapes.pose(transform))
    actor = server.world.spawn(*arguments, shapes.identifier(parent[1]) if has_parent else 0)
    for command in shapes.items(then, "commands to do after"):
        _apply(server, client, command, actor.id, depth + 1)
    return actor.id
