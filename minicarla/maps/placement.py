"""What a road map does not say: where cars may be spawned, and the houses along the streets."""

import math
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import carla
import numpy as np

from minicarla.geometry.types import Building, OrientedBox, Pose
from minicarla.maps.lane_spans import LaneSpan, lane_spans, outermost, pose_of, waypoints_along
from minicarla.maps.surface import Surface

SPAWN_SPACING = 15.0  # m along a lane
MAX_SPAWN_POINTS = 600  # of a larger town every second, or third, is left
SPAWN_CLEARANCE = 6.0  # m to the ends of the road, and to the next spawn point of the same direction
SPAWN_HEIGHT = 0.5  # m above the road
# Half sizes (m) of the room for a car, van or truck; buses and lorries do not fit everywhere in CARLA's older towns.
SPAWN_ROOM = (3.3, 1.35)
STOREY = 3.0  # m between two roads above each other
CAR_WHEELBASE, CAR_TRACK = 2.8, 1.6  # m, of an ordinary car
SURFACE_STEP = 2.0  # m between the samples of the paved surface
BUILDING_MARGIN = 0.3  # m between a wall and anything paved
BUILDING_GAP = 0.8  # m between two walls
FACADES = (  # brick, sandstone, plaster, slate, olive, concrete, ochre, rose
    (150, 96, 80), (190, 170, 138), (205, 198, 184), (112, 120, 130),
    (134, 138, 108), (160, 160, 156), (186, 152, 100), (178, 138, 130),
)  # fmt: skip


def spawn_points(root: ET.Element, carla_map: carla.Map, surface: Surface) -> tuple[Pose, ...]:
    """Poses over the centre of driving lanes outside junctions, in the order of road, section and lane."""
    points = _Spread(SPAWN_CLEARANCE)
    for span in lane_spans(root):
        if span.type != "driving" or span.junction != -1:
            continue
        clearance = min(SPAWN_CLEARANCE, (span.end - span.start) / 3.0)
        inner = replace(span, start=span.start + clearance, end=span.end - clearance)
        for waypoint in waypoints_along(carla_map, inner, SPAWN_SPACING):
            pose = pose_of(waypoint.transform)
            points.add(_above(surface, pose))
    every = math.ceil(len(points.accepted) / MAX_SPAWN_POINTS)
    return tuple(points.accepted[:: max(every, 1)])


def _above(surface: Surface, pose: Pose) -> Pose:
    """The pose of a car that is about to drop on the road, in parallel with it."""
    if surface.is_flat:
        return replace(pose, z=pose.z + SPAWN_HEIGHT)
    wheels = (0.5 * CAR_WHEELBASE, 0.5 * CAR_TRACK)
    z, pitch, roll = surface.stance(pose.x, pose.y, pose.z, math.radians(pose.yaw), *wheels)
    return replace(pose, z=z + SPAWN_HEIGHT, pitch=math.degrees(pitch), roll=math.degrees(roll))


class _Spread:
    """Collects poses that keep their distance (m) from every other of the same direction, and leave room to all."""

    def __init__(self, distance: float) -> None:
        self.accepted: list[Pose] = []
        self._distance = distance
        self._cells: dict[tuple[int, int], list[Pose]] = {}

    def add(self, pose: Pose) -> None:
        column, row = math.floor(pose.x / self._distance), math.floor(pose.y / self._distance)
        around = range(-2, 3)  # two vehicles can touch that stand further apart than `distance`
        near = (self._cells.get((column + i, row + j), ()) for i in around for j in around)
        if not any(self._too_close(pose, other) for cell in near for other in cell):
            self.accepted.append(pose)
            self._cells.setdefault((column, row), []).append(pose)

    def _too_close(self, pose: Pose, other: Pose) -> bool:
        same_direction = math.cos(math.radians(pose.yaw - other.yaw)) > 0.0
        if same_direction and math.dist((pose.x, pose.y, pose.z), (other.x, other.y, other.z)) < self._distance:
            return True
        return abs(pose.z - other.z) < STOREY and overlap(_room(pose), _room(other))


def _room(pose: Pose) -> OrientedBox:
    return OrientedBox(pose.x, pose.y, pose.z, pose.yaw, *SPAWN_ROOM, STOREY / 2)


def buildings(root: ET.Element, carla_map: carla.Map, surface: Surface, seed: int = 0) -> tuple[Building, ...]:
    """Houses behind the outermost lane of every road, none on anything paved, none in another; fixed by the seed."""
    rng = np.random.default_rng(seed)
    spans = lane_spans(root)
    paved = _Discs(_surface(spans, carla_map))
    built: list[Building] = []
    taken = np.empty((0, 3))  # x, y and circumradius of every house built
    for span in outermost(spans):
        s = span.start
        while s < span.end:
            plot = _draw_plot(rng)
            middle = s + plot.gap + plot.frontage / 2
            s = middle + plot.frontage / 2
            waypoint = carla_map.get_waypoint_xodr(span.road, span.lane, middle) if s <= span.end else None
            if waypoint is None:
                continue
            box = _beside(waypoint, span.outward_deg, plot)
            radius = math.hypot(box.ex, box.ey)
            near = np.hypot(taken[:, 0] - box.x, taken[:, 1] - box.y) < taken[:, 2] + radius + BUILDING_GAP
            if not paved.clear_of(box, BUILDING_MARGIN):
                continue
            if not any(overlap(box, built[index].box, BUILDING_GAP) for index in np.flatnonzero(near)):
                built.append(Building(_founded(box, surface), plot.colour))
                taken = np.vstack((taken, (box.x, box.y, radius)))
    return tuple(built)


@dataclass(frozen=True, slots=True)
class _Plot:
    """A house to be, and the gap before it: m and RGB."""

    gap: float
    frontage: float
    depth: float
    setback: float
    height: float
    colour: tuple[int, int, int]


def _draw_plot(rng: np.random.Generator) -> _Plot:
    gap = rng.uniform(12.0, 30.0) if rng.random() < 0.12 else rng.uniform(1.0, 5.0)
    height = rng.uniform(9.0, 18.0) if rng.random() < 0.2 else rng.uniform(3.5, 8.0)
    frontage, depth, setback = rng.uniform(8.0, 20.0), rng.uniform(7.0, 14.0), rng.uniform(0.6, 3.0)
    red, green, blue = (int(channel) for channel in rng.integers(-14, 15, 3) + FACADES[int(rng.integers(len(FACADES)))])
    return _Plot(float(gap), float(frontage), float(depth), float(setback), float(height), (red, green, blue))


def _beside(waypoint: carla.Waypoint, outward_deg: float, plot: _Plot) -> OrientedBox:
    location, yaw = waypoint.transform.location, waypoint.transform.rotation.yaw
    right = math.radians(yaw + outward_deg)
    distance = waypoint.lane_width / 2 + plot.setback + plot.depth / 2
    return OrientedBox(
        location.x + distance * math.cos(right), location.y + distance * math.sin(right), location.z + plot.height / 2,
        yaw, plot.frontage / 2, plot.depth / 2, plot.height / 2,
    )  # fmt: skip


def _founded(box: OrientedBox, surface: Surface) -> OrientedBox:
    """The house on hilly ground: walls down to its lowest corner, and as high as before above its highest."""
    if surface.is_flat:
        return box
    cos, sin = math.cos(math.radians(box.yaw)), math.sin(math.radians(box.yaw))
    street = box.z - box.ez
    corners = np.array(
        [
            (box.x + along * box.ex * cos - aside * box.ey * sin, box.y + along * box.ex * sin + aside * box.ey * cos,
             street)
            for along in (-1.0, 1.0) for aside in (-1.0, 1.0)
        ]
    )  # fmt: skip
    ground = surface.heights(corners)
    low, high = float(ground.min()), float(ground.max()) + 2.0 * box.ez
    return replace(box, z=0.5 * (low + high), ez=0.5 * (high - low))


def _surface(spans: list[LaneSpan], carla_map: carla.Map) -> np.ndarray:
    """[N, 3]: x, y and radius (m) of discs that together cover every lane."""
    discs = []
    for span in spans:
        for waypoint in waypoints_along(carla_map, span, SURFACE_STEP):
            location = waypoint.transform.location
            discs.append((location.x, location.y, math.hypot(waypoint.lane_width / 2, SURFACE_STEP / 2)))
    return np.array(discs).reshape(-1, 3)


class _Discs:
    """Discs in the plane, sorted along x so that a box is compared with its neighbourhood only."""

    def __init__(self, discs: np.ndarray) -> None:
        self._discs = discs[np.argsort(discs[:, 0], kind="stable")]
        self._reach = float(discs[:, 2].max(initial=0.0))

    def clear_of(self, box: OrientedBox, margin: float) -> bool:
        radius = math.hypot(box.ex, box.ey) + self._reach + margin
        first, last = np.searchsorted(self._discs[:, 0], (box.x - radius, box.x + radius))
        near = self._discs[first:last]
        cos, sin = math.cos(math.radians(box.yaw)), math.sin(math.radians(box.yaw))
        dx, dy = near[:, 0] - box.x, near[:, 1] - box.y
        along = np.maximum(np.abs(dx * cos + dy * sin) - box.ex, 0.0)
        across = np.maximum(np.abs(dy * cos - dx * sin) - box.ey, 0.0)
        return bool(np.all(np.hypot(along, across) > near[:, 2] + margin))


def overlap(first: OrientedBox, second: OrientedBox, gap: float = 0.0) -> bool:
    """Whether two boxes, seen from above, are less than `gap` (m) apart along every one of their axes."""
    dx, dy = second.x - first.x, second.y - first.y
    if math.hypot(dx, dy) > math.hypot(first.ex, first.ey) + math.hypot(second.ex, second.ey) + gap:
        return False
    for axis_deg in (first.yaw, first.yaw + 90.0, second.yaw, second.yaw + 90.0):
        axis = math.radians(axis_deg)
        reach = sum(
            box.ex * abs(math.cos(math.radians(box.yaw) - axis)) + box.ey * abs(math.sin(math.radians(box.yaw) - axis))
            for box in (first, second)
        )
        if abs(dx * math.cos(axis) + dy * math.sin(axis)) > reach + gap:
            return False
    return True
