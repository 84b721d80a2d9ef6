"""The sensors by the ids of their blueprints."""

from collections.abc import Mapping

from minicarla.maps import Pose, Town
from minicarla.protocol.rpc_types import Description
from minicarla.sensors.base import StateSensor
from minicarla.sensors.cameras import CAMERAS, CameraRenderer, CameraSensor
from minicarla.sensors.detectors import CollisionSensor, LaneInvasionSensor, ObstacleSensor
from minicarla.sensors.navigation import GnssSensor, ImuSensor
from minicarla.world.sensor import Sensor
from minicarla.world.state import SimulationState

# A camera gets the renderer besides.
_OTHERS: Mapping[str, type[StateSensor]] = {
    "sensor.other.collision": CollisionSensor,
    "sensor.other.lane_invasion": LaneInvasionSensor,
    "sensor.other.obstacle": ObstacleSensor,
    "sensor.other.gnss": GnssSensor,
    "sensor.other.imu": ImuSensor,
}
SENSORS = (*CAMERAS, *_OTHERS)


def sensor_class(type_id: str) -> type[StateSensor]:
    """The class of a sensor's blueprint."""
    return CameraSensor if type_id in CAMERAS else _OTHERS[type_id]


class SensorFactory:
    """Makes the sensors of a simulation: a `world.state.SensorMaker`. All cameras share its renderer."""

    def __init__(self, town: Town) -> None:
        self._renderer = CameraRenderer(town)

    def prepare(self, town: Town) -> None:
        """Do what takes long of `load` beforehand; a thread may call it."""
        self._renderer.prepare(town)

    def load(self, town: Town) -> None:
        """Go over to a town; if that fails, the old one stays."""
        self._renderer.load(town)

    def makes(self, type_id: str) -> bool:
        """Whether the blueprint is a sensor's."""
        return type_id in SENSORS

    def make(self, state: SimulationState, actor_id: int, description: Description, pose: Pose) -> Sensor:
        """A new sensor.

        Raises:
          RpcError: there are too many cameras, or they are too large.
          ValueError: another attribute that cannot be.
        """
        if description.type_id in CAMERAS:
            return CameraSensor(actor_id, description, pose, state, self._renderer)
        return _OTHERS[description.type_id](actor_id, description, pose, state)
