"""Methods of CARLA's that minicarla does not have: each is answered with a sentence that names it.

The kind of result matters even here: the client reads an error in another form for each. Methods that are not in any
list get msgpack-rpc's own error, which the client shows as `rpc::rpc_error during call in function NAME`; the lists and
the other handlers have every method that the wheel calls.
"""

from functools import partial
from typing import Any, NoReturn

from minicarla.protocol.rpc import Method, Methods, Result, UnsupportedError

# By RPC name, the client's call; None where the wheel's Python has none.
_VALUE: dict[str, str | None] = {
    "get_navigation_mesh": None,
    "get_imui_gravity": "World.get_imui_sensor_gravity",
    "console_command": None,
    "get_gbuffer_token": None,
    "are_gbuffers_enabled": None,
    "is_sensor_enabled_for_ros": "ServerSideSensor.is_enabled_for_ros",
}
_VOID: dict[str, str | None] = {
    "apply_color_texture_to_objects": "World.apply_color_texture_to_objects",
    "apply_float_color_texture_to_objects": "World.apply_float_color_texture_to_objects",
    "set_annotations_traverse_translucency": "World.set_annotations_traverse_translucency",
    "set_imui_gravity": "World.set_imui_sensor_gravity",
    "set_actor_dead": None,
    "enable_carsim": "Vehicle.enable_carsim",
    "use_carsim_road": "Vehicle.use_carsim_road",
    "enable_chrono_physics": "Vehicle.enable_chrono_physics",
    "restore_physx_physics": "Vehicle.restore_physx_physics",
    "send": None,
    "enable_gbuffers": "ServerSideSensor.enable_gbuffers",
    "set_ignored_vehicles": "ServerSideSensor.set_ignored_vehicles",
    "enable_sensor_for_ros": "ServerSideSensor.enable_for_ros",
    "disable_sensor_for_ros": "ServerSideSensor.disable_for_ros",
}
# The client does not wait for an answer to these (LibCarla's client/detail/Client.cpp: AsyncCall): it cannot raise the
# error, and the server says it in its log, once for each client.
NOT_AWAITED = {
    "disable_sensor_for_ros", "enable_carsim", "enable_chrono_physics", "enable_sensor_for_ros",
    "restore_physx_physics", "send", "set_actor_dead", "set_annotations_traverse_translucency", "set_imui_gravity",
    "use_carsim_road",
}  # fmt: skip


def _refuse(name: str, client_call: str | None, *_: Any) -> NoReturn:
    raise UnsupportedError(f"minicarla does not have '{name}'" + (f" ({client_call})" if client_call else ""))


methods = Methods(
    {
        name: Method(partial(_refuse, name, client_call), kind)
        for kind, names in ((Result.VALUE, _VALUE), (Result.VOID, _VOID))
        for name, client_call in names.items()
    }
)

CALLS = {name: call for name, call in (_VALUE | _VOID).items() if call is not None}
