"""RPC methods about traffic lights."""

from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection, RpcError
from minicarla.protocol.rpc_types import Wire
from minicarla.simulation import Simulation
from minicarla.world.traffic_lights import LightState

methods = Methods()
_HEAD_EXTENT = (0.2, 0.2, 0.5)  # m, half sizes


@methods.void
def set_traffic_light_state(sim: Simulation, client: RpcConnection, actor_id: int, state: int) -> None:
    """`TrafficLight.set_state`: until the cycle's next change."""
    if state not in LightState.__members__.values():
        raise RpcError(f"{rpc_types.shown(state)} is no traffic light state: see carla.TrafficLightState")
    sim.state.lights.set_state(sim.state.find_light(actor_id).sign_id, state)


def _seconds(value: float) -> float:
    seconds = rpc_types.number(value, "time")
    if seconds < 0.0:
        raise RpcError(f"a traffic light cannot last {seconds} s")
    return seconds


@methods.void
def set_traffic_light_green_time(sim: Simulation, client: RpcConnection, actor_id: int, seconds: float) -> None:
    """`TrafficLight.set_green_time`."""
    sim.state.lights.set_green_time(sim.state.find_light(actor_id).sign_id, _seconds(seconds))


@methods.void
def set_traffic_light_yellow_time(sim: Simulation, client: RpcConnection, actor_id: int, seconds: float) -> None:
    """`TrafficLight.set_yellow_time`."""
    sim.state.lights.set_yellow_time(sim.state.find_light(actor_id).sign_id, _seconds(seconds))


@methods.void
def set_traffic_light_red_time(sim: Simulation, client: RpcConnection, actor_id: int, seconds: float) -> None:
    """`TrafficLight.set_red_time`."""
    sim.state.lights.set_red_time(sim.state.find_light(actor_id).sign_id, _seconds(seconds))


@methods.void
def freeze_all_traffic_lights(sim: Simulation, client: RpcConnection, frozen: bool) -> None:
    """`World.freeze_all_traffic_lights`, `TrafficLight.freeze`: as on CARLA all lights freeze together."""
    sim.state.lights.freeze_all(bool(frozen))


@methods.void
def freeze_traffic_light(sim: Simulation, client: RpcConnection, actor_id: int, frozen: bool) -> None:
    """`TrafficLight.freeze` by its own RPC name, which the wheel does not use: all lights freeze together."""
    sim.state.find_light(actor_id)
    freeze_all_traffic_lights(sim, client, frozen)


@methods.void
def reset_all_traffic_lights(sim: Simulation, client: RpcConnection) -> None:
    """`World.reset_all_traffic_lights`: every cycle starts anew."""
    sim.state.lights.reset_all()


@methods.void
def reset_traffic_light_group(sim: Simulation, client: RpcConnection, actor_id: int) -> None:
    """`TrafficLight.reset_group`: the cycle of its junction starts anew."""
    sim.state.lights.reset_group(sim.state.find_light(actor_id).sign_id)


@methods.value
def get_group_traffic_lights(sim: Simulation, client: RpcConnection, actor_id: int) -> list[int]:
    """`TrafficLight.get_group_traffic_lights`: those of its junction."""
    state = sim.state
    group = state.lights.group(state.find_light(actor_id).sign_id)
    return [state.light_actors[sign_id].id for sign_id in group]


@methods.value
def get_light_boxes(sim: Simulation, client: RpcConnection, actor_id: int) -> list[Wire]:
    """`TrafficLight.get_light_boxes`: one head, in the world."""
    pose = sim.state.find_light(actor_id).pose
    return [rpc_types.bounding_box((pose.x, pose.y, pose.z), _HEAD_EXTENT, (0.0, pose.yaw, 0.0))]
