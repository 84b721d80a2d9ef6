"""The sensors by the ids of their blueprints."""

from collections.abc import Mapping

from minicarla.maps import Pose, Town
from minicarla.protocol.rpc_types import Description
from minicarla.sensors.base import StateSensor
from minicarla.sensors.cameras import (
    CameraSensor,
    CosmosCamera,
    DepthCamera,
    InstanceCamera,
    NormalsCamera,
    OpticalFlowCamera,
    RgbCamera,
    SemanticCamera,
)
from minicarla.sensors.detectors import CollisionSensor, LaneInvasionSensor, ObstacleSensor
from minicarla.sensors.dvs import DvsCamera
from minicarla.sensors.lidar import LidarSensor, SemanticLidarSensor
from minicarla.sensors.navigation import GnssSensor, ImuSensor
from minicarla.sensors.radar import RadarSensor
from minicarla.sensors.scene import SceneView
from minicarla.world.sensor import Sensor
from minicarla.world.state import SimulationState

_SEEING: Mapping[str, type[CameraSensor | LidarSensor | SemanticLidarSensor | RadarSensor]] = {
    "sensor.camera.rgb": RgbCamera,
    "sensor.camera.depth": DepthCamera,
    "sensor.camera.semantic_segmentation": SemanticCamera,
    "sensor.camera.instance_segmentation": InstanceCamera,
    "sensor.camera.normals": NormalsCamera,
    "sensor.camera.optical_flow": OpticalFlowCamera,
    "sensor.camera.cosmos_visualization": CosmosCamera,
    "sensor.camera.dvs": DvsCamera,
    "sensor.lidar.ray_cast": LidarSensor,
    "sensor.lidar.ray_cast_semantic": SemanticLidarSensor,
    "sensor.other.radar": RadarSensor,
}
_OTHERS: Mapping[str, type[StateSensor]] = {
    "sensor.other.collision": CollisionSensor,
    "sensor.other.lane_invasion": LaneInvasionSensor,
    "sensor.other.obstacle": ObstacleSensor,
    "sensor.other.gnss": GnssSensor,
    "sensor.other.imu": ImuSensor,
}
SENSORS = (*_SEEING, *_OTHERS)


def sensor_class(type_id: str) -> type[StateSensor]:
    """The class of a sensor's blueprint."""
    return _SEEING.get(type_id) or _OTHERS[type_id]


class SensorFactory:
    """Makes the sensors of a simulation: a `world.state.SensorMaker`. All that see share one view."""

    def __init__(self, town: Town) -> None:
        self._view = SceneView(town)

    def prepare(self, town: Town) -> None:
        """Do what takes long of `load` beforehand; a thread may call it."""
        self._view.prepare(town)

    def load(self, town: Town) -> None:
        """Go over to a town; if that fails, the old one stays."""
        self._view.load(town)

    def makes(self, type_id: str) -> bool:
        """Whether the blueprint is a sensor's."""
        return type_id in SENSORS

    def make(self, state: SimulationState, actor_id: int, description: Description, pose: Pose) -> Sensor:
        """A new sensor.

        Raises:
          RpcError: there are too many cameras or points, or they are too large.
          ValueError: another attribute that cannot be.
        """
        if description.type_id in _SEEING:
            return _SEEING[description.type_id](actor_id, description, pose, state, self._view)
        return _OTHERS[description.type_id](actor_id, description, pose, state)
