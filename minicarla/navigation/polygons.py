"""Strips and crossings joined to one mesh of convex polygons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minicarla.navigation.crossings import Crossing, Landing
from minicarla.navigation.pavements import MIN_WIDTH_M, Area, Strip

JOIN_M = 1.0  # how far apart the middles of two pavements' ends may lie that continue in one another
JOIN_CLIMB_M = 0.5


@dataclass(frozen=True)
class PolygonMesh:
    """P convex polygons of up to 4 corners that touch in whole edges.

    vertices: [V, 3] m in CARLA's frame. polygons: [P, 4] int, places of the corners, in the order of CARLA's left turns
    seen from above; the last one is -1 for a triangle. areas: [P]. neighbours: [P, 4] int, which polygon lies beyond
    the edge from corner k to the next, or -1.
    """

    vertices: np.ndarray
    polygons: np.ndarray
    areas: np.ndarray
    neighbours: np.ndarray


def polygon_mesh(strips: Sequence[Strip], crossings: Sequence[Crossing], with_roads: bool = True) -> PolygonMesh:
    """The walkable surface. Changes the strips: they get a station where a crossing lands."""
    _add_stations(strips, crossings)
    bases = np.cumsum([0, *(len(strip.lines) * len(strip.s) for strip in strips)])
    points = [line for strip in strips for line in strip.lines]
    vertices = np.concatenate(points) if points else np.empty((0, 3))
    corners: list[tuple[int, ...]] = []
    areas: list[Area] = []
    for base, strip in zip(bases[:-1], strips, strict=True):
        for number, area in enumerate(strip.areas):
            if area is not None and (with_roads or area is not Area.ROAD):
                cells = _cells(strip, int(base), number)
                corners += cells
                areas += [area] * len(cells)
    for crossing in crossings:
        corners.append(_crossing_corners(strips, bases, crossing))
        areas.append(Area.CROSSWALK)
    places, vertices = _joined(strips, bases, vertices)
    return _finished(vertices, [[int(places[corner]) for corner in polygon] for polygon in corners], areas)


def _add_stations(strips: Sequence[Strip], crossings: Sequence[Crossing]) -> None:
    stations: list[list[float]] = [[] for _ in strips]
    spans: list[list[tuple[float, float]]] = [[] for _ in strips]
    for crossing in crossings:
        for landing in (crossing.near, crossing.far):
            stations[landing.strip] += (landing.start, landing.end)
            spans[landing.strip].append((landing.start, landing.end))
    for strip, inserted, free_of in zip(strips, stations, spans, strict=True):
        strip.insert(inserted)
        strip.thin(inserted, free_of)


def _cells(strip: Strip, base: int, number: int) -> list[tuple[int, ...]]:
    """Corners of the cells between lines `number` and `number + 1`."""
    count = len(strip.s)
    left, right = base + number * count, base + (number + 1) * count
    widths = np.linalg.norm(strip.lines[number] - strip.lines[number + 1], axis=1)
    return [
        (left + i, left + i + 1, right + i + 1, right + i)
        for i in range(count - 1)
        if max(widths[i], widths[i + 1]) >= MIN_WIDTH_M
    ]


def _crossing_corners(strips: Sequence[Strip], bases: np.ndarray, crossing: Crossing) -> tuple[int, ...]:
    ends = [_landing_corners(strips, bases, landing) for landing in (crossing.near, crossing.far)]
    (a, b), (c, d) = ends
    return (a, b, c, d) if _is_simple(strips, bases, (a, b, c, d)) else (a, b, d, c)


def _landing_corners(strips: Sequence[Strip], bases: np.ndarray, landing: Landing) -> tuple[int, int]:
    strip = strips[landing.strip]
    line = int(bases[landing.strip]) + landing.kerb * len(strip.s)
    first, last = np.searchsorted(strip.s, (landing.start, landing.end))
    return line + int(first), line + int(last)


def _is_simple(strips: Sequence[Strip], bases: np.ndarray, corners: tuple[int, ...]) -> bool:
    """Whether the quadrilateral does not cross itself."""
    a, b, c, d = (_point(strips, bases, corner) for corner in corners)
    return bool(np.dot((b - a)[:2], (c - d)[:2]) > 0.0)


def _point(strips: Sequence[Strip], bases: np.ndarray, corner: int) -> np.ndarray:
    index = int(np.searchsorted(bases, corner, side="right")) - 1
    line, station = divmod(corner - int(bases[index]), len(strips[index].s))
    return np.asarray(strips[index].lines[line][station])


def _pavement_ends(strips: Sequence[Strip], bases: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Strip and the two corners of every end of a pavement."""
    for index, strip in enumerate(strips):
        count = len(strip.s)
        for number, area in enumerate(strip.areas):
            if area is Area.SIDEWALK:
                left, right = int(bases[index]) + number * count, int(bases[index]) + (number + 1) * count
                yield index, left, right
                yield index, left + count - 1, right + count - 1


def _joined(strips: Sequence[Strip], bases: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every vertex the one that stands for it, and the vertices, where pavements' ends have become one.

    Maps need not say which pavements continue in one another, so the ends that lie closest together are joined.
    """
    places = np.arange(len(vertices))
    ends = list(_pavement_ends(strips, bases))
    if not ends:
        return places, vertices
    owner = np.array([end[0] for end in ends])
    middle = np.array([0.5 * (vertices[left] + vertices[right]) for _, left, right in ends])
    pairs = []
    for rank in range(len(ends)):
        offset = middle[rank + 1 :] - middle[rank]
        near = (np.abs(offset[:, :2]).max(axis=1) < JOIN_M) & (np.abs(offset[:, 2]) < JOIN_CLIMB_M)
        near &= owner[rank + 1 :] != owner[rank]
        for other in np.flatnonzero(near):
            pairs.append((float(np.linalg.norm(offset[other])), rank, rank + 1 + int(other)))
    joined: set[int] = set()
    vertices = vertices.copy()
    for _, a, b in sorted(pairs):
        if a in joined or b in joined:
            continue
        joined |= {a, b}
        first, second = ends[a][1:], ends[b][1:]
        straight = sum(np.linalg.norm(vertices[i] - vertices[j]) for i, j in zip(first, second, strict=True))
        crossed = sum(np.linalg.norm(vertices[i] - vertices[j]) for i, j in zip(first, second[::-1], strict=True))
        for i, j in zip(first, second if straight <= crossed else second[::-1], strict=True):
            places[j] = i
            vertices[i] = 0.5 * (vertices[i] + vertices[j])
    return places, vertices


def _finished(vertices: np.ndarray, corners: list[list[int]], areas: list[Area]) -> PolygonMesh:
    polygons, kept_areas = [], []
    for polygon, area in zip(corners, areas, strict=True):
        simple = list(dict.fromkeys(polygon))
        if len(simple) > 2:
            # Detour wants the corners the other way round than a left turn in its own frame, which mirrors CARLA's.
            turn = _signed_area(vertices[simple])
            if abs(turn) > 1e-3:
                polygons.append(simple if turn < 0.0 else simple[::-1])
                kept_areas.append(area)
    used = sorted({corner for polygon in polygons for corner in polygon})
    place = dict(zip(used, range(len(used)), strict=True))
    padded = np.full((len(polygons), 4), -1, np.int64)
    for number, polygon in enumerate(polygons):
        padded[number, : len(polygon)] = [place[corner] for corner in polygon]
    kinds = np.array(kept_areas, np.int64)
    return PolygonMesh(vertices[used], padded, kinds, _neighbours(padded, kinds))


def _signed_area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _neighbours(polygons: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """[P, 4]: the polygon beyond every edge.

    Where more than two share an edge, as pavement, road and crossing do, pavement and crossing are neighbours.
    """
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, polygon in enumerate(polygons.tolist()):
        ring = [corner for corner in polygon if corner >= 0]
        for k, corner in enumerate(ring):
            other = ring[(k + 1) % len(ring)]
            edges.setdefault((min(corner, other), max(corner, other)), []).append((number, k))
    neighbours = np.full((len(polygons), 4), -1, np.int64)
    for members in edges.values():
        if len(members) > 1:
            (a, k), (b, j) = sorted(members, key=lambda member: (areas[member[0]], member))[:2]
            neighbours[a, k], neighbours[b, j] = b, a
    return neighbours
