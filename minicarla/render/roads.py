"""Road geometry: carriageway, markings, kerbs, pavements, junction aprons and the ground around them."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import cv2
import numpy as np

from minicarla.maps.lane_edges import Lane, Marking
from minicarla.render.encodings import Tag
from minicarla.render.mesh import Colour, Material, Mesh, merge, quads, strip, wall

KERB_HEIGHT_M = 0.15
_KERB_WIDTH_M = 0.25
_RAISED = np.array([0.0, 0.0, KERB_HEIGHT_M])
_PAINT_LIFT_M = 0.01
_DASH_M, _DASH_PERIOD_M = 3.0, 7.5
_MIN_PAINT_WIDTH_M = 0.15
_LONGEST_FACE_M = 24.0
_STRAIGHT_TOLERANCE_M = 0.02
_GAP_CELL_M = 0.5
_APRON_MARGIN_M = 4.3
# Layers under the lanes, so that what lies on top hides them: junction asphalt, junction pavement, grass.
_FILL_DROP_M, _APRON_DROP_M, GRASS_DROP_M = 0.01, 0.02, 0.04
_GROUND_CELL_M = 20.0
_GROUND_MARGIN_M = 80.0
_HORIZON_M = 3000.0

ASPHALT: Colour = (78, 78, 82)
SHOULDER: Colour = (104, 102, 100)
PAVEMENT: Colour = (164, 160, 152)
KERB: Colour = (196, 194, 188)
GRASS: Colour = (92, 124, 58)
_PAINT: dict[str, Colour] = {
    "White": (235, 235, 232),
    "Yellow": (236, 196, 58),
    "Blue": (60, 96, 190),
    "Green": (60, 150, 80),
    "Red": (190, 60, 52),
}
_ASPHALT_KINDS = frozenset(
    (
        "Driving",
        "Bidirectional",
        "Parking",
        "Entry",
        "Exit",
        "OnRamp",
        "OffRamp",
        "Stop",
        "Biking",
        "Special1",
        "Special2",
        "Special3",
        "RoadWorks",
    )
)
_SHOULDER_KINDS = frozenset(("Shoulder", "Border", "Restricted"))


def surfaces(lanes: Sequence[Lane]) -> Mesh:
    """What lanes look like from far away: carriageway and pavements."""
    return merge([_surface(lane) for lane in lanes if lane.kind not in _SHOULDER_KINDS])


def edges(lanes: Sequence[Lane]) -> Mesh:
    """What is seen of lanes near by: shoulders and kerbs."""
    shoulders = [_surface(lane) for lane in lanes if lane.kind in _SHOULDER_KINDS]
    return merge([*shoulders, *(_kerb(lane) for lane in lanes if lane.kind == "Sidewalk")])


def _surface(lane: Lane) -> Mesh:
    index = _corners_needed(lane.s, lane.left, lane.right)
    left, right = lane.left[index], lane.right[index]
    if lane.kind in _ASPHALT_KINDS:
        return strip(left, right, ASPHALT, Tag.ROADS, Material.ASPHALT)
    if lane.kind in _SHOULDER_KINDS:
        return strip(left, right, SHOULDER, Tag.ROADS, Material.ASPHALT)
    if lane.kind == "Sidewalk":
        return strip(left + _RAISED, right + _RAISED, PAVEMENT, Tag.SIDEWALKS)
    return strip(left, right, GRASS, Tag.TERRAIN, Material.GRASS)


def _kerb(lane: Lane) -> Mesh:
    """The pavement's upright edges, and a brighter rim along the road."""
    index = _corners_needed(lane.s, lane.left, lane.right)
    left, right = lane.left[index], lane.right[index]
    across = right - left
    width = np.linalg.norm(across, axis=1, keepdims=True)
    rim = left + across * np.minimum(_KERB_WIDTH_M / np.maximum(width, 1e-6), 1.0)
    lift = _RAISED + np.array([0.0, 0.0, _PAINT_LIFT_M])
    return merge(
        [
            strip(left + lift, rim + lift, KERB, Tag.SIDEWALKS),
            wall(left, left + lift, left - across, KERB, Tag.SIDEWALKS),
            wall(right - _RAISED, right + _RAISED, right + across, PAVEMENT, Tag.SIDEWALKS),
        ]
    )


def _corners_needed(s: np.ndarray, *lines: np.ndarray) -> np.ndarray:
    """Samples that keep every [N, 3] line within tolerance: straight stretches become few, long faces."""
    kept = [0]
    while kept[-1] < len(s) - 1:
        start = kept[-1]
        good = start + 1
        bad = max(good + 1, int(np.searchsorted(s, s[start] + _LONGEST_FACE_M, side="right")))
        # Most stretches are straight as far as they may reach; curves are searched by halves.
        trial = bad - 1
        while bad - good > 1:
            if _straight(s, lines, start, trial):
                good = trial
            else:
                bad = trial
            trial = (good + bad) // 2
        kept.append(good)
    return np.array(kept)


def _straight(s: np.ndarray, lines: Sequence[np.ndarray], start: int, end: int) -> bool:
    share = ((s[start : end + 1] - s[start]) / (s[end] - s[start]))[:, None]
    for line in lines:
        chord = line[start] + share * (line[end] - line[start])
        if np.abs(line[start : end + 1] - chord).max() > _STRAIGHT_TOLERANCE_M:
            return False
    return True


def markings(lanes: Sequence[Lane]) -> Mesh:
    """Painted lines: each lane's outer edge, and the road's middle once."""
    sides = {(lane.road_id, lane.lane_id) for lane in lanes}
    parts: list[Mesh] = []
    for lane in lanes:
        parts += _edge_paint(lane.s, lane.right, lane.left, lane.right_marks)
        middle_is_mine = lane.lane_id == -1 or (lane.lane_id == 1 and (lane.road_id, -1) not in sides)
        if middle_is_mine:
            parts += _edge_paint(lane.s, lane.left, lane.right, lane.left_marks)
    return merge(parts)


def _edge_paint(s: np.ndarray, edge: np.ndarray, other: np.ndarray, marks: Sequence[Marking]) -> Iterator[Mesh]:
    """Paint along `edge`; `other` is the lane's opposite edge. A marking holds from its sample to the next."""
    across = other - edge
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    for mark, group in groupby(range(len(marks)), key=marks.__getitem__):
        members = list(group)
        if mark.colour not in _PAINT or len(s) < 2:
            continue
        start, end = members[0], min(members[-1] + 1, len(s) - 1)
        if start < end:
            for offset, dashed in _paint_lines(mark):
                run = slice(start, end + 1)
                yield _line(s[run], edge[run] + offset * across[run], across[run], mark, dashed)


def _paint_lines(mark: Marking) -> list[tuple[float, bool]]:
    """Lines of a marking as (offset inwards in m, dashed)."""
    gap = 1.2 * max(mark.width, _MIN_PAINT_WIDTH_M)
    return {
        "Solid": [(0.0, False)],
        "Broken": [(0.0, True)],
        "BottsDots": [(0.0, True)],
        "SolidSolid": [(-gap, False), (gap, False)],
        "SolidBroken": [(-gap, False), (gap, True)],
        "BrokenSolid": [(-gap, True), (gap, False)],
        "BrokenBroken": [(-gap, True), (gap, True)],
    }.get(mark.kind, [])


def _line(s: np.ndarray, centre: np.ndarray, across: np.ndarray, mark: Marking, dashed: bool) -> Mesh:
    """Paint of a run; dashes keep their phase along the road, so that they go on across lanes and sections."""
    if dashed:
        first = np.arange(np.floor(s[0] / _DASH_PERIOD_M) * _DASH_PERIOD_M, s[-1], _DASH_PERIOD_M)
        begin, end = np.clip(first, s[0], s[-1]), np.clip(first + _DASH_M, s[0], s[-1])
        long_enough = end - begin > 0.1
        begin, end = begin[long_enough], end[long_enough]
    else:
        index = _corners_needed(s, centre)
        begin, end = s[index[:-1]], s[index[1:]]
    side = 0.5 * max(mark.width, _MIN_PAINT_WIDTH_M) * across
    left, right = centre - side, centre + side
    corners = np.stack(
        [_along(s, left, begin), _along(s, left, end), _along(s, right, end), _along(s, right, begin)], axis=1
    )
    lift = np.array([0.0, 0.0, _PAINT_LIFT_M])
    # Paint gets wet like the asphalt that it is on.
    return quads(corners + lift, _PAINT[mark.colour], Tag.ROAD_LINES, Material.ASPHALT, facing=(0.0, 0.0, 1.0))


def _along(s: np.ndarray, points: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, s, points[:, axis]) for axis in range(3)], axis=1)


def junction_aprons(lanes: Sequence[Lane]) -> Mesh:
    """Asphalt in the gaps between a junction's connecting lanes, and pavement around its corners."""
    junctions = sorted({lane.junction_id for lane in lanes if lane.junction_id is not None})
    parts: list[Mesh] = []
    for junction in junctions:
        members = [lane for lane in lanes if lane.junction_id == junction and lane.kind in _ASPHALT_KINDS]
        parts += [_beside(lane) for lane in members]
        parts += [_gaps(members)] if members else []
    return merge(parts)


def _beside(lane: Lane) -> Mesh:
    """Pavement under a connecting lane and some way beyond its edges."""
    index = _corners_needed(lane.s, lane.left, lane.right)
    left, right = lane.left[index], lane.right[index]
    out = right - left
    out = _APRON_MARGIN_M * out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    drop = np.array([0.0, 0.0, _APRON_DROP_M])
    edges = (_prolonged(left - out - drop), _prolonged(right + out - drop))
    return strip(*edges, PAVEMENT, Tag.SIDEWALKS)


def _prolonged(line: np.ndarray) -> np.ndarray:
    """A polyline moved on by a metre at both ends, under what comes next."""
    first, last = line[0] - line[1], line[-1] - line[-2]
    ends = (line[0] + first / max(np.linalg.norm(first), 1e-6), line[-1] + last / max(np.linalg.norm(last), 1e-6))
    return np.concatenate([ends[:1], line, ends[1:]])


def _gaps(members: Sequence[Lane]) -> Mesh:
    """The area between a junction's lanes that they enclose, in cells."""
    outlines = [np.concatenate([lane.left, lane.right[::-1]]) for lane in members]
    points = np.concatenate(outlines)
    origin = points[:, :2].min(axis=0) - _GAP_CELL_M
    cells = np.ceil((points[:, :2].max(axis=0) + _GAP_CELL_M - origin) / _GAP_CELL_M).astype(int)
    mask = np.zeros((cells[1], cells[0]), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.rint((outline[:, :2] - origin) / _GAP_CELL_M - 0.5).astype(np.int32)], 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, contours, -1, 1, thickness=-1)
    # Not beyond the lanes' own smooth borders, which the cells would turn into stairs.
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return _cells(inside, origin, float(points[:, 2].min()) - _FILL_DROP_M)


def _cells(mask: np.ndarray, origin: np.ndarray, z: float) -> Mesh:
    """Asphalt over the set cells of a grid, one face per horizontal run."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    low, high = origin[1] + rows * _GAP_CELL_M, origin[1] + (rows + 1) * _GAP_CELL_M
    left, right = origin[0] + begin * _GAP_CELL_M, origin[0] + end * _GAP_CELL_M
    xy = np.stack([np.stack([left, right, right, left], 1), np.stack([low, low, high, high], 1)], axis=2)
    corners = np.concatenate([xy, np.full((*xy.shape[:2], 1), z)], axis=2)
    return quads(corners, ASPHALT, Tag.ROADS, Material.ASPHALT, facing=(0.0, 0.0, 1.0))


def ground(lanes: Sequence[Lane]) -> Mesh:
    """Grass under and around the roads: a grid just below the nearest road, then flat out to the horizon."""
    points = np.concatenate([np.concatenate([lane.left, lane.right]) for lane in lanes])
    low = np.floor((points[:, :2].min(axis=0) - _GROUND_MARGIN_M) / _GROUND_CELL_M) * _GROUND_CELL_M
    cells = np.ceil((points[:, :2].max(axis=0) + _GROUND_MARGIN_M - low) / _GROUND_CELL_M).astype(int)
    heights = _node_heights(points, low, cells)
    nodes_x = low[0] + _GROUND_CELL_M * np.arange(cells[0] + 1)
    nodes_y = low[1] + _GROUND_CELL_M * np.arange(cells[1] + 1)
    if np.ptp(points[:, 2]) < 0.05:
        # Flat country needs no fine grid: blocks of four cells, still small enough to be culled.
        nodes_x, nodes_y = (np.unique(np.append(nodes[::4], nodes[-1])) for nodes in (nodes_x, nodes_y))
        heights = np.full((len(nodes_y), len(nodes_x)), heights.min())
    x, y = np.meshgrid(nodes_x, nodes_y)
    grid = np.stack([x, y, heights], axis=2)  # [rows, columns, 3]
    inner = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2).reshape(-1, 4, 3)
    up = (0.0, 0.0, 1.0)
    return merge(
        [
            quads(inner, GRASS, Tag.TERRAIN, Material.GRASS, facing=up),
            quads(
                _frame(low, np.array([nodes_x[-1], nodes_y[-1]]), float(heights.min())),
                GRASS,
                Tag.TERRAIN,
                Material.GRASS,
                facing=up,
            ),
        ]
    )


def _node_heights(points: np.ndarray, low: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """[rows, columns] z of the grid's nodes: below the roads of the cells around, else as the nearest node."""
    shape = (cells[1] + 1, cells[0] + 1)
    heights = np.full(shape, np.inf)
    column, row = ((points[:, :2] - low) / _GROUND_CELL_M).astype(int).T
    for down in (0, 1):
        for aside in (0, 1):
            np.minimum.at(heights, (row + down, column + aside), points[:, 2])
    empty = np.isinf(heights).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(label.max() + 1)
    by_label[label[empty == 0]] = heights[empty == 0]
    return by_label[label] - GRASS_DROP_M


def _frame(low: np.ndarray, high: np.ndarray, z: float) -> np.ndarray:
    """[4, 4, 3] faces from the rectangle low..high out to the horizon."""
    inner = np.array([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
    outer = inner + _HORIZON_M * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    following = [1, 2, 3, 0]
    xy = np.stack([inner, inner[following], outer[following], outer], axis=1)
    return np.concatenate([xy, np.full((4, 4, 1), z)], axis=2)
