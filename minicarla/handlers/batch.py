"""Batches: every command is an RPC method with its arguments in an array."""

import asyncio
from typing import Any

from minicarla import limits
from minicarla.handlers import actor, lights, unsupported, vehicle
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import ArgumentError, Wire
from minicarla.simulation import Simulation

methods = Methods()

# By index in the variant of carla.command; source: LibCarla's rpc/Command.h
_SPAWN_ACTOR = 0
METHOD_OF_COMMAND = {
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
_COMMANDS = unsupported.methods | actor.methods | vehicle.methods | lights.methods


@methods.raw
def apply_batch(
    sim: Simulation, client: RpcConnection, commands: list[Wire], do_tick: bool
) -> "list[Wire] | asyncio.Future[list[Wire]]":
    """`Client.apply_batch`, `Client.apply_batch_sync`: one response per command; an error spoils no other command.

    A batch is one piece for the other clients unless it takes longer than `limits.SLICE_S`.
    """
    if not isinstance(commands, list):
        raise ArgumentError("a batch must be an array of commands")
    responses: list[Wire] = []
    if not _run_for_a_while(sim, client, commands, responses):
        return sim.loop.create_task(_run_in_turns(sim, client, commands, responses, do_tick))
    if client.reply_pacing is not None:
        client.reply_pacing.batch_applied()
    return sim.tick_when_settled(client, lambda _: responses) if do_tick else responses


async def _run_in_turns(
    sim: Simulation, client: RpcConnection, commands: list[Wire], responses: list[Wire], do_tick: bool
) -> list[Wire]:
    await asyncio.sleep(0)
    while not _run_for_a_while(sim, client, commands, responses):
        await asyncio.sleep(0)
    if client.reply_pacing is not None:
        client.reply_pacing.batch_applied()
    ticked = sim.tick_when_settled(client, lambda _: responses) if do_tick else responses
    return await ticked if isinstance(ticked, asyncio.Future) else ticked


def _run_for_a_while(sim: Simulation, client: RpcConnection, commands: list[Wire], responses: list[Wire]) -> bool:
    """Runs the commands that have no response yet, for one slice of time at most; whether all have one now."""
    end = sim.loop.time() + limits.SLICE_S
    while len(responses) < len(commands):
        responses.append(_run(sim, client, commands[len(responses)]))
        if sim.loop.time() > end:
            break
    return len(responses) == len(commands)


def _run(sim: Simulation, client: RpcConnection, command: Any) -> Wire:
    try:
        return [[1, _Chain(sim, client).apply(command, None, 0)]]
    except (RpcError, ArgumentError) as error:
        return [[0, [str(error)]]]
    except TypeError:
        return [[0, [f"malformed command {rpc_types.shown(command)}"]]]


class _Chain:
    """One command of a batch, and those that follow when it is a spawn."""

    def __init__(self, sim: Simulation, client: RpcConnection) -> None:
        self._sim, self._client = sim, client
        self._left = 1 + limits.MAX_COMMANDS_AFTER_SPAWN

    def apply(self, command: Any, future_actor: int | None, depth: int) -> int:
        """Run it; the id of the actor that it was about. Id 0 stands for `future_actor`."""
        self._left -= 1
        if self._left < 0:
            raise RpcError(f"more than {limits.MAX_COMMANDS_AFTER_SPAWN} commands follow a spawn")
        index, fields = rpc_types.items(rpc_types.items(command, "command", at_least=1)[0], "command", at_least=2)[:2]
        rpc_types.items(fields, "command", at_least=1)
        if index == _SPAWN_ACTOR:
            return self._spawn(fields, depth)
        name = METHOD_OF_COMMAND.get(index)
        if name is None:
            raise RpcError(f"minicarla does not have command {rpc_types.shown(index)}")
        actor_id = fields[0]
        if future_actor is not None and actor_id == 0:
            actor_id = future_actor
        done = _COMMANDS[name].call(self._sim, self._client, actor_id, *fields[1:])
        if done is False:
            raise RpcError(f"{name}: there is no actor {actor_id} that it could be done to")
        return actor_id if isinstance(actor_id, int) else 0

    def _spawn(self, fields: Wire, depth: int) -> int:
        if depth >= limits.MAX_COMMAND_DEPTH:
            raise RpcError(f"commands are nested more than {limits.MAX_COMMAND_DEPTH} deep")
        description, transform, parent, _, _, then = rpc_types.items(fields, "SpawnActor", at_least=6)[:6]
        has_parent = rpc_types.items(parent, "parent", at_least=1)[0]
        arguments = (rpc_types.Description.parse(description), rpc_types.pose(transform))
        parent_id = rpc_types.identifier(rpc_types.items(parent, "parent", at_least=2)[1]) if has_parent else 0
        spawned = self._sim.state.spawn(*arguments, parent_id)
        for command in rpc_types.items(then, "commands to do after"):
            self.apply(command, spawned.id, depth + 1)
        return spawned.id
