"""The batch that a Traffic Manager or a crowd sends at every tick: compiled, from the request's bytes to the reply's.

Only batches of nothing but `ApplyVehicleControl` and `ApplyWalkerState`, all of them right, are done here; they do what
`batch` does. Anything else is left to it.
"""

import re
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from minicarla.limits import MAX_ARRAY_ITEMS, MAX_LOCATION_M, MAX_MAGNITUDE, MAX_SPEED
from minicarla.numba_cache import CACHE
from minicarla.physics.walkers import carry
from minicarla.protocol.rpc import RpcConnection
from minicarla.simulation import Simulation
from minicarla.world.roster import VEHICLE, WALKER

# [0, id, "apply_batch", [[async], commands, do_tick]], up to the commands. A batch that ticks is left to `batch`.
_HEAD = re.compile(rb"\x94\x00([\x00-\x7f]|\xcc.|\xcd..|\xce....)\xabapply_batch\x93\x91[\xc2\xc3]", re.DOTALL)
_LONGEST_HEAD = 24
_REPLY_HEAD, _NOTHING = b"\x94\x01", b"\xc0"
_CONTROL, _WALKER_STATE = 2, 7  # by index in the variant of carla.command
_NUMBERS = 7  # of a command, at most: of a walker's state
_MOST_ID_BYTES, _RESPONSE_BYTES = 9, 3
# msgpack's first bytes
_FALSE, _TRUE, _FLOAT32, _UINT8, _UINT16, _UINT32, _INT8 = 0xC2, 0xC3, 0xCA, 0xCC, 0xCD, 0xCE, 0xD0
_ARRAY, _ARRAY16 = 0x90, 0xDC


def answer(sim: Simulation, client: RpcConnection, request: bytes) -> bytes | None:
    """The reply to such a batch, which is done; None for any other request, with which nothing is done."""
    head = _HEAD.match(request, 0, _LONGEST_HEAD)
    if head is None or request[-1] != _FALSE:
        return None
    reply = np.empty(len(request) + _LONGEST_HEAD, np.uint8)
    roster, rows = sim.state.roster, sim.state.rows
    length = _run(
        np.frombuffer(request, np.uint8), head.end(), roster.sorted_ids, roster.sorted_places, roster.movables,
        roster.kinds, rows.vehicles, rows.walkers, reply,
    )  # fmt: skip
    if length < 0:
        return None
    if client.reply_pacing is not None:
        client.reply_pacing.batch_applied()
    return _REPLY_HEAD + head[1] + _NOTHING + reply[:length].tobytes()


def compile_loops(sim: Simulation) -> None:
    """Runs a batch of nothing, so that no client's call has to wait for the compiler."""
    roster, rows, empty = sim.state.roster, sim.state.rows, np.frombuffer(bytes([_ARRAY, _FALSE]), np.uint8)
    _run(
        empty, 0, roster.sorted_ids, roster.sorted_places, roster.movables, roster.kinds, rows.vehicles, rows.walkers,
        np.empty(8, np.uint8),
    )  # fmt: skip


@register_jitable
def _int(byte: Any) -> int:
    """A number with a sign: together with those, unsigned ones become floats in compiled code."""
    return np.int64(byte)  # type: ignore[return-value]


@njit(cache=CACHE)
def _run(
    data: np.ndarray,
    begin: int,
    sorted_ids: np.ndarray,
    sorted_places: np.ndarray,
    movables: np.ndarray,
    kinds: np.ndarray,
    vehicles: np.ndarray,
    walkers: np.ndarray,
    reply: np.ndarray,
) -> int:
    """Runs the commands that begin at `begin`, writes the array of their results; its length, -1 if nothing was done.

    Args:
      data: [B] uint8, the request. reply: [B] uint8.
      sorted_ids, ..., kinds: see `roster.Roster`. vehicles, walkers: rows of those types.
    """
    count, at = _array_at(data, begin)
    if count < 0 or count > MAX_ARRAY_ITEMS:
        return -1
    numbers, flags = np.empty((count, _NUMBERS)), np.empty((count, 4), np.int64)
    rows, is_vehicle = np.empty(count, np.int64), np.empty(count, np.bool_)
    length = _copy(data, begin, at, reply, 0)
    for command in range(count):
        if at + 5 > data.size or data[at] != _ARRAY + 1 or data[at + 1] != _ARRAY + 2:
            return -1
        kind, fields = data[at + 2], data[at + 3]
        id_at = at + 4
        actor_id, at = _unsigned_at(data, id_at)
        place = np.searchsorted(sorted_ids, actor_id)
        if actor_id < 0 or place == sorted_ids.size or sorted_ids[place] != actor_id:
            return -1
        place = sorted_places[place]
        rows[command] = movables[place]
        is_vehicle[command] = kinds[place] == VEHICLE
        if kind == _CONTROL and fields == _ARRAY + 2 and kinds[place] == VEHICLE:
            after = _control_at(data, at, numbers[command], flags[command])
        elif kind == _WALKER_STATE and fields == _ARRAY + 3 and kinds[place] == WALKER:
            after = _walker_state_at(data, at, numbers[command])
        else:
            return -1
        if after < 0:
            return -1
        # The result of a command is [[1, id]].
        reply[length], reply[length + 1], reply[length + 2] = _ARRAY + 1, _ARRAY + 2, 1
        length = _copy(data, id_at, at, reply, length + _RESPONSE_BYTES)
        at = after
    if at != data.size - 1:  # there is the answer to "do tick" left
        return -1
    for command in range(count):
        n = numbers[command]
        if is_vehicle[command]:
            _control(vehicles[rows[command]], n, flags[command])
        else:
            carry(
                walkers[rows[command]].state, walkers[rows[command]].control, n[0], n[1], n[2], n[3], n[4], n[5], n[6]
            )
    return length


@register_jitable
def _copy(data: np.ndarray, begin: int, end: int, reply: np.ndarray, place: int) -> int:
    """Copies bytes to a place in the reply, whose end it gives; a slice's assignment takes seconds to compile."""
    for at in range(begin, end):
        reply[place + at - begin] = data[at]
    return place + end - begin


@register_jitable
def _control(vehicle: Any, numbers: np.ndarray, flags: np.ndarray) -> None:
    """What `vehicle.apply_control_to_vehicle` does."""
    control, drive = vehicle.control, vehicle.drive
    control.throttle = min(max(numbers[0], 0.0), 1.0)
    control.steer = min(max(numbers[1], -1.0), 1.0)
    control.brake = min(max(numbers[2], 0.0), 1.0)
    control.hand_brake, control.reverse, drive.manual_gear = flags[0] != 0, flags[1] != 0, flags[2] != 0
    if drive.manual_gear:
        drive.gear = flags[3]
    drive.by_ackermann = False
    drive.control_is_new = True


@register_jitable
def _control_at(data: np.ndarray, at: int, numbers: np.ndarray, flags: np.ndarray) -> int:
    """Reads throttle, steer, brake; hand brake, reverse, manual gear; gear. Where they end, -1 if they are not it."""
    if at + 20 > data.size or data[at] != _ARRAY + 7:
        return -1
    at = _floats_at(data, at + 1, 3, MAX_MAGNITUDE, numbers)
    if at < 0:
        return -1
    for flag in range(3):
        if data[at + flag] != _FALSE and data[at + flag] != _TRUE:
            return -1
        flags[flag] = data[at + flag] == _TRUE
    at += 3
    first = data[at]
    if first <= 0x7F or first >= 0xE0:
        flags[3] = first if first <= 0x7F else _int(first) - 256
        return at + 1
    if first == _INT8 and at + 1 < data.size:
        flags[3] = _int(data[at + 1]) - 256 if data[at + 1] > 0x7F else _int(data[at + 1])
        return at + 2
    return -1


@register_jitable
def _walker_state_at(data: np.ndarray, at: int, numbers: np.ndarray) -> int:
    """Reads x, y, z, pitch, yaw, roll and the speed. Where they end, -1 if they are not there."""
    if at + 38 > data.size or data[at] != _ARRAY + 2 or data[at + 1] != _ARRAY + 3 or data[at + 17] != _ARRAY + 3:
        return -1
    if _floats_at(data, at + 2, 3, MAX_LOCATION_M, numbers) < 0:
        return -1
    if _floats_at(data, at + 18, 3, MAX_MAGNITUDE, numbers[3:]) < 0:
        return -1
    end = _floats_at(data, at + 33, 1, MAX_SPEED, numbers[6:])
    return end if numbers[6] >= 0.0 else -1


@register_jitable
def _floats_at(data: np.ndarray, at: int, count: int, limit: float, numbers: np.ndarray) -> int:
    """Reads so many float32 within +-limit. Where they end, -1 if they are not there."""
    for number in range(count):
        if data[at] != _FLOAT32:
            return -1
        bits = (
            (np.uint32(data[at + 1]) << np.uint32(24))
            | (np.uint32(data[at + 2]) << np.uint32(16))
            | (np.uint32(data[at + 3]) << np.uint32(8))
            | np.uint32(data[at + 4])
        )
        value = float(np.uint32(bits).view(np.float32))
        if not -limit <= value <= limit:
            return -1
        numbers[number] = value
        at += 5
    return at


@register_jitable
def _unsigned_at(data: np.ndarray, at: int) -> tuple[int, int]:
    """An unsigned number below 2^32 and where it ends; -1 if there is none."""
    first = _int(data[at])
    if first <= 0x7F:
        return first, at + 1
    size = 1 if first == _UINT8 else 2 if first == _UINT16 else 4 if first == _UINT32 else 0
    if size == 0 or at + size >= data.size:
        return -1, at
    value = 0
    for byte in data[at + 1 : at + 1 + size]:
        value = value << 8 | _int(byte)
    return value, at + 1 + size


@register_jitable
def _array_at(data: np.ndarray, at: int) -> tuple[int, int]:
    """The length of an array and where its first item is; -1 if there is none."""
    if at < data.size and data[at] & 0xF0 == _ARRAY:
        return _int(data[at]) & 0x0F, at + 1
    if at + 3 <= data.size and data[at] == _ARRAY16:
        return _int(data[at + 1]) << 8 | _int(data[at + 2]), at + 3
    return -1, at
