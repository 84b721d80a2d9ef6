"""Camera sensors."""

from collections.abc import Iterator, Mapping

from minicarla.limits import MAX_CAMERAS, MAX_IMAGE_PIXELS, MAX_TOTAL_PIXELS
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.render import FOV_DEG, CameraKind
from minicarla.sensors.base import StateSensor
from minicarla.sensors.scene import SceneView
from minicarla.world.attributes import integer, number
from minicarla.world.state import SimulationState

CAMERAS: Mapping[str, tuple[CameraKind, wire.SensorType]] = {
    "sensor.camera.rgb": ("rgb", wire.SensorType.RGB),
    "sensor.camera.depth": ("depth", wire.SensorType.DEPTH),
    "sensor.camera.semantic_segmentation": ("semantic", wire.SensorType.SEMANTIC),
    "sensor.camera.instance_segmentation": ("instance", wire.SensorType.INSTANCE),
    "sensor.camera.normals": ("normals", wire.SensorType.NORMALS),
}


class CameraSensor(StateSensor):
    """simplified: a pinhole camera's picture of plain shapes; lens and exposure change nothing."""

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, view: SceneView
    ) -> None:
        super().__init__(actor_id, description, pose, state)
        self.width = integer(description.attributes, "image_size_x", 1, MAX_IMAGE_PIXELS)
        self.height = integer(description.attributes, "image_size_y", 1, MAX_IMAGE_PIXELS)
        self.fov_deg = number(description.attributes, "fov", *FOV_DEG)
        if self.width * self.height > MAX_IMAGE_PIXELS:
            raise RpcError(f"a camera of {self.width}x{self.height} is too large: at most {MAX_IMAGE_PIXELS} pixels")
        cameras = [sensor for sensor in state.sensors if isinstance(sensor, CameraSensor)]
        if len(cameras) >= MAX_CAMERAS:
            raise RpcError(f"there are {MAX_CAMERAS} cameras already: destroy some first")
        taken = sum(camera.width * camera.height for camera in cameras)
        if taken + self.width * self.height > MAX_TOTAL_PIXELS:
            raise RpcError(f"all cameras together can have {MAX_TOTAL_PIXELS} pixels: destroy some, or ask for less")
        kind, self._type = CAMERAS[description.type_id]
        self._view = view
        self._camera = view.add_camera(kind, self.width, self.height, self.fov_deg)

    def frames(self) -> Iterator[Frame]:
        state = self._state
        if state.settings.no_rendering:
            return
        picture = self._view.picture(state, self._camera, self.pose)
        header = wire.image(
            self._type, state.frame, state.elapsed, self.place, self.width, self.height, self.fov_deg, len(picture)
        )
        yield header, picture

    def close(self) -> None:
        self._view.remove_camera(self._camera)
