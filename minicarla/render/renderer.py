"""The cameras of minicarla: pictures of a town, rendered in software."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from minicarla.maps import Pose, Town
from minicarla.render import flow, raster, shading
from minicarla.render.actors import VisualActor, axes
from minicarla.render.encodings import focal_length_px
from minicarla.render.environment import EnvironmentObject
from minicarla.render.labels import cosmos_pixels, instance_pixels, normal_pixels
from minicarla.render.stage import Stage
from minicarla.render.weather import Weather

CameraKind = Literal["rgb", "semantic", "depth", "instance", "normals", "cosmos"]

_SAMPLES = 2  # per pixel and axis of an rgb picture
_ACTOR_REACH_M = 250.0
_NOTHING_BYTE = raster.NOTHING & 0xFF  # all bytes of -1 are alike, and bytes are filled in half the time
_LABELS: Mapping[CameraKind, Callable[[Stage], np.ndarray]] = {
    "instance": instance_pixels,
    "normals": normal_pixels,
    "cosmos": cosmos_pixels,
}
_USUAL_FOCAL_PX = 128.0  # of the 256-pixel camera with 90 degrees that the reaches are meant for
_MAX_SIDE_PX = 8192
FOV_DEG = (1.0, 170.0)  # least and most


@dataclass(frozen=True)
class _Camera:
    """kind, and the sample buffers of a camera. focal: in samples. reach: how many times farther than usual it sees."""

    kind: CameraKind
    focal: float
    reach: float
    nearness: np.ndarray  # [rows, columns] float32, 1/m
    faces: np.ndarray  # [rows, columns] int32
    extent: np.ndarray  # [rows, 2] float64
    picture: np.ndarray  # [height, width] uint32, BGRA bytes


class Renderer:
    """Pictures of one town. The same calls give the same bytes, in any process.

    Call `update` once a tick, then `render` for every camera that has a picture due.
    """

    def __init__(self, town: Town) -> None:
        self.stage = Stage(town)
        self._cameras: dict[int, _Camera] = {}
        self._next_camera = 1
        self._compile()

    def _compile(self) -> None:
        """Renders one small picture of each kind, so that no tick has to wait for the compiler."""
        for kind in get_args(CameraKind):
            camera = self.add_camera(kind, 8, 8, 90.0)
            self.render(camera, Pose(0.0, 0.0, 1.5))
            if kind == "depth":
                self.optical_flow(camera, Pose(0.0, 0.0, 1.5), None)
            self.remove_camera(camera)

    def update(
        self, actors: Sequence[VisualActor], places: np.ndarray, weather: Weather, light_states: Mapping[str, int]
    ) -> None:
        """Sets what the cameras see, see `Stage.update`."""
        self.stage.update(actors, places, weather, light_states)

    def hide(self, things: Sequence[EnvironmentObject]) -> None:
        """Leaves these things of the town out of all pictures from now on, and no others."""
        self.stage.hide(things)

    def add_camera(self, kind: CameraKind, width: int, height: int, fov_deg: float) -> int:
        """A camera of `width` x `height` pixels with a horizontal field of view; returns its handle.

        Raises:
          ValueError: unknown kind, or a size or angle that no camera can have.
        """
        if kind not in get_args(CameraKind):
            raise ValueError(f"Camera kind {kind!r} is unknown; use one of {', '.join(get_args(CameraKind))}.")
        if not (1 <= width <= _MAX_SIDE_PX and 1 <= height <= _MAX_SIDE_PX):
            raise ValueError(f"Camera size {width}x{height} is not possible; use 1 to {_MAX_SIDE_PX} pixels a side.")
        if not FOV_DEG[0] <= fov_deg <= FOV_DEG[1]:
            raise ValueError(f"Camera fov {fov_deg} is not possible; use {FOV_DEG[0]:g} to {FOV_DEG[1]:g} degrees.")
        factor = _SAMPLES if kind == "rgb" else 1
        rows, columns = factor * height, factor * width
        handle, self._next_camera = self._next_camera, self._next_camera + 1
        self._cameras[handle] = _Camera(
            kind=kind,
            focal=factor * focal_length_px(width, fov_deg),
            # Depth is a measurement: nothing is too small or too far for it.
            reach=math.inf if kind == "depth" else max(1.0, focal_length_px(width, fov_deg) / _USUAL_FOCAL_PX),
            nearness=np.zeros((rows, columns), np.float32),
            faces=np.zeros((rows, columns), np.int32),
            extent=np.zeros((rows, 2)),
            picture=np.zeros((height, width), np.dtype("<u4")),
        )
        return handle

    def remove_camera(self, camera: int) -> None:
        """Forgets a camera; a handle that is not there is not an error."""
        self._cameras.pop(camera, None)

    def close(self) -> None:
        """Forgets every camera."""
        self._cameras.clear()

    def render(self, camera: int, pose: Pose, hidden_actor: int | None = None) -> bytes:
        """The picture from `pose` (world frame), without the actor `hidden_actor`.

        Returns:
          BGRA bytes, row-major, top row first, width * height * 4; see `encodings` for the semantic and depth kinds.

        Raises:
          KeyError: no camera has this handle.
        """
        view, stage = self._cameras[camera], self.stage
        frame = _frame(pose)
        drawn = self._rasterise(view, frame, hidden_actor)
        if view.kind == "rgb":
            stage.light_actors(drawn)
            shading.shade_rgb(
                view.faces, view.faces.view(np.int64), view.nearness, frame.astype(np.float32), view.focal,
                stage.colours, stage.materials, stage.scene.windows, stage.light_scalars, stage.sky, view.picture,
            )  # fmt: skip
        elif view.kind == "semantic":
            shading.shade_tags(view.faces, stage.tags, view.picture)
        elif view.kind == "depth":
            shading.shade_depth(view.nearness, view.picture)
        else:
            view.picture[:] = _LABELS[view.kind](stage)[view.faces]
        return view.picture.tobytes()

    def optical_flow(self, camera: int, pose: Pose, since: flow.Moment | None) -> tuple[bytes, flow.Moment]:
        """How what a depth camera sees from `pose` has moved in its picture since then; nothing has since None.

        Returns:
          float32 pairs as of `flow.flow_pixels`, row-major, top row first; and this moment, for the next call.

        Raises:
          KeyError: no camera has this handle.
        """
        view, now = self._cameras[camera], flow.Moment(_frame(pose), self.stage.actors)
        self._rasterise(view, now.frame, None)
        pixels = np.empty((*view.nearness.shape, 2), np.float32)
        flow.flow_pixels(
            view.nearness, view.faces, view.focal, self.stage.static_count, flow.actor_of_face(now, self.stage.library),
            flow.to_earlier_camera(now, since or now), pixels,
        )  # fmt: skip
        return pixels.tobytes(), now

    def _rasterise(self, view: _Camera, frame: np.ndarray, hidden_actor: int | None) -> np.ndarray:
        """Finds what each sample sees; [A] bool, which of the actors are in the picture."""
        scene, library, placed = self.stage.scene, self.stage.library, self.stage.actors
        to_camera = np.empty((3, 4))
        to_camera[:, :3] = frame[1], -frame[2], frame[0]
        to_camera[:, 3] = -to_camera[:, :3] @ frame[3]
        view.nearness.view(np.uint8).fill(0)
        view.faces.view(np.uint8).fill(_NOTHING_BYTE)
        raster.draw_static(
            scene.mesh.corners, self.stage.planes, scene.chunk_start, scene.chunk_ball, scene.chunk_reach, view.reach,
            frame[3], to_camera, view.focal, view.nearness, view.faces, view.extent,
        )  # fmt: skip
        hidden = placed.ids.index(hidden_actor) if hidden_actor in placed.ids else -1
        drawn = np.empty(len(placed.ids), np.bool_)
        raster.draw_actors(
            library.corners, library.materials, library.start,
            placed.mesh, placed.to_world, placed.radius, placed.first_face, drawn,
            hidden, view.kind != "rgb", _ACTOR_REACH_M * view.reach,
            to_camera, view.focal, view.nearness, view.faces, view.extent,
        )  # fmt: skip
        return drawn


def _frame(pose: Pose) -> np.ndarray:
    """[4, 3]: forward, right, up and place of a camera in the world."""
    return np.array([*axes(pose), (pose.x, pose.y, pose.z)])
