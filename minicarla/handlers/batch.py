"""Batches: every command is an RPC method with its arguments in an array."""

import asyncio
from functools import partial
from typing import Any

from minicarla import limits
from minicarla.handlers import actor, lights, unsupported, vehicle
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Aside, Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import ArgumentError, Wire
from minicarla.simulation import Simulation

methods = Methods()

# By index in the variant of carla.command; source: LibCarla's rpc/Command.h
_SPAWN_ACTOR, _DESTROY_ACTOR, _APPLY_TRANSFORM, _CONSOLE_COMMAND, _APPLY_LOCATION = 0, 1, 6, 20, 19
METHOD_OF_COMMAND = {
    _DESTROY_ACTOR: "destroy_actor",
    2: "apply_control_to_vehicle",
    3: "apply_ackermann_control_to_vehicle",
    4: "apply_control_to_walker",
    5: "apply_physics_control",
    _APPLY_TRANSFORM: "set_actor_transform",
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
    _APPLY_LOCATION: "set_actor_location",
    _CONSOLE_COMMAND: "console_command",
    21: "set_traffic_light_state",
}
_COMMANDS = unsupported.methods | actor.methods | vehicle.methods | lights.methods
_NEVER_IN_A_STEP = {_SPAWN_ACTOR, _DESTROY_ACTOR}  # of a Traffic Manager
# After these a script looks for the actor, or for its place, without waiting for a tick.
_LOOKED_UP = {_SPAWN_ACTOR, _DESTROY_ACTOR, _APPLY_TRANSFORM, _APPLY_LOCATION}


@methods.raw
def apply_batch(
    sim: Simulation, client: RpcConnection, commands: list[Wire], do_tick: bool
) -> "list[Wire] | asyncio.Future[list[Wire]] | Aside":
    """`Client.apply_batch`, `Client.apply_batch_sync`: one response per command; an error spoils no other command.

    A batch is one piece for the other clients unless it takes longer than `limits.SLICE_S`.
    """
    if not isinstance(commands, list):
        raise ArgumentError("a batch must be an array of commands")
    responses: list[Wire] = []
    if client.reply_pacing is not None and sim.clock.runs and _DESTROY_ACTOR in _kinds(commands):
        run = partial(_run_in_turns, sim, client, commands, responses, do_tick)
        return Aside(sim.loop.create_task(sim.beside_traffic(client.reply_pacing, run)))
    if not _run_for_a_while(sim, client, commands, responses):
        return sim.loop.create_task(_run_in_turns(sim, client, commands, responses, do_tick))
    return _answer(sim, client, commands, responses, do_tick)


def _answer(
    sim: Simulation, client: RpcConnection, commands: list[Wire], responses: list[Wire], do_tick: bool
) -> "list[Wire] | asyncio.Future[list[Wire]]":
    kinds = _kinds(commands)
    is_step = client.reply_pacing is not None and not kinds & _NEVER_IN_A_STEP and client.reply_pacing.batch_applied()
    if do_tick and sim.state.settings.synchronous:
        return sim.tick_when_settled(client, lambda _: responses)
    # A Traffic Manager looks at nothing before the next snapshot, so its controls need not be held.
    return sim.when_known(responses) if kinds & _LOOKED_UP and not is_step else responses


def _kinds(commands: list[Any]) -> set[int]:
    """Which kinds of commands are among them."""
    return {_index(command) for command in commands}


def _index(command: Any) -> int:
    """Which kind of command it is; -1 if it is none."""
    try:
        index = command[0][0]
    except (TypeError, LookupError):
        return -1
    return index if type(index) is int else -1


async def _run_in_turns(
    sim: Simulation, client: RpcConnection, commands: list[Wire], responses: list[Wire], do_tick: bool
) -> list[Wire]:
    await asyncio.sleep(0)
    while not _run_for_a_while(sim, client, commands, responses):
        await asyncio.sleep(0)
    answer = _answer(sim, client, commands, responses, do_tick)
    return await answer if isinstance(answer, asyncio.Future) else answer


def _run_for_a_while(sim: Simulation, client: RpcConnection, commands: list[Wire], responses: list[Wire]) -> bool:
    """Runs the commands that have no response yet, for one slice of time at most; whether all have one now."""
    end = sim.loop.time() + limits.SLICE_S
    chain = _Chain(sim, client)
    while len(responses) < len(commands):
        responses.append(_run(chain, commands[len(responses)]))
        if sim.loop.time() > end:
            break
    return len(responses) == len(commands)


def _run(chain: "_Chain", command: Any) -> Wire:
    try:
        return [[1, chain.begin(command)]]
    except Exception as error:
        return [[0, [_sentence(command, error)]]]


def _sentence(command: Any, error: Exception) -> str:
    if isinstance(error, RpcError | ArgumentError):
        return str(error)
    if isinstance(error, TypeError):
        return f"malformed command {rpc_types.shown(command)}"
    raise error


class _Chain:
    """One command of a batch after the other, each with those that follow when it is a spawn."""

    def __init__(self, sim: Simulation, client: RpcConnection) -> None:
        self._sim, self._client = sim, client

    def begin(self, command: Any) -> int:
        """Run a command of the batch; the id of the actor that it was about."""
        self._left = 1 + limits.MAX_COMMANDS_AFTER_SPAWN
        return self.apply(command, None, 0)

    def apply(self, command: Any, spawned: int | None, depth: int) -> int:
        """Run it, on the actor `spawned` if it follows a spawn; the id of the actor that it was about."""
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
        actor_id = fields[0] if spawned is None or index == _CONSOLE_COMMAND else spawned
        if index == _DESTROY_ACTOR:
            done = self._sim.state.destroy(actor_id)
        else:
            done = _COMMANDS[name].call(self._sim, self._client, actor_id, *fields[1:])
        if done is False:
            raise RpcError(f"{name}: there is no actor {actor_id} that it could be done to")
        return actor_id if isinstance(actor_id, int) else 0

    def _spawn(self, fields: Wire, depth: int) -> int:
        if depth >= limits.MAX_COMMAND_DEPTH:
            raise RpcError(f"commands are nested more than {limits.MAX_COMMAND_DEPTH} deep")
        description, transform, parent, _, _, then = rpc_types.items(fields, "SpawnActor", at_least=6)[:6]
        if len(rpc_types.items(then, "commands to do after")) > self._left:
            raise RpcError(f"more than {limits.MAX_COMMANDS_AFTER_SPAWN} commands follow a spawn")
        has_parent = rpc_types.items(parent, "parent", at_least=1)[0]
        arguments = (rpc_types.Description.parse(description), rpc_types.pose(transform))
        parent_id = rpc_types.identifier(rpc_types.items(parent, "parent", at_least=2)[1]) if has_parent else 0
        spawned = self._sim.state.spawn(*arguments, parent_id)
        for command in then:
            self._follow(command, spawned.id, depth + 1)
        return spawned.id

    def _follow(self, command: Any, spawned: int, depth: int) -> None:
        """As CARLA's server: the answer is the spawn's, and how the commands after it fare is not told."""
        try:
            self.apply(command, spawned, depth)
        except Exception as error:
            name = METHOD_OF_COMMAND.get(_index(command), "a command")
            self._client.warn(f"then {name}", f"{name} after a spawn: {_sentence(command, error)}", 1)
