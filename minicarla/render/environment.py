"""What stands in a town, thing by thing, as `World.get_environment_objects` lists it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minicarla.maps import OrientedBox, Pose, Town
from minicarla.render import scenery
from minicarla.render.encodings import Tag
from minicarla.render.mesh import Mesh, turn
from minicarla.render.roads import ASPHALT_KINDS

_ROAD_HALF_HEIGHT_M = 0.05
_RIM_M = 0.2  # by which a thing may be drawn larger than its box


@dataclass(frozen=True, slots=True)
class EnvironmentObject:
    """One thing: its name, its class, its foot and the box around it in the world."""

    name: str
    label: Tag
    pose: Pose
    box: OrientedBox


@lru_cache(maxsize=1)
def environment_objects(town: Town) -> tuple[EnvironmentObject, ...]:
    """Buildings, lights, signs where cameras see them, their poles, roads, sidewalks and trees; the same every time."""
    parts = (_buildings(town), _lights(town), _signs(town), _lanes(town), _trees(town))
    return tuple(thing for part in parts for thing in part)


def _standing(name: str, label: Tag, box: OrientedBox) -> EnvironmentObject:
    return EnvironmentObject(name, label, Pose(box.x, box.y, box.z - box.ez, yaw=box.yaw), box)


def _buildings(town: Town) -> Iterator[EnvironmentObject]:
    for number, building in enumerate(town.buildings):
        yield _standing(f"Building_{number}", Tag.BUILDINGS, building.box)


def _lights(town: Town) -> Iterator[EnvironmentObject]:
    for light in town.lights:
        yield _standing(f"TrafficLight_{light.sign_id}", Tag.TRAFFIC_LIGHT, scenery.light_head(light))
        yield _standing(f"Pole_{light.sign_id}", Tag.POLES, scenery.upright(light.pose, scenery.LIGHT_POLE_M))


def _signs(town: Town) -> Iterator[EnvironmentObject]:
    for sign in town.signs if town.draws_signs else ():
        yield _standing(f"TrafficSign_{sign.sign_id}", Tag.TRAFFIC_SIGNS, scenery.plate(sign))
        yield _standing(f"Pole_{sign.sign_id}", Tag.POLES, scenery.upright(sign.pose, scenery.SIGN_POLE_M))


def _lanes(town: Town) -> Iterator[EnvironmentObject]:
    """One thing for all lanes of a road that are of one class."""
    edges: dict[tuple[int, Tag], list[np.ndarray]] = {}
    for lane in town.lanes:
        if lane.kind not in (*ASPHALT_KINDS, "Sidewalk"):
            continue
        label = Tag.SIDEWALKS if lane.kind == "Sidewalk" else Tag.ROADS
        edges.setdefault((lane.road_id, label), []).extend((lane.left, lane.right))
    for (road, label), lines in edges.items():
        yield _standing(f"{label.name.capitalize()}_{road}", label, _box_around(np.concatenate(lines), lines[0]))


def _box_around(points: np.ndarray, line: np.ndarray) -> OrientedBox:
    """A box around points [N, 3] that lies along the line [M, 3] from its first point to its last."""
    yaw_rad = math.atan2(line[-1, 1] - line[0, 1], line[-1, 0] - line[0, 0])
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    turned = np.stack([points @ (cos, sin, 0.0), points @ (-sin, cos, 0.0), points[:, 2]], axis=1)
    low, high = turned.min(axis=0), turned.max(axis=0)
    along, across, z = (0.5 * (low + high)).tolist()
    ex, ey, ez = (0.5 * (high - low)).tolist()
    x, y = cos * along - sin * across, sin * along + cos * across
    return OrientedBox(x, y, z, math.degrees(yaw_rad), ex, ey, ez + _ROAD_HALF_HEIGHT_M)


def _trees(town: Town) -> Iterable[EnvironmentObject]:
    for number, box in enumerate(scenery.tree_boxes(town.lanes, town.buildings, town.surface)):
        yield _standing(f"Tree_{number}", Tag.VEGETATION, box)


def faces_of(things: Iterable[EnvironmentObject], mesh: Mesh) -> np.ndarray:
    """[F] bool: the faces of a town's mesh that belong to the things: those of their class inside their boxes."""
    middles = mesh.corners.mean(axis=1)
    chosen = np.zeros(len(mesh), bool)
    for thing in things:
        box = thing.box
        offset = np.abs(turn(middles - np.array((box.x, box.y, box.z), np.float32), -box.yaw))
        inside = (offset <= np.array((box.ex, box.ey, box.ez)) + _RIM_M).all(axis=1)
        chosen |= inside & (mesh.tag == thing.label)
    return chosen
