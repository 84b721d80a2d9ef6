"""The cameras of minicarla: rgb, semantic and depth pictures of a town, rendered in software."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from minicarla.maps import Pose, Town
from minicarla.render import raster, shading
from minicarla.render.actors import MeshLibrary, VisualActor, axes, pack_actors
from minicarla.render.encodings import focal_length_px
from minicarla.render.environment import EnvironmentObject, faces_of
from minicarla.render.scene import build_scene, lit_colours, states_array
from minicarla.render.sky import light_scalars, sky_dome, sky_picture
from minicarla.render.weather import Weather, light_from_weather

CameraKind = Literal["rgb", "semantic", "depth"]

_SAMPLES = 2  # per pixel and axis of an rgb picture
_ACTOR_REACH_M = 250.0
_USUAL_FOCAL_PX = 128.0  # of the 256-pixel camera with 90 degrees that the reaches are meant for
_MAX_SIDE_PX = 8192
_BEHIND_EVERYTHING_M = 1e30  # offset of a plane that no camera is in front of


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
        self._scene = build_scene(town)
        self._static_count = len(self._scene.mesh)
        self._planes = self._scene.planes
        self._library = MeshLibrary()
        self._dome = sky_dome()
        self._cameras: dict[int, _Camera] = {}
        self._next_camera = 1
        self._colours = np.zeros((self._static_count, 3), np.float32)
        self._materials = self._scene.mesh.material.copy()
        self._tags = self._scene.mesh.tag.copy()
        self._weather: Weather | None = None
        self._light_states: dict[str, int] = {}
        self.update((), Weather(), {})
        self._compile()

    def _compile(self) -> None:
        """Renders one small picture of each kind, so that no tick has to wait for the compiler."""
        for kind in get_args(CameraKind):
            camera = self.add_camera(kind, 8, 8, 90.0)
            self.render(camera, Pose(0.0, 0.0, 1.5))
            self.remove_camera(camera)

    def update(self, actors: Sequence[VisualActor], weather: Weather, light_states: Mapping[str, int]) -> None:
        """Sets what the cameras see.

        Args:
          actors: vehicles and walkers, in an order that does not depend on chance.
          weather: CARLA's 14 weather numbers.
          light_states: sign id -> 0 red, 1 yellow, 2 green, 3 off (`carla.TrafficLightState`); others are off.
        """
        states_changed = self._light_states != light_states
        if weather != self._weather:
            self._weather, states_changed = weather, True
            self._light = light_from_weather(weather)
            self._light_scalars = light_scalars(self._light)
            self._sky = sky_picture(self._light, self._dome)
            self._colours[: self._static_count] = lit_colours(self._scene.mesh, self._light)
        if states_changed:
            self._light_states = dict(light_states)
            states = states_array(self._scene, tuple(light_states.items()))
            self._colours[self._scene.lamp_faces] = self._scene.lamps.colours(states)
        self._place(actors)

    def _place(self, actors: Sequence[VisualActor]) -> None:
        self._actors = placed = pack_actors(actors, self._library, self._static_count)
        library = self._library
        needed = self._static_count + len(placed.library_faces)
        if needed > len(self._colours):
            spare = needed + len(placed.library_faces)
            self._colours = _grown(self._colours, spare)
            self._materials, self._tags = _grown(self._materials, spare), _grown(self._tags, spare)
        self._materials[self._static_count : needed] = library.materials[placed.library_faces]
        self._tags[self._static_count : needed] = library.tags[placed.library_faces]
        shading.light_actors(
            library.normals, library.colours, library.materials, library.start,
            placed.mesh, placed.to_world, placed.paint, placed.first_face,
            self._light.to_sun, self._light.direct, self._light.ambient, self._colours,
        )  # fmt: skip

    def hide(self, things: Sequence[EnvironmentObject]) -> None:
        """Leaves these things of the town out of all pictures from now on, and no others."""
        self._planes = self._scene.planes.copy()
        self._planes[faces_of(things, self._scene.mesh), 3] = _BEHIND_EVERYTHING_M

    def add_camera(self, kind: CameraKind, width: int, height: int, fov_deg: float) -> int:
        """A camera of `width` x `height` pixels with a horizontal field of view; returns its handle.

        Raises:
          ValueError: unknown kind, or a size or angle that no camera can have.
        """
        if kind not in get_args(CameraKind):
            raise ValueError(f"Camera kind {kind!r} is unknown; use one of {', '.join(get_args(CameraKind))}.")
        if not (1 <= width <= _MAX_SIDE_PX and 1 <= height <= _MAX_SIDE_PX):
            raise ValueError(f"Camera size {width}x{height} is not possible; use 1 to {_MAX_SIDE_PX} pixels a side.")
        if not 1.0 <= fov_deg <= 170.0:
            raise ValueError(f"Camera fov {fov_deg} is not possible; use 1 to 170 degrees.")
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
        view = self._cameras[camera]
        forward, right, up = axes(pose)
        frame = np.array([forward, right, up, (pose.x, pose.y, pose.z)])  # [4, 3]
        self._rasterise(view, frame, hidden_actor)
        if view.kind == "rgb":
            shading.shade_rgb(
                view.faces, view.faces.view(np.int64), view.nearness, frame.astype(np.float32), view.focal,
                self._colours, self._materials, self._scene.windows, self._light_scalars, self._sky, view.picture,
            )  # fmt: skip
        elif view.kind == "semantic":
            shading.shade_tags(view.faces, self._tags, view.picture)
        else:
            shading.shade_depth(view.nearness, view.picture)
        return view.picture.tobytes()

    def _rasterise(self, view: _Camera, frame: np.ndarray, hidden_actor: int | None) -> None:
        scene, library, placed = self._scene, self._library, self._actors
        to_camera = np.empty((3, 4))
        to_camera[:, :3] = frame[1], -frame[2], frame[0]
        to_camera[:, 3] = -to_camera[:, :3] @ frame[3]
        view.nearness.fill(0.0)
        view.faces.fill(raster.NOTHING)
        raster.draw_static(
            scene.mesh.corners, self._planes, scene.chunk_start, scene.chunk_ball, scene.chunk_reach, view.reach,
            frame[3], to_camera, view.focal, view.nearness, view.faces, view.extent,
        )  # fmt: skip
        hidden = placed.ids.index(hidden_actor) if hidden_actor in placed.ids else -1
        raster.draw_actors(
            library.corners, library.materials, library.start,
            placed.mesh, placed.to_world, placed.radius, placed.first_face,
            hidden, view.kind != "rgb", _ACTOR_REACH_M * view.reach,
            to_camera, view.focal, view.nearness, view.faces, view.extent,
        )  # fmt: skip


def _grown(array: np.ndarray, length: int) -> np.ndarray:
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
