"""Road geometry: carriageway, markings, kerbs, pavements, junction aprons and the ground around them."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from minicarla.maps.junction_fill import junction_fill, junctions
from minicarla.maps.lane_edges import ASPHALT_KINDS, Lane, Marking
from minicarla.maps.surface import HEADROOM_M, Surface
from minicarla.maps.terrain import DROP_M as GRASS_DROP_M
from minicarla.maps.terrain import Terrain
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
_APRON_MARGIN_M = 4.3
# Layers under the lanes, so that what lies on top hides them: junction asphalt, junction pavement, grass.
_FILL_DROP_M, _APRON_DROP_M = 0.01, 0.02
_GROUND_CELL_M = 20.0
_GROUND_MARGIN_M = 80.0
_HORIZON_M = 3000.0
_EVEN_M = 0.02
_DECK_M = 0.8

ASPHALT: Colour = (78, 78, 82)
SHOULDER: Colour = (104, 102, 100)
PAVEMENT: Colour = (164, 160, 152)
KERB: Colour = (196, 194, 188)
GRASS: Colour = (92, 124, 58)
CONCRETE: Colour = (138, 136, 130)
_PAINT: dict[str, Colour] = {
    "White": (235, 235, 232),
    "Yellow": (236, 196, 58),
    "Blue": (60, 96, 190),
    "Green": (60, 150, 80),
    "Red": (190, 60, 52),
}
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
    if lane.kind in ASPHALT_KINDS:
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
    drop = np.array([0.0, 0.0, _FILL_DROP_M])
    up = (0.0, 0.0, 1.0)
    parts: list[Mesh] = []
    for members in junctions(lanes, ASPHALT_KINDS):
        parts += [_beside(lane) for lane in members]
        parts.append(quads(junction_fill(members) - drop, ASPHALT, Tag.ROADS, Material.ASPHALT, facing=up))
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


def ground(lanes: Sequence[Lane], surface: Surface) -> Mesh:
    """Grass under and around the roads, out to the horizon."""
    if surface.terrain is not None:
        return _hilly_ground(surface.terrain, surface.verges)
    points = np.concatenate([np.concatenate([lane.left, lane.right]) for lane in lanes])
    low = np.floor((points[:, :2].min(axis=0) - _GROUND_MARGIN_M) / _GROUND_CELL_M) * _GROUND_CELL_M
    cells = np.ceil((points[:, :2].max(axis=0) + _GROUND_MARGIN_M - low) / _GROUND_CELL_M).astype(int)
    z = float(points[:, 2].min() - GRASS_DROP_M)
    # Blocks, though it is flat: they are small enough to be culled.
    nodes_x, nodes_y = (
        np.unique(np.append(nodes[::4], nodes[-1]))
        for nodes in (low[axis] + _GROUND_CELL_M * np.arange(cells[axis] + 1) for axis in (0, 1))
    )
    grid = np.stack([*np.meshgrid(nodes_x, nodes_y), np.full((len(nodes_y), len(nodes_x)), z)], axis=2)
    return merge([_grass(_grid_faces(grid)), _grass(_frame(low, np.array([nodes_x[-1], nodes_y[-1]]), z))])


def _grass(corners: np.ndarray) -> Mesh:
    return quads(corners, GRASS, Tag.TERRAIN, Material.GRASS, facing=(0.0, 0.0, 1.0))


def _grid_faces(grid: np.ndarray) -> np.ndarray:
    """[(rows - 1) (columns - 1), 4, 3] cells of a grid of nodes [rows, columns, 3]."""
    return np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2).reshape(-1, 4, 3)


def _hilly_ground(terrain: Terrain, verges: Sequence[tuple[np.ndarray, np.ndarray]]) -> Mesh:
    """The land's cells, each as one face where it is even and as two triangles elsewhere; verges; the horizon."""
    rows, columns = terrain.heights.shape
    x, y = (
        start + terrain.cell * np.arange(count) for start, count in zip(terrain.origin, (columns, rows), strict=True)
    )
    grid = np.stack([*np.meshgrid(x, y), terrain.heights], axis=2)
    faces = _grid_faces(grid)
    bent = np.abs(faces[:, 0, 2] - faces[:, 1, 2] + faces[:, 2, 2] - faces[:, 3, 2]) > _EVEN_M
    high, low = faces[bent][:, [0, 1, 2, 2]], faces[bent][:, [0, 2, 3, 3]]
    end = np.array([x[-1], y[-1]])
    return merge(
        [
            _grass(np.concatenate([faces[~bent], high, low])),
            _grass(_frame(np.array(terrain.origin), end, float(terrain.heights.min()))),
            *(strip(inner, outer, GRASS, Tag.TERRAIN, Material.GRASS) for inner, outer in verges),
        ]
    )


def decks(lanes: Sequence[Lane], surface: Surface) -> Mesh:
    """Undersides and flanks of lanes that run high above the land: bridges."""
    if surface.terrain is None:
        return merge([])
    parts: list[Mesh] = []
    depth = np.array([0.0, 0.0, _DECK_M])
    for lane in lanes:
        middle = 0.5 * (lane.left + lane.right)
        high = np.concatenate([[False], middle[:, 2] - surface.terrain.at(middle) > HEADROOM_M, [False]])
        for begin, end in np.flatnonzero(np.diff(high.astype(int))).reshape(-1, 2):
            if end - begin > 1:
                left, right = lane.left[begin:end], lane.right[begin:end]
                corners = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1) - depth
                parts += [
                    quads(corners, CONCRETE, Tag.BRIDGE, facing=(0.0, 0.0, -1.0)),
                    wall(left - depth, left, 2.0 * left - right, CONCRETE, Tag.BRIDGE),
                    wall(right - depth, right, 2.0 * right - left, CONCRETE, Tag.BRIDGE),
                ]
    return merge(parts)


def _frame(low: np.ndarray, high: np.ndarray, z: float) -> np.ndarray:
    """[4, 4, 3] faces from the rectangle low..high out to the horizon."""
    inner = np.array([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
    outer = inner + _HORIZON_M * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    following = [1, 2, 3, 0]
    xy = np.stack([inner, inner[following], outer[following], outer], axis=1)
    return np.concatenate([xy, np.full((4, 4, 1), z)], axis=2)
