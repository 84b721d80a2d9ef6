"""Vehicles, walkers and props of one tick as arrays for the rasteriser."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from minicarla.maps import Pose
from minicarla.numba_cache import CACHE
from minicarla.render.mesh import Mesh, merge
from minicarla.render.vehicles import Size, actor_mesh


@dataclass(frozen=True, slots=True)
class VisualActor:
    """Something that moves and is seen.

    extent: half sizes (m). colour: paint of a vehicle, clothes of a walker, RGB 0..255.
    """

    actor_id: int
    blueprint_id: str
    extent: Size
    colour: tuple[int, int, int]


def axes(pose: Pose) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
    """Forward, right and up of a pose, unit vectors in the world.

    CARLA's rotation: yaw clockwise from above, positive pitch lifts the nose, positive roll lowers the right side
    (`carla.Transform.get_forward_vector` and its siblings).
    """
    yaw = math.radians(pose.yaw)
    if pose.pitch == pose.roll == 0.0:
        cy, sy = math.cos(yaw), math.sin(yaw)
        return (cy, sy, 0.0), (-sy, cy, 0.0), (0.0, 0.0, 1.0)
    pitch, roll = math.radians(pose.pitch), math.radians(pose.roll)
    cp, sp, cy, sy, cr, sr = (
        math.cos(pitch),
        math.sin(pitch),
        math.cos(yaw),
        math.sin(yaw),
        math.cos(roll),
        math.sin(roll),
    )
    forward = (cp * cy, cp * sy, sp)
    right = (cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr)
    up = (-cy * sp * cr - sy * sr, -sy * sp * cr + cy * sr, cp * cr)
    return forward, right, up


class MeshLibrary:
    """Meshes of the actors seen so far, one for each blueprint and size, behind each other in flat arrays."""

    def __init__(self) -> None:
        self._index: dict[tuple[str, Size], int] = {}
        self._meshes: list[Mesh] = []
        self._flatten()

    def indices(self, actors: Sequence[VisualActor]) -> np.ndarray:
        """[A] int64, places of the actors' meshes; one is built when first asked for."""
        keys = [(actor.blueprint_id, actor.extent) for actor in actors]
        known = len(self._meshes)
        for key in keys:
            if key not in self._index:
                self._index[key] = len(self._meshes)
                self._meshes.append(actor_mesh(*key))
        if len(self._meshes) > known:
            self._flatten()
        return np.array([self._index[key] for key in keys], np.int64)

    def _flatten(self) -> None:
        everything = merge(self._meshes)
        self.corners = everything.corners  # [M, 4, 3] float32
        self.normals = np.ascontiguousarray(everything.normals(), np.float32)  # [M, 3]
        self.colours = np.ascontiguousarray(everything.colour, np.float32)  # [M, 3]
        self.materials = everything.material  # [M]
        self.tags = everything.tag  # [M]
        self.start = np.cumsum([0, *(len(mesh) for mesh in self._meshes)]).astype(np.int64)  # [K + 1]
        reach = [float(np.linalg.norm(mesh.corners, axis=2).max()) for mesh in self._meshes]
        self.radius = np.array(reach, np.float64)  # [K] m, around the origin


@dataclass(frozen=True)
class ActorArrays:
    """A actors, with the faces that they have in this tick's picture.

    ids: [A] actor ids. mesh: [A] int64. to_world: [A, 3, 4] float64. radius: [A] float64, m. paint: [A, 3] float32.
    first_face: [A] int64, picture id of each actor's first face.
    library_faces: [N] int64, place of each face in the library.
    """

    ids: tuple[int, ...]
    mesh: np.ndarray
    to_world: np.ndarray
    radius: np.ndarray
    paint: np.ndarray
    first_face: np.ndarray
    library_faces: np.ndarray


def pack_actors(actors: Sequence[VisualActor], library: MeshLibrary, first_face: int) -> ActorArrays:
    """Arrays of the actors, in the order given, at the origin; their faces are numbered from `first_face` on."""
    mesh = library.indices(actors)
    count = library.start[mesh + 1] - library.start[mesh]
    offset = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    # Faces first..first + count of each actor's mesh, one actor behind the other.
    library_faces = np.arange(offset[-1]) + np.repeat(library.start[mesh] - offset[:-1], count)
    return ActorArrays(
        ids=tuple([actor.actor_id for actor in actors]),
        mesh=mesh,
        to_world=np.zeros((len(actors), 3, 4)),
        radius=library.radius[mesh],
        paint=np.array([actor.colour for actor in actors], np.float32).reshape(-1, 3),
        first_face=offset[:-1] + first_face,
        library_faces=library_faces,
    )


@njit(cache=CACHE)
def to_world(places: np.ndarray) -> np.ndarray:
    """[A, 3, 4] float64, the transforms of bodies at places [A, 6]: x, y, z (m), pitch, yaw, roll (deg); see `axes`."""
    found = np.empty((places.shape[0], 3, 4))
    for number in range(places.shape[0]):
        place, rows = places[number], found[number]
        pitch, yaw, roll = math.radians(place[3]), math.radians(place[4]), math.radians(place[5])
        cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
        cr, sr = math.cos(roll), math.sin(roll)
        rows[0, 0], rows[1, 0], rows[2, 0] = cp * cy, cp * sy, sp
        rows[0, 1], rows[1, 1], rows[2, 1] = cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr
        rows[0, 2], rows[1, 2], rows[2, 2] = -cy * sp * cr - sy * sr, -sy * sp * cr + cy * sr, cp * cr
        rows[0, 3], rows[1, 3], rows[2, 3] = place[0], place[1], place[2]
    return found
