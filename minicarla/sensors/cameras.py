"""Camera sensors, and the renderer that they share."""

from collections.abc import Iterator, Mapping

from minicarla.limits import MAX_CAMERAS, MAX_IMAGE_PIXELS, MAX_TOTAL_PIXELS
from minicarla.maps import Pose, Town
from minicarla.protocol import wire
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description
from minicarla.protocol.streams import Frame
from minicarla.render import CameraKind, Renderer, VisualActor
from minicarla.render.environment import environment_objects
from minicarla.sensors.base import StateSensor
from minicarla.world.actors import Prop, Vehicle, Walker
from minicarla.world.state import SimulationState

CAMERAS: Mapping[str, tuple[CameraKind, wire.SensorType]] = {
    "sensor.camera.rgb": ("rgb", wire.SensorType.RGB),
    "sensor.camera.depth": ("depth", wire.SensorType.DEPTH),
    "sensor.camera.semantic_segmentation": ("semantic", wire.SensorType.SEMANTIC),
}
_WALKER_CLOTHES = ((60, 70, 110), (120, 60, 50), (70, 100, 70), (150, 140, 120), (50, 50, 55))
_PROP_COLOUR = (230, 110, 30)


class CameraRenderer:
    """Pictures of the current town: one renderer for all cameras, made with the town, fed once a tick.

    The renderer is made at once: where its kernels are not compiled yet that takes seconds, and a server may take them
    before it is ready, but not within a client's call.
    """

    def __init__(self, town: Town) -> None:
        self._town = town
        self._renderer = Renderer(town)
        self._prepared: tuple[Town, Renderer] | None = None
        self._hidden: frozenset[int] = frozenset()  # numbers of the environment objects that are left out
        self._drawn: tuple[int, int] | None = None  # episode and frame of what the renderer has been fed

    def prepare(self, town: Town) -> None:
        """Make a town's renderer for the `load` to come; a thread may call it."""
        if town is not self._town:
            self._prepared = (town, Renderer(town))

    def load(self, town: Town) -> None:
        """Go over to a town; staying in the same one costs nothing."""
        self._drawn = None
        if town is not self._town:
            prepared = self._prepared
            # If that fails, the old one stays.
            renderer = prepared[1] if prepared is not None and prepared[0] is town else Renderer(town)
            self._renderer.close()
            self._town, self._renderer, self._prepared = town, renderer, None
            self._hidden = frozenset()

    def add_camera(self, kind: CameraKind, width: int, height: int, fov_deg: float) -> int:
        """A new camera's handle."""
        return self._renderer.add_camera(kind, width, height, fov_deg)

    def remove_camera(self, camera: int) -> None:
        """Forget a camera."""
        self._renderer.remove_camera(camera)

    def picture(self, state: SimulationState, camera: int, pose: Pose) -> bytes:
        """BGRA rows of what the camera sees from `pose` in the simulation as it is now."""
        if self._drawn != (state.episode, state.frame):
            self._drawn = (state.episode, state.frame)
            self._renderer.update(_visible(state), state.weather, state.lights.states())
        if self._hidden != state.hidden:
            self._hidden = state.hidden
            things = environment_objects(self._town)
            self._renderer.hide([things[number] for number in sorted(state.hidden)])
        return self._renderer.render(camera, pose)


class CameraSensor(StateSensor):
    """simplified: a pinhole camera's picture of plain shapes; lens and exposure change nothing."""

    def __init__(
        self, actor_id: int, description: Description, pose: Pose, state: SimulationState, renderer: CameraRenderer
    ) -> None:
        super().__init__(actor_id, description, pose, state)
        self.width = int(description.number("image_size_x", 800))
        self.height = int(description.number("image_size_y", 600))
        self.fov_deg = description.number("fov", 90.0)
        if self.width * self.height > MAX_IMAGE_PIXELS:
            raise RpcError(f"a camera of {self.width}x{self.height} is too large: at most {MAX_IMAGE_PIXELS} pixels")
        cameras = [sensor for sensor in state.sensors if isinstance(sensor, CameraSensor)]
        if len(cameras) >= MAX_CAMERAS:
            raise RpcError(f"there are {MAX_CAMERAS} cameras already: destroy some first")
        taken = sum(camera.width * camera.height for camera in cameras)
        if taken + self.width * self.height > MAX_TOTAL_PIXELS:
            raise RpcError(f"all cameras together can have {MAX_TOTAL_PIXELS} pixels: destroy some, or ask for less")
        kind, self._type = CAMERAS[description.type_id]
        self._renderer = renderer
        self._camera = renderer.add_camera(kind, self.width, self.height, self.fov_deg)

    def frames(self) -> Iterator[Frame]:
        state = self._state
        if state.settings.no_rendering:
            return
        pose = self.pose
        picture = self._renderer.picture(state, self._camera, pose)
        place = (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)
        header = wire.image(
            self._type, state.frame, state.elapsed, place, self.width, self.height, self.fov_deg, len(picture)
        )
        yield header, picture

    def close(self) -> None:
        self._renderer.remove_camera(self._camera)


def _visible(state: SimulationState) -> list[VisualActor]:
    vehicles = [_visual(vehicle, vehicle.colour) for vehicle in state.vehicles]
    walkers = [_visual(walker, _WALKER_CLOTHES[walker.id % len(_WALKER_CLOTHES)]) for walker in state.walkers]
    return vehicles + walkers + [_visual(prop, _PROP_COLOUR) for prop in state.props]


def _visual(actor: Vehicle | Walker | Prop, colour: tuple[int, int, int]) -> VisualActor:
    return VisualActor(actor.id, actor.type_id, actor.pose, actor.extent, colour)
