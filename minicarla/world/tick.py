"""One tick of the simulation.

Order: queued controls -> lights -> vehicles and walkers -> contacts -> attached actors -> sensors -> snapshot. Sensor
frames and the snapshot carry the same frame number and are on their way before the caller of the tick gets its reply.
"""

import numpy as np

from minicarla.limits import MAX_PHYSICS_S
from minicarla.physics.hills import step_on_hills
from minicarla.physics.vehicle import ready_vehicles, shift_gears, step_vehicles
from minicarla.physics.walkers import step_walker, step_walkers
from minicarla.protocol import wire
from minicarla.world import friction
from minicarla.world.snapshot import SnapshotPacker
from minicarla.world.state import SimulationState

DEFAULT_DELTA_S = 0.05  # of a synchronous simulation whose client has fixed none: the same in every run


def tick(state: SimulationState, snapshots: SnapshotPacker, dt: float) -> int:
    """Move the simulation on by one step of `dt` s and send out what its sensors see; the new frame number."""
    state.frame += 1
    state.elapsed += dt
    state.delta = dt
    state.lights.tick(dt)
    for act in state.before_motion:
        act(dt)
    if state.friction_triggers:
        friction.update(state.vehicles, state.friction_triggers)
    _move(state, min(dt, MAX_PHYSICS_S))
    roster = state.roster
    state.contacts = state.collisions.step(roster.bodies, state.rows.bodies, roster.body_rows, min(dt, MAX_PHYSICS_S))
    if state.attached:
        roster.place_attached(state.rows.bodies, state.attached)
    listeners = [state.vehicles[place] for place in state.signs.listeners(state.rows.vehicles, roster.all_vehicles)]
    state.signs.tell(listeners, state.vehicles, state.elapsed)
    for vehicle in listeners:
        vehicle.hear_signs()
    state.lights.tell(state.rows.vehicles, roster.all_vehicles, state.light_numbers)
    for act in state.after_motion:
        act(dt)
    _send_measurements(state, dt)
    state.streams.send(wire.SNAPSHOT_STREAM, (snapshots.pack(state, dt),), state.settings.synchronous)
    state.map_changed = False
    return state.frame


def compile_loops(state: SimulationState, snapshots: SnapshotPacker) -> None:
    """Runs the loops on nobody, so that no client's call has to wait for the compiler."""
    rows, nobody, dt = state.rows, np.zeros(0, np.int64), DEFAULT_DELTA_S
    ready_vehicles(rows.vehicles, nobody, dt)
    shift_gears(rows.vehicles, nobody)
    step_vehicles(rows.vehicles, nobody, dt, 0.0)
    step_walkers(rows.walkers, nobody, dt, 0.0)
    state.collisions.step([], rows.bodies, nobody, dt)
    state.roster.place_attached(rows.bodies, ())
    state.signs.listeners(rows.vehicles, nobody)
    state.lights.tell(rows.vehicles, nobody, state.light_numbers)
    snapshots.pack(state, dt)


def _move(state: SimulationState, dt: float) -> None:
    """Vehicles and walkers that are attached to nothing, as if each were alone."""
    surface, roster, rows = state.town.surface, state.roster, state.rows
    if ready_vehicles(rows.vehicles, roster.vehicles, dt):
        for vehicle in state.vehicles:
            if vehicle.ackermann is not None and vehicle.drive.by_ackermann and vehicle.parent is None:
                vehicle.ackermann.run(vehicle.state, vehicle.params, vehicle.control, dt)
    shift_gears(rows.vehicles, roster.vehicles)
    if surface.is_flat:
        step_vehicles(rows.vehicles, roster.vehicles, dt, surface.level)
        step_walkers(rows.walkers, roster.walkers, dt, surface.level)
        return
    for vehicle in state.vehicles:
        if vehicle.parent is None:
            step_on_hills(vehicle.state, vehicle.control, vehicle.params, dt, surface)
    for walker in state.walkers:
        if walker.parent is None:
            s = walker.state
            ground_z = 0.0 if s.is_carried else surface.height(s.x, s.y, s.z - s.half_height)
            step_walker(s, walker.control, dt, ground_z)


def _send_measurements(state: SimulationState, dt: float) -> None:
    for sensor in state.sensors:
        # A sensor keeps its interval whether or not somebody listens.
        if sensor.stream is None or not sensor.is_due(dt) or not state.streams.has_readers(sensor.stream):
            continue
        for frame in sensor.frames():
            state.streams.send(sensor.stream, frame, state.settings.synchronous)
