"""One tick of the simulation.

Order: queued controls -> lights -> vehicles and walkers -> contacts -> attached actors -> sensors -> snapshot. Sensor
frames and the snapshot carry the same frame number and are on their way before the caller of the tick gets its reply.
"""

from minicarla.geometry.poses import attached_pose
from minicarla.geometry.types import ORIGIN
from minicarla.limits import MAX_PHYSICS_S, MAX_SPEED
from minicarla.maps.surface import Surface
from minicarla.physics.hills import step_on_hills
from minicarla.physics.vehicle import apply_impulse, step_vehicle
from minicarla.physics.walkers import WalkerState, step_walker
from minicarla.protocol import wire
from minicarla.world import friction
from minicarla.world.actors import NO_LIGHT, WAIT, Vehicle
from minicarla.world.snapshot import SnapshotPacker
from minicarla.world.state import SimulationState

DEFAULT_DELTA_S = 0.05  # of a synchronous simulation whose client has fixed none: the same in every run
_NO_FORCE = (0.0, 0.0, 0.0)


def tick(state: SimulationState, snapshots: SnapshotPacker, dt: float) -> int:
    """Move the simulation on by one step of `dt` s and send out what its sensors see; the new frame number."""
    state.frame += 1
    state.elapsed += dt
    state.delta = dt
    state.lights.tick(dt)
    for act in state.before_motion:
        act(dt)
    moved_s = min(dt, MAX_PHYSICS_S)
    surface = state.town.surface
    if state.friction_triggers:
        friction.update(state.vehicles, state.friction_triggers)
    for vehicle in state.vehicles:
        if vehicle.parent is None:
            _move(vehicle, moved_s, surface)
    for walker in state.walkers:
        if walker.parent is None:
            ground_z = 0.0 if walker.state.carried is not None else _under_feet(walker.state, surface)
            step_walker(walker.state, walker.control, moved_s, ground_z)
    state.contacts = state.collisions.step(state.bodies(), moved_s)
    for actor in state.attached:
        assert actor.parent is not None
        assert actor.offset is not None
        place = actor.parent.pose
        actor.move_to(place if actor.offset is ORIGIN else attached_pose(place, actor.offset))
    state.signs.tell(state.vehicles, state.elapsed)
    for vehicle in state.vehicles:
        vehicle.light = _light_ahead(state, vehicle)
    for act in state.after_motion:
        act(dt)
    _send_measurements(state, dt)
    state.streams.send(wire.SNAPSHOT_STREAM, (snapshots.pack(state, dt),), state.settings.synchronous)
    state.map_changed = False
    return state.frame


def _move(vehicle: Vehicle, dt: float, surface: Surface) -> None:
    state, params = vehicle.state, vehicle.params
    if vehicle.force != _NO_FORCE or vehicle.torque:
        fx, fy, fz = vehicle.force
        apply_impulse(state, params, fx * dt, fy * dt, fz * dt)
        vehicle.spin(vehicle.torque * dt)
        vehicle.force, vehicle.torque = _NO_FORCE, 0.0
    if not (abs(state.vx) <= MAX_SPEED and abs(state.vy) <= MAX_SPEED and abs(state.vz) <= MAX_SPEED):
        fastest = max(abs(state.vx), abs(state.vy), abs(state.vz)) / MAX_SPEED
        state.vx, state.vy, state.vz = state.vx / fastest, state.vy / fastest, state.vz / fastest
    if not vehicle.sticky:
        vehicle.relax()
    if vehicle.ackermann is not None:
        vehicle.ackermann.run(state, params, vehicle.control, dt)
    vehicle.change_gear()
    if surface.is_flat:
        step_vehicle(state, vehicle.control, params, dt, surface.level)
    else:
        step_on_hills(state, vehicle.control, params, dt, surface)


def _under_feet(walker: WalkerState, surface: Surface) -> float:
    return surface.height(walker.x, walker.y, walker.z - walker.half_height)


def _light_ahead(state: SimulationState, vehicle: Vehicle) -> tuple[int, bool, int]:
    car = vehicle.state
    sign_id = state.lights.light_for(car.x, car.y, car.z, car.yaw)
    if sign_id is None:
        return WAIT if vehicle.signs.waits else NO_LIGHT
    return state.lights.state(sign_id), True, state.light_actors[sign_id].id


def _send_measurements(state: SimulationState, dt: float) -> None:
    for sensor in state.sensors:
        # A sensor keeps its interval whether or not somebody listens.
        if sensor.stream is None or not sensor.is_due(dt) or not state.streams.has_readers(sensor.stream):
            continue
        for frame in sensor.frames():
            state.streams.send(sensor.stream, frame, state.settings.synchronous)
