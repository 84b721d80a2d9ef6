"""What stands beside the roads: buildings, traffic lights, trees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicarla.maps import Building, LightSpec, OrientedBox, Pose, SignSpec
from minicarla.maps.lane_edges import Lane
from minicarla.maps.surface import Surface
from minicarla.maps.terrain import DROP_M
from minicarla.render.encodings import Tag
from minicarla.render.mesh import Colour, Material, Mesh, box, merge, prism, quads, turn

_POLE: Colour = (112, 116, 118)
_HEAD: Colour = (34, 36, 34)
_RED: Colour = (180, 24, 28)
_WHITE: Colour = (236, 236, 232)
PLATE_HEIGHT_M, PLATE_HALF_M = 2.2, 0.32
SIGN_POLE_M, LIGHT_POLE_M = (0.03, 1.1), (0.09, 2.9)  # half width and half height
_HEAD_HALF_M = (0.16, 0.24, 0.58)
_TRUNK: Colour = (96, 74, 56)
_LEAVES: tuple[Colour, ...] = ((58, 96, 44), (72, 108, 50), (50, 88, 52))
_LAMP_OFF: Colour = (26, 26, 26)
_LAMP_ON: tuple[Colour, ...] = ((255, 46, 36), (255, 190, 40), (60, 255, 110))
_LAMP_HEIGHTS_M = (0.36, 0.0, -0.36)  # red above yellow above green
_NEAR_HEAD_M, _FAR_HEAD_M, _ARM_M = 3.1, 5.4, 4.4
_AROUND = (-1, 0, 1)
_TREE_SPACING_M, _TREE_CLEARANCE_M, _TREE_SETBACK_M = 17.0, 2.0, (2.5, 5.0)


@dataclass(frozen=True)
class Lamps:
    """Faces of the signal lamps. sign_index: [F] int, light of each face. aspect: [F] int, 0 red, 1 yellow, 2 green."""

    mesh: Mesh
    sign_index: np.ndarray
    aspect: np.ndarray

    def colours(self, states: np.ndarray) -> np.ndarray:
        """[F, 3] uint8 for the lights' states: [S] int, 0 red, 1 yellow, 2 green, anything else off."""
        lit = states[self.sign_index] == self.aspect
        return np.where(lit[:, None], np.array(_LAMP_ON, np.uint8)[self.aspect], np.array(_LAMP_OFF, np.uint8))


def buildings(items: Sequence[Building]) -> Mesh:
    """Houses: walls with windows, a flat roof with a parapet's edge."""
    return merge([_building(item) for item in items])


def _building(item: Building) -> Mesh:
    place = item.box
    body = box(
        (place.x, place.y, place.z),
        (place.ex, place.ey, place.ez),
        item.colour,
        Tag.BUILDINGS,
        Material.FACADE,
        place.yaw,
    )
    upward = body.normals()[:, 2] > 0.5
    body.material[upward] = Material.PLAIN
    body.colour[upward] = np.array(item.colour) * 0.75
    rim_half = 0.18
    rim = box(
        (place.x, place.y, place.z + place.ez - rim_half),
        (place.ex + 0.15, place.ey + 0.15, rim_half),
        _shade(item.colour, 0.8),
        Tag.BUILDINGS,
        yaw_deg=place.yaw,
    )
    return merge([body, rim])


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def traffic_lights(lights: Sequence[LightSpec]) -> tuple[Mesh, Lamps]:
    """Poles with a head beside the road and one on an arm above it, facing the traffic they hold; and their lamps."""
    posts: list[Mesh] = []
    lamps: list[Mesh] = []
    for light in lights:
        foot = np.array([light.pose.x, light.pose.y, light.pose.z])
        # In the pole's frame traffic drives towards +x and, where it keeps to the right, passes at negative y.
        arm = _ARM_M if _stands_on_the_left(light) else -_ARM_M
        heads = [np.array([0.0, 0.0, _NEAR_HEAD_M]), np.array([0.0, arm, _FAR_HEAD_M])]
        parts = [
            box((0.0, 0.0, LIGHT_POLE_M[1]), (LIGHT_POLE_M[0], *LIGHT_POLE_M), _POLE, Tag.POLES),
            box((0.0, 0.5 * arm, 5.75), (0.06, 0.5 * _ARM_M, 0.06), _POLE, Tag.POLES, bottom=True),
            *(box((head[0], head[1], head[2]), _HEAD_HALF_M, _HEAD, Tag.TRAFFIC_LIGHT, bottom=True) for head in heads),
        ]
        posts.append(_placed(merge(parts), foot, light.pose.yaw))
        lamps.append(
            _placed(merge(_lamp(head, height) for head in heads for height in _LAMP_HEIGHTS_M), foot, light.pose.yaw)
        )
    per_lamp = 2  # faces of one lamp
    per_light = 2 * len(_LAMP_HEIGHTS_M) * per_lamp
    count = len(lights)
    sign_index = np.repeat(np.arange(count), per_light)
    aspect = np.tile(np.repeat(np.tile(np.arange(3), 2), per_lamp), count)
    return merge(posts), Lamps(merge(lamps), sign_index, aspect)


def _stands_on_the_left(light: LightSpec) -> bool:
    """Whether its pole is to the left of the lane that it holds, if it holds any."""
    if not light.stop_boxes:
        return False
    stop, yaw_rad = light.stop_boxes[0], np.deg2rad(light.pose.yaw)
    return bool((stop.y - light.pose.y) * np.cos(yaw_rad) - (stop.x - light.pose.x) * np.sin(yaw_rad) > 0.0)


def signs(items: Sequence[SignSpec]) -> Mesh:
    """Poles with a plate that faces the traffic: white in red, a stop sign's all red. Nothing is written on it."""
    plates: list[Mesh] = []
    for item in items:
        foot = np.array([item.pose.x, item.pose.y, item.pose.z])
        face = _RED if item.type_id == "traffic.stop" else _WHITE
        half = PLATE_HALF_M
        parts = [
            box((0.0, 0.0, SIGN_POLE_M[1]), (SIGN_POLE_M[0], *SIGN_POLE_M), _POLE, Tag.POLES),
            box((-0.04, 0.0, PLATE_HEIGHT_M), (0.01, half, half), _RED, Tag.TRAFFIC_SIGNS, bottom=True),
            box((-0.06, 0.0, PLATE_HEIGHT_M), (0.01, 0.75 * half, 0.75 * half), face, Tag.TRAFFIC_SIGNS, bottom=True),
        ]
        plates.append(_placed(merge(parts), foot, item.pose.yaw))
    return merge(plates)


def _lamp(head: np.ndarray, height: float) -> Mesh:
    """A hexagon of two faces on the head's side towards the traffic."""
    angle_rad = np.deg2rad(60.0 * np.arange(6))
    radius = 0.16
    ring = np.stack([np.full(6, -0.17), radius * np.cos(angle_rad), height + radius * np.sin(angle_rad)], axis=1) + head
    corners = np.stack([ring[[0, 1, 2, 3]], ring[[3, 4, 5, 0]]])
    return quads(corners, _LAMP_OFF, Tag.TRAFFIC_LIGHT, Material.EMISSIVE, facing=(-1.0, 0.0, 0.0))


def light_head(light: LightSpec) -> OrientedBox:
    """The lower head of a light, which stands at its pole."""
    pose, (ex, ey, ez) = light.pose, _HEAD_HALF_M
    return OrientedBox(pose.x, pose.y, pose.z + _NEAR_HEAD_M, pose.yaw, ex, ey, ez)


def plate(sign: SignSpec) -> OrientedBox:
    """The plate of a sign."""
    pose = sign.pose
    return OrientedBox(pose.x, pose.y, pose.z + PLATE_HEIGHT_M, pose.yaw, 0.07, PLATE_HALF_M, PLATE_HALF_M)


def upright(foot: Pose, half: tuple[float, float]) -> OrientedBox:
    """The pole at a foot, of that half width and half height."""
    width, height = half
    return OrientedBox(foot.x, foot.y, foot.z + height, foot.yaw, width, width, height)


def _placed(mesh: Mesh, foot: np.ndarray, yaw_deg: float) -> Mesh:
    corners = (turn(mesh.corners, yaw_deg) + foot).astype(np.float32)
    return Mesh(corners, mesh.colour, mesh.tag, mesh.material)


def trees(lanes: Sequence[Lane], houses: Sequence[Building], surface: Surface, seed: int = 0) -> Mesh:
    """Trees behind the outermost lanes, clear of lanes and houses. The same town grows the same trees."""
    return merge(_trees(lanes, houses, surface, seed))


def tree_boxes(lanes: Sequence[Lane], houses: Sequence[Building], surface: Surface, seed: int = 0) -> list[OrientedBox]:
    """A box around each of the `trees`."""
    boxes = []
    for tree in _trees(lanes, houses, surface, seed):
        points = tree.corners.reshape(-1, 3).astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        (x, y, z), (ex, ey, ez) = (0.5 * (low + high)).tolist(), (0.5 * (high - low)).tolist()
        boxes.append(OrientedBox(x, y, z, 0.0, ex, ey, ez))
    return boxes


def _trees(lanes: Sequence[Lane], houses: Sequence[Building], surface: Surface, seed: int) -> list[Mesh]:
    rng = np.random.default_rng(seed)
    edges = np.concatenate([np.concatenate([lane.left, lane.right]) for lane in lanes])[:, :2]
    outermost: dict[tuple[int, bool], Lane] = {}
    for lane in lanes:
        if lane.junction_id is None:
            side = (lane.road_id, lane.lane_id > 0)
            if side not in outermost or abs(lane.lane_id) > abs(outermost[side].lane_id):
                outermost[side] = lane
    feet = np.concatenate([np.zeros((0, 3)), *(_row_of_trees(lane, rng) for lane in outermost.values())])
    feet = feet[_free(feet, edges, houses)]
    if surface.terrain is not None:
        feet[:, 2] = surface.terrain.at(feet) + DROP_M
    return [_tree(foot, rng) for foot in feet]


def _row_of_trees(lane: Lane, rng: np.random.Generator) -> np.ndarray:
    """[N, 3] places on the ground beyond the lane's outer edge."""
    wanted = lane.s[0] + np.arange(0.5 * _TREE_SPACING_M, lane.s[-1] - lane.s[0], _TREE_SPACING_M)
    wanted = wanted + rng.uniform(-5.0, 5.0, len(wanted))
    edge, inner = (
        np.stack([np.interp(wanted, lane.s, line[:, k]) for k in range(3)], 1) for line in (lane.right, lane.left)
    )
    out = (edge - inner) / np.maximum(np.linalg.norm(edge - inner, axis=1, keepdims=True), 1e-6)
    return edge + rng.uniform(*_TREE_SETBACK_M, (len(wanted), 1)) * out


def _free(feet: np.ndarray, edges: np.ndarray, houses: Sequence[Building]) -> np.ndarray:
    """[N] bool: whether nothing else is near the places `feet` [N, 3]. edges: [M, 2] points on lane edges."""
    taken = np.unique(np.floor(edges / _TREE_CLEARANCE_M).astype(np.int64), axis=0)
    cells = {(column + right, row + down) for column, row in taken.tolist() for right in _AROUND for down in _AROUND}
    free = np.array([tuple(cell) not in cells for cell in np.floor(feet[:, :2] / _TREE_CLEARANCE_M).tolist()], bool)
    for house in houses:
        place = house.box
        local = np.abs(turn(feet - (place.x, place.y, 0.0), -place.yaw))
        free &= (local[:, 0] > place.ex + _TREE_CLEARANCE_M) | (local[:, 1] > place.ey + _TREE_CLEARANCE_M)
    return free


def _tree(foot: np.ndarray, rng: np.random.Generator) -> Mesh:
    height = rng.uniform(4.5, 8.0)
    radius = rng.uniform(0.26, 0.34) * height
    leaves = _LEAVES[int(rng.integers(len(_LEAVES)))]
    x, y, z = foot[0], foot[1], foot[2] - DROP_M
    corner = np.deg2rad(45.0 + 90.0 * np.arange(4) + rng.uniform(0.0, 90.0))
    ring = np.stack([np.cos(corner), np.sin(corner), np.zeros(4)], axis=1)

    def level(share_of_radius: float, share_of_height: float) -> np.ndarray:
        return share_of_radius * radius * ring + np.array([x, y, z + share_of_height * height])

    return merge(
        [
            box((x, y, z + 0.16 * height), (0.03 * height, 0.03 * height, 0.16 * height), _TRUNK, Tag.VEGETATION),
            prism(level(0.55, 0.28), level(1.0, 0.48), _shade(leaves, 0.85), Tag.VEGETATION, lid=False),
            prism(level(1.0, 0.48), level(0.85, 0.75), leaves, Tag.VEGETATION, lid=False),
            prism(level(0.85, 0.75), level(0.25, 1.0), _shade(leaves, 1.12), Tag.VEGETATION),
        ]
    )
