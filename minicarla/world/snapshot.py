"""World snapshots: every actor, every tick, so this is written to be cheap."""

import time
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from minicarla.numba_cache import CACHE
from minicarla.protocol import wire
from minicarla.world.actors import RoadSignal, TrafficLight
from minicarla.world.roster import VEHICLE, WALKER
from minicarla.world.state import SimulationState
from minicarla.world.traffic_lights import TrafficLightSystem


class SnapshotPacker:
    """Packs snapshot after snapshot. The lights' records are kept: they rarely change but for their elapsed time."""

    def __init__(self) -> None:
        self._writer = wire.SnapshotWriter()
        self._lights = wire.LightBlock([])
        self._lights_of: tuple[TrafficLightSystem, int] | None = None  # what the records are of, and its revision
        self._lights_time = 0.0
        self._signs = b""
        self._signs_of: object = None  # whose records they are

    def pack(self, state: SimulationState, dt: float) -> bytes:
        """The frame of the simulation as it is now; `dt` is the step that led here, s."""
        writer = self._writer
        state_bits = wire.MAP_CHANGE if state.map_changed else 0
        now = time.monotonic()
        writer.begin(state.frame, state.elapsed, state.episode, now, dt, state_bits, len(state.actors))
        if self._lights_of != (state.lights, state.lights.revision):
            self._lights = wire.LightBlock([_record(state, light) for light in state.light_actors.values()])
            self._lights_of = (state.lights, state.lights.revision)
            self._lights_time = _lights_clock(state)
        writer.lights(self._lights, _lights_clock(state) - self._lights_time)
        if self._signs_of is not state.sign_actors:
            self._signs = b"".join(wire.sign_record(sign.id, sign.motion(), _name(sign)) for sign in state.sign_actors)
            self._signs_of = state.sign_actors
        writer.signs(self._signs)
        roster, rows = state.roster, state.rows
        room = writer.records(len(roster.movables))
        kinds = (wire.OTHER_RECORD, wire.VEHICLE_RECORD, wire.WALKER_RECORD)
        _write(
            roster.movables, roster.kinds, roster.ids, rows.bodies, rows.vehicles, rows.walkers,
            *(np.frombuffer(room, kind) for kind in kinds),
        )  # fmt: skip
        return writer.finish()


def _lights_clock(state: SimulationState) -> float:
    """A time that stands still while the lights are frozen; any light's will do, for only differences are used."""
    return next((state.lights.elapsed_time(sign_id) for sign_id in state.light_actors), 0.0)


def _name(signal: RoadSignal) -> bytes:
    return signal.sign_id.encode()[: wire.SIGN_ID_BYTES]


def _record(state: SimulationState, light: TrafficLight) -> bytes:
    lights, sign_id = state.lights, light.sign_id
    times = (lights.green_time(sign_id), lights.yellow_time(sign_id), lights.red_time(sign_id))
    elapsed, pole, shown = lights.elapsed_time(sign_id), lights.pole_index(sign_id), lights.state(sign_id)
    return wire.light_record(light.id, light.motion(), _name(light), times, elapsed, pole, lights.frozen, shown)


@njit(cache=CACHE)
def _write(
    movables: np.ndarray,
    kinds: np.ndarray,
    ids: np.ndarray,
    bodies: np.ndarray,
    vehicles: np.ndarray,
    walkers: np.ndarray,
    records: np.ndarray,
    vehicle_records: np.ndarray,
    walker_records: np.ndarray,
) -> None:
    """Fills the records of the movables: see `roster.Roster`; the rows and the records in the types of their kinds."""
    for number, row in enumerate(movables):
        state, record = bodies[row].state, records[number]
        record.id, record.state = ids[number], wire.ACTIVE
        record.x, record.y, record.z = state.x, state.y, state.z
        record.pitch, record.yaw, record.roll = state.pitch, state.yaw, state.roll
        record.vx, record.vy, record.vz = state.vx, state.vy, state.vz
        record.roll_rate = record.pitch_rate = 0.0
        record.yaw_rate = state.yaw_rate
        record.ax, record.ay, record.az = state.ax, state.ay, state.az
        if kinds[number] == VEHICLE:
            _write_vehicle(vehicle_records[number], vehicles[row])
        elif kinds[number] == WALKER:
            walker, control = walker_records[number], walkers[row].control
            walker.dx, walker.dy, walker.dz = control.dx, control.dy, control.dz
            walker.speed, walker.jump = control.speed, control.jump


@register_jitable
def _write_vehicle(record: Any, vehicle: Any) -> None:
    """What only a vehicle's record has."""
    control, drive = vehicle.control, vehicle.drive
    record.throttle, record.steer, record.brake = control.throttle, control.steer, control.brake
    record.hand_brake, record.reverse = control.hand_brake, control.reverse
    record.manual_gear, record.gear = drive.manual_gear, drive.gear
    record.limit_kmh = drive.limit_kmh
    record.light_state, record.is_held, record.light_id = drive.light_state, drive.is_held, drive.light_id
    record.failure = 0
