"""RPC methods about vehicles: controls, physics, lights, telemetry."""

from minicarla.physics.ackermann import DEFAULT_SETTINGS, AckermannController, AckermannTarget
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Wire
from minicarla.simulation import Simulation
from minicarla.world import physics_control
from minicarla.world.actors import Vehicle

methods = Methods()
_ALL_DOORS = 6  # carla.VehicleDoor


@methods.void
def apply_control_to_vehicle(sim: Simulation, client: RpcConnection, actor_id: int, control: Wire) -> None:
    """`Vehicle.apply_control`: holds until the next one, or for one tick where `sticky_control` is False."""
    vehicle = sim.state.find_vehicle(actor_id)
    _, _, _, hand_brake, reverse, manual_gear, gear = rpc_types.items(control, "vehicle control", at_least=7)[:7]
    throttle, steer, brake = rpc_types.numbers(control, 3, "throttle, steer, brake")
    c = vehicle.control
    c.throttle = min(max(throttle, 0.0), 1.0)
    c.steer = min(max(steer, -1.0), 1.0)
    c.brake = min(max(brake, 0.0), 1.0)
    c.hand_brake, c.reverse = bool(hand_brake), bool(reverse)
    drive = vehicle.drive
    drive.manual_gear = bool(manual_gear)
    if manual_gear:
        drive.gear = int(rpc_types.number(gear, "gear"))
    drive.by_ackermann = False
    drive.control_is_new = True


@methods.void
def apply_ackermann_control_to_vehicle(sim: Simulation, client: RpcConnection, actor_id: int, control: Wire) -> None:
    """`Vehicle.apply_ackermann_control`: holds until a `VehicleControl` is applied."""
    vehicle = sim.state.find_vehicle(actor_id)
    vehicle.drive.manual_gear = False
    target = AckermannTarget(*rpc_types.numbers(control, 4, "ackermann control"))
    if vehicle.ackermann is None or not vehicle.drive.by_ackermann:
        vehicle.drive.by_ackermann = True
        vehicle.ackermann = AckermannController(vehicle.ackermann_settings, target)
    else:
        vehicle.ackermann.target = target


@methods.value
def get_ackermann_controller_settings(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Vehicle.get_ackermann_controller_settings`: gains of the two loops."""
    return list(sim.state.find_vehicle(actor_id).ackermann_settings)


@methods.void
def apply_ackermann_controller_settings(sim: Simulation, client: RpcConnection, actor_id: int, settings: Wire) -> None:
    """`Vehicle.apply_ackermann_controller_settings`."""
    vehicle = sim.state.find_vehicle(actor_id)
    vehicle.ackermann_settings = rpc_types.numbers(settings, len(DEFAULT_SETTINGS), "ackermann settings")
    if vehicle.ackermann is not None:
        vehicle.ackermann = AckermannController(vehicle.ackermann_settings, vehicle.ackermann.target)


@methods.void
def set_actor_autopilot(sim: Simulation, client: RpcConnection, actor_id: int, enabled: bool) -> None:
    """`Vehicle.set_autopilot`: nothing to do, the Traffic Manager drives from within the client."""
    sim.state.find_vehicle(actor_id)


@methods.value
def get_physics_control(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Vehicle.get_physics_control`."""
    return physics_control.describe(sim.state.find_vehicle(actor_id))


@methods.void
def apply_physics_control(sim: Simulation, client: RpcConnection, actor_id: int, control: Wire) -> None:
    """`Vehicle.apply_physics_control`: simplified: mass, drag, steering, tyres and gears act, the engine does not."""
    physics_control.apply(sim.state.find_vehicle(actor_id), control)


@methods.value
def get_vehicle_light_state(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Vehicle.get_light_state`."""
    return [sim.state.find_vehicle(actor_id).light_flags]


@methods.void
def set_vehicle_light_state(sim: Simulation, client: RpcConnection, actor_id: int, state: Wire) -> None:
    """`Vehicle.set_light_state`."""
    flags = state[0] if isinstance(state, list) and state else state  # in a batch they come bare
    sim.state.find_vehicle(actor_id).light_flags = rpc_types.identifier(flags, "light state") & 0xFFFFFFFF


@methods.value
def get_vehicle_light_states(sim: Simulation, client: RpcConnection) -> list[Wire]:
    """`World.get_vehicles_light_states`."""
    if client.reply_pacing is not None:
        client.reply_pacing.light_states_asked()
    return [[vehicle.id, vehicle.light_flags] for vehicle in sim.state.vehicles]


def _wheel(vehicle: Vehicle, wheel: int) -> int:
    """A wheel's place in the list of wheels; RpcError if there is none."""
    number, count = rpc_types.identifier(wheel, "wheel"), len(physics_control.wheel_places(vehicle.params))
    if number >= count:
        raise RpcError(f"{rpc_types.label(vehicle.id, vehicle.type_id)} has wheels 0 to {count - 1}, no {number}")
    return number


@methods.value
def get_wheel_steer_angle(sim: Simulation, client: RpcConnection, actor_id: int, wheel: int) -> float:
    """`Vehicle.get_wheel_steer_angle`, deg; without physics what was set."""
    vehicle = sim.state.find_vehicle(actor_id)
    return vehicle.wheel_steer_angle(_wheel(vehicle, wheel))


@methods.void
def set_wheel_steer_direction(
    sim: Simulation, client: RpcConnection, actor_id: int, wheel: int, angle_deg: float
) -> None:
    """`Vehicle.set_wheel_steer_direction`: as on CARLA only without physics; with them nothing happens."""
    vehicle = sim.state.find_vehicle(actor_id)
    place, angle = _wheel(vehicle, wheel), rpc_types.number(angle_deg, "angle")
    if not vehicle.state.simulate_physics:
        vehicle.wheel_steer[place] = angle


@methods.value
def get_wheel_pitch_angle(sim: Simulation, client: RpcConnection, actor_id: int, wheel: int) -> float:
    """`Vehicle.get_wheel_pitch_angle`: simplified: 0 deg with physics, for how far a wheel has rolled is not kept."""
    vehicle = sim.state.find_vehicle(actor_id)
    return vehicle.wheel_pitch.get(_wheel(vehicle, wheel), 0.0)


@methods.void
def set_wheel_pitch_angle(sim: Simulation, client: RpcConnection, actor_id: int, wheel: int, angle_deg: float) -> None:
    """`Vehicle.set_wheel_pitch_angle`: as on CARLA only without physics; with them nothing happens."""
    vehicle = sim.state.find_vehicle(actor_id)
    place, angle = _wheel(vehicle, wheel), rpc_types.number(angle_deg, "angle")
    if not vehicle.state.simulate_physics:
        vehicle.wheel_pitch[place] = angle


def _doors(door: int) -> range:
    """The doors that a `carla.VehicleDoor` means."""
    number = rpc_types.identifier(door, "door")
    if number > _ALL_DOORS:
        raise RpcError(f"there is no door {number}: carla.VehicleDoor has 0 to {_ALL_DOORS}")
    return range(_ALL_DOORS) if number == _ALL_DOORS else range(number, number + 1)


@methods.void
def open_vehicle_door(sim: Simulation, client: RpcConnection, actor_id: int, door: int) -> None:
    """`Vehicle.open_door`: simplified: kept where `has_dynamic_doors` says so, but not drawn and in nobody's way."""
    sim.state.find_vehicle(actor_id).move_doors(_doors(door), opened=True)


@methods.void
def close_vehicle_door(sim: Simulation, client: RpcConnection, actor_id: int, door: int) -> None:
    """`Vehicle.close_door`."""
    sim.state.find_vehicle(actor_id).move_doors(_doors(door), opened=False)


@methods.value
def get_telemetry_data(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Vehicle.get_telemetry_data`: simplified: a wheel's slip ratio, torque and forces are 0."""
    return physics_control.telemetry(sim.state.find_vehicle(actor_id))


@methods.void
def show_vehicle_debug_telemetry(sim: Simulation, client: RpcConnection, actor_id: int, enabled: bool) -> None:
    """`Vehicle.show_debug_telemetry`: simplified: accepted; there is no window to show it in."""
    sim.state.find_vehicle(actor_id)
