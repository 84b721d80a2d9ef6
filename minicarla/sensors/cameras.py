"""Camera sensors: one picture each."""

from collections.abc import Iterator
from typing import ClassVar

from minicarla.limits import MAX_CAMERAS, MAX_IMAGE_PIXELS, MAX_TOTAL_PIXELS
from minicarla.maps import Pose
from minicarla.protocol import wire
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.render import FOV_DEG, CameraKind, Moment
from minicarla.sensors.base import StateSensor
from minicarla.sensors.scene import SceneView
from minicarla.world.attributes import integer, number
from minicarla.world.state import SimulationState


class CameraSensor(StateSensor):
    """What all cameras have in common: a pinhole camera's view of the scene. KIND: what it is rendered as."""

    KIND: ClassVar[CameraKind]
    TYPE: ClassVar[wire.SensorType]

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
        self._view = view
        self._camera = view.add_camera(self.KIND, self.width, self.height, self.fov_deg)

    def frames(self) -> Iterator[Frame]:
        state = self._state
        if state.settings.no_rendering:
            return
        body = self._body()
        if body is None:
            return
        header = wire.image(
            self.TYPE, state.frame, state.elapsed, self.place, self.width, self.height, self.fov_deg, len(body)
        )
        yield header, body

    def _body(self) -> bytes | None:
        """What follows the header, for the tick just made; None to send nothing."""
        return self._view.picture(self._state, self._camera, self.pose)

    def close(self) -> None:
        self._view.remove_camera(self._camera)


class RgbCamera(CameraSensor):
    """simplified: colours of plain shapes under sun, clouds, fog and rain; lens and exposure change nothing."""

    KIND, TYPE = "rgb", wire.SensorType.RGB


class DepthCamera(CameraSensor):
    """simplified: depth in CARLA's 24 bits, of plain shapes, without a lens's distortion."""

    KIND, TYPE = "depth", wire.SensorType.DEPTH


class SemanticCamera(CameraSensor):
    """simplified: CARLA's class tags, of plain shapes, without a lens's distortion."""

    KIND, TYPE = "semantic", wire.SensorType.SEMANTIC


class InstanceCamera(CameraSensor):
    """simplified: class tags, and ids of actors; houses, trees and all that is no actor have the id 0."""

    KIND, TYPE = "instance", wire.SensorType.INSTANCE


class NormalsCamera(CameraSensor):
    """simplified: normals in the world, of plain shapes; grey where the sky is."""

    KIND, TYPE = "normals", wire.SensorType.NORMALS


class CosmosCamera(CameraSensor):
    """simplified: whole surfaces, not outlines, in CARLA's colours; no borders of roads, no crossings."""

    KIND, TYPE = "cosmos", wire.SensorType.COSMOS


class OpticalFlowCamera(CameraSensor):
    """simplified: motion since the picture before, of rigid bodies: limbs and wheels do not move on their own.

    The convention is CARLA's, see `render.flow.flow_pixels`. In the first picture nothing moves.
    """

    KIND, TYPE = "depth", wire.SensorType.OPTICAL_FLOW
    _before: Moment | None = None

    def _body(self) -> bytes:
        flow, self._before = self._view.optical_flow(self._state, self._camera, self.pose, self._before)
        return flow
