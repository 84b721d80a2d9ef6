"""Methods of CARLA's that minicarla does not have: each is answered with a sentence that names it.

The kind of result matters even here: the client reads an error in another form for each. Methods that are not in any
list get msgpack-rpc's own error, which the client shows as `rpc::rpc_error during call in function NAME`.
"""

from functools import partial
from typing import Any, NoReturn

from minicarla.protocol.rpc import Method, Methods, Result, RpcError

# By RPC name, the client's call; None where the wheel's Python has none.
_VALUE: dict[str, str | None] = {
    "start_recorder": "Client.start_recorder",
    "show_recorder_file_info": "Client.show_recorder_file_info",
    "show_recorder_collisions": "Client.show_recorder_collisions",
    "show_recorder_actors_blocked": "Client.show_recorder_actors_blocked",
    "replay_file": "Client.replay_file",
    "get_navigation_mesh": None,
    "request_file": "Client.request_file",
    "get_imui_gravity": "World.get_imui_sensor_gravity",
    "console_command": None,
    "get_bones_transform": "Walker.get_bones",
    "get_gbuffer_token": None,
    "is_sensor_enabled_for_ros": None,
}
_VOID: dict[str, str | None] = {
    "apply_color_texture_to_objects": "World.apply_color_texture_to_objects",
    "apply_float_color_texture_to_objects": "World.apply_float_color_texture_to_objects",
    "stop_recorder": "Client.stop_recorder",
    "stop_replayer": "Client.stop_replayer",
    "set_replayer_time_factor": "Client.set_replayer_time_factor",
    "set_replayer_ignore_hero": "Client.set_replayer_ignore_hero",
    "set_replayer_ignore_spectator": "Client.set_replayer_ignore_spectator",
    "enable_environment_objects": "World.enable_environment_objects",
    "set_annotations_traverse_translucency": "World.set_annotations_traverse_translucency",
    "set_imui_gravity": "World.set_imui_sensor_gravity",
    "set_actor_dead": None,
    "reset_traffic_light_group": "TrafficLight.reset_group",
    "enable_carsim": "Vehicle.enable_carsim",
    "use_carsim_road": "Vehicle.use_carsim_road",
    "enable_chrono_physics": "Vehicle.enable_chrono_physics",
    "restore_physx_physics": "Vehicle.restore_physx_physics",
    "set_bones_transform": "Walker.set_bones",
    "blend_pose": "Walker.blend_pose",
    "get_pose_from_animation": "Walker.get_pose_from_animation",
    "send": None,
    "enable_sensor_for_ros": None,
    "disable_sensor_for_ros": None,
}


def _refuse(name: str, *_: Any) -> NoReturn:
    raise RpcError(f"minicarla does not have '{name}'")


methods = Methods(
    {
        name: Method(partial(_refuse, name), kind)
        for kind, names in ((Result.VALUE, _VALUE), (Result.VOID, _VOID))
        for name in names
    }
)

CLIENT_CALLS = tuple(call for call in (_VALUE | _VOID).values() if call is not None)
