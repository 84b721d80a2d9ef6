"""One tick of the world.

Order: queued controls -> lights -> vehicles and walkers -> contacts -> attached actors -> sensors -> snapshot. Sensor
frames and the snapshot carry the same frame number and are on their way before the caller of the tick gets its reply.
"""

from minicarla.geometry.poses import attached_pose
from minicarla.limits import MAX_SPEED
from minicarla.physics.collision import Contact
from minicarla.physics.vehicle import apply_impulse, step_vehicle
from minicarla.physics.walkers import step_walker
from minicarla.protocol import wire
from minicarla.world.actors import NO_LIGHT, Vehicle
from minicarla.world.state import World

# One nominal step where the client has fixed none: also the period of the asynchronous world.
DEFAULT_DELTA_S = 0.05
_NO_FORCE = (0.0, 0.0, 0.0)


def tick(world: World) -> int:
    """Move the world on by one step and send out what its sensors see; the new frame number."""
    dt = world.settings.fixed_delta or DEFAULT_DELTA_S
    world.frame += 1
    world.elapsed += dt
    if world.lights.tick(dt):
        world.snapshots.lights_changed()
    for vehicle in world.vehicles:
        if vehicle.parent is None:
            _move(vehicle, dt)
    for walker in world.walkers:
        if walker.parent is None:
            step_walker(walker.state, walker.control, dt)
    contacts = world.collisions.step(world.bodies(), dt)
    for actor in world.attached:
        assert actor.parent is not None
        assert actor.offset is not None
        actor.move_to(attached_pose(actor.parent.pose, actor.offset))
    for vehicle in world.vehicles:
        vehicle.light = _light_ahead(world, vehicle)
    _sense(world, contacts, dt)
    snapshot = world.snapshots.pack(world, dt)
    world.streams.send(wire.SNAPSHOT_STREAM, (snapshot,), world.settings.synchronous)
    world.map_changed = False
    return world.frame


def _move(vehicle: Vehicle, dt: float) -> None:
    state, params = vehicle.state, vehicle.params
    if vehicle.force != _NO_FORCE or vehicle.torque:
        fx, fy, fz = vehicle.force
        apply_impulse(state, params, fx * dt, fy * dt, fz * dt)
        vehicle.spin(vehicle.torque * dt)
        vehicle.force, vehicle.torque = _NO_FORCE, 0.0
    if not (abs(state.vx) <= MAX_SPEED and abs(state.vy) <= MAX_SPEED and abs(state.vz) <= MAX_SPEED):
        fastest = max(abs(state.vx), abs(state.vy), abs(state.vz)) / MAX_SPEED
        state.vx, state.vy, state.vz = state.vx / fastest, state.vy / fastest, state.vz / fastest
    if vehicle.ackermann is not None:
        vehicle.ackermann.run(state, params, vehicle.control, dt)
    step_vehicle(state, vehicle.control, params, dt)


def _light_ahead(world: World, vehicle: Vehicle) -> tuple[int, bool, int]:
    state = vehicle.state
    sign_id = world.lights.light_for(state.x, state.y, state.yaw)
    if sign_id is None:
        return NO_LIGHT
    return world.lights.state(sign_id), True, world.light_actors[sign_id].id


def _sense(world: World, contacts: list[Contact], dt: float) -> None:
    world.contacts = contacts
    for sensor in world.sensors:
        # A sensor keeps its rhythm whether or not somebody listens.
        if sensor.stream is None or not sensor.is_due(dt) or not world.streams.has_readers(sensor.stream):
            continue
        for frame in sensor.frames(world):
            world.streams.send(sensor.stream, frame, world.settings.synchronous)
