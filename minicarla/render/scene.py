"""The town as arrays for the rasteriser: faces grouped into chunks that are culled together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minicarla.maps import Town
from minicarla.render import roads, scenery
from minicarla.render.encodings import Tag
from minicarla.render.mesh import Material, Mesh, merge
from minicarla.render.scenery import Lamps
from minicarla.render.weather import SIDE_LIGHT, Light

_CHUNK_M = 40.0
_ALWAYS_M = 1e6
# Beyond these distances a thing is smaller than a pixel of a 256-pixel-wide picture, or lost in haze.
_FINE_REACH_M, _COARSE_REACH_M = 130.0, 350.0


@dataclass(frozen=True)
class StaticScene:
    """What does not move.

    mesh: F faces, grouped by chunk. planes: [F, 4] float32, unit normal and offset. windows: [F, 6] float32, for FACADE
    faces the foot of the left edge (x, y, z), the horizontal direction (x, y) and the width in m.
    chunk_start: [C + 1] int64; chunk_ball: [C, 4] float32 (centre, radius); chunk_reach: [C] float32, m.
    sign_index: light id -> place in the array of light states. lamps, lamp_faces: the lamps and the ids of their faces.
    light_of: [F] int32, the light that a face is part of, by its place in the town's list; -1 for none.
    """

    mesh: Mesh
    planes: np.ndarray
    windows: np.ndarray
    chunk_start: np.ndarray
    chunk_ball: np.ndarray
    chunk_reach: np.ndarray
    sign_index: dict[str, int]
    lamps: Lamps
    lamp_faces: np.ndarray
    light_of: np.ndarray


def build_scene(town: Town) -> StaticScene:
    """Geometry of a town: roads from its map, and what stands beside them."""
    lanes = town.lanes
    posts, lamps = scenery.traffic_lights(town.lights)
    plates = scenery.signs(town.signs if town.draws_signs else ())
    layers = [
        (roads.ground(lanes, town.surface), _ALWAYS_M, 0),
        (
            merge([roads.surfaces(lanes), roads.decks(lanes, town.surface), scenery.buildings(town.buildings)]),
            _COARSE_REACH_M,
            0,
        ),
        (scenery.trees(lanes, town.buildings, town.surface), 0.5 * (_FINE_REACH_M + _COARSE_REACH_M), 0),
        (
            merge([roads.edges(lanes), roads.junction_aprons(lanes), roads.markings(lanes), plates]),
            _FINE_REACH_M,
            0,
        ),
        (posts, _FINE_REACH_M, len(town.lights)),
        (lamps.mesh, _FINE_REACH_M, len(town.lights)),
    ]
    total = merge(mesh for mesh, *_ in layers)
    reach = np.concatenate([np.full(len(mesh), distance) for mesh, distance, *_ in layers])
    order, start = _group(total, reach)
    mesh = total.take(order)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    normal = mesh.normals()
    return StaticScene(
        mesh=mesh,
        planes=np.column_stack([normal, (normal * mesh.corners[:, 0]).sum(axis=1)]).astype(np.float32),
        windows=_windows(mesh),
        chunk_start=start,
        chunk_ball=np.array(list(_balls(mesh, start)), np.float32).reshape(-1, 4),
        chunk_reach=reach[order][start[:-1]].astype(np.float32),
        sign_index={light.sign_id: i for i, light in enumerate(town.lights)},
        lamps=lamps,
        lamp_faces=place[len(total) - len(lamps.mesh) :],
        light_of=np.concatenate([_item_of(mesh, lights) for mesh, _, lights in layers])[order],
    )


def _item_of(mesh: Mesh, items: int) -> np.ndarray:
    """[F] int32, the number of the item that each face belongs to, for items of equally many faces; -1 for no items."""
    if not items:
        return np.full(len(mesh), -1, np.int32)
    return np.repeat(np.arange(items, dtype=np.int32), len(mesh) // items)


def _group(mesh: Mesh, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order that brings the faces of one tile and one reach together, and the first face of each such chunk."""
    tile = np.floor(mesh.corners[:, :, :2].mean(axis=1) / _CHUNK_M).astype(np.int64)
    keys = np.column_stack([reach, tile])
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    first = np.flatnonzero(np.any(ordered[1:] != ordered[:-1], axis=1)) + 1
    return order, np.concatenate([[0], first, [len(order)]]).astype(np.int64)


def _balls(mesh: Mesh, start: np.ndarray) -> Iterator[tuple[float, float, float, float]]:
    for begin, end in pairwise(start):
        points = mesh.corners[begin:end].reshape(-1, 3)
        centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
        radius = np.linalg.norm(points - centre, axis=1).max()
        yield float(centre[0]), float(centre[1]), float(centre[2]), float(radius) + 1e-3


def _windows(mesh: Mesh) -> np.ndarray:
    windows = np.zeros((len(mesh), 6), np.float32)
    facade = mesh.material == Material.FACADE
    left, right = mesh.corners[facade, 0], mesh.corners[facade, 1]
    along = (right - left)[:, :2]
    width = np.linalg.norm(along, axis=1, keepdims=True)
    windows[facade] = np.concatenate([left, along / np.maximum(width, 1e-6), width], axis=1)
    return windows


def lit_colours(mesh: Mesh, light: Light) -> np.ndarray:
    """Colours of faces under a light: Lambert for the sun, more of the sky's light the more a face looks up.

    Returns:
      [F, 3] float32, 0..255.
    """
    normal = mesh.normals()
    albedo = mesh.colour.astype(np.float32)
    sun = np.maximum((normal * light.to_sun).sum(axis=1), 0.0)[:, None] * light.direct
    sky = (SIDE_LIGHT + (1.0 - SIDE_LIGHT) * normal[:, 2:3]) * light.ambient
    lit = albedo * (sun + sky)
    lit[mesh.tag == Tag.ROADS] *= light.darkening  # not its paint
    glowing = mesh.material == Material.EMISSIVE
    lit[glowing] = albedo[glowing]
    return np.ascontiguousarray(np.minimum(lit, 255.0), np.float32)


def states_array(scene: StaticScene, states: Sequence[tuple[str, int]]) -> np.ndarray:
    """[S] int states of the scene's lights (3, off, where none is given); unknown ids are ignored."""
    values = np.full(len(scene.sign_index), 3, np.int64)
    for sign_id, state in states:
        if sign_id in scene.sign_index:
            values[scene.sign_index[sign_id]] = state
    return values
