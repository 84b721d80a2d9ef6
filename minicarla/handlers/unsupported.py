"""Methods of CARLA's that minicarla does not have: each is answered with a sentence that names it.

The kind of result matters even here: the client reads an error in another form for each. Methods that are not in any
list get msgpack-rpc's own error, which the client shows as `rpc::rpc_error during call in function NAME`.
"""

from functools import partial
from typing import Any, NoReturn

from minicarla.protocol.rpc import Method, Methods, Result, RpcError

_VALUE = [
    "start_recorder",
    "show_recorder_file_info",
    "show_recorder_collisions",
    "show_recorder_actors_blocked",
    "replay_file",
    "get_navigation_mesh",
    "request_file",
    "get_imui_gravity",
    "console_command",
    "get_actor_component_world_transform",
    "get_actor_component_relative_transform",
    "get_actor_component_names",
    "get_actor_bone_world_transforms",
    "get_actor_bone_relative_transforms",
    "get_actor_bone_names",
    "get_actor_socket_world_transforms",
    "get_actor_socket_relative_transforms",
    "get_actor_socket_names",
    "get_vehicle_bone_world_transforms",
    "get_bones_transform",
    "get_gbuffer_token",
    "is_sensor_enabled_for_ros",
    "get_wheel_pitch_angle",
]
_VOID = [
    "load_map_layer",
    "unload_map_layer",
    "apply_color_texture_to_objects",
    "apply_float_color_texture_to_objects",
    "stop_recorder",
    "stop_replayer",
    "set_replayer_time_factor",
    "set_replayer_ignore_hero",
    "set_replayer_ignore_spectator",
    "enable_environment_objects",
    "set_annotations_traverse_translucency",
    "set_imui_gravity",
    "add_actor_impulse_at_location",
    "add_actor_force_at_location",
    "set_actor_dead",
    "reset_traffic_light_group",
    "open_vehicle_door",
    "close_vehicle_door",
    "set_wheel_steer_direction",
    "set_wheel_pitch_angle",
    "enable_carsim",
    "use_carsim_road",
    "enable_chrono_physics",
    "restore_physx_physics",
    "set_bones_transform",
    "blend_pose",
    "get_pose_from_animation",
    "send",
    "enable_sensor_for_ros",
    "disable_sensor_for_ros",
]


def _refuse(name: str, *_: Any) -> NoReturn:
    raise RpcError(f"minicarla does not have '{name}'")


methods = Methods(
    {
        name: Method(partial(_refuse, name), kind)
        for kind, names in ((Result.VALUE, _VALUE), (Result.VOID, _VOID))
        for name in names
    }
)
