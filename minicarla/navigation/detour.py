"""Detour's navigation mesh file, which CARLA's client reads.

Formats: DetourNavMesh.h of Recast Navigation (dtMeshHeader, dtPoly, dtLink, dtPolyDetail, dtBVNode;
DT_NAVMESH_VERSION 7, 32-bit references), and `Navigation::Load` of LibCarla for the file around the tile. Sizes and
offsets checked against `dtNavMesh::addTile` in the 0.9.16 wheel. Detour's frame: x, then up, then CARLA's y.
"""

import struct

import numpy as np

from minicarla.navigation.pavements import Area
from minicarla.navigation.polygons import PolygonMesh

MAX_POLYGONS = 0x7FFF  # a neighbour is 16 bits, of which the highest means another tile
MAX_VERTICES = 0xFFFF
_SET_MAGIC = int.from_bytes(b"MSET", "big")
_SET_VERSION = 1
_TILE_MAGIC = int.from_bytes(b"DNAV", "big")
_TILE_VERSION = 7
_SET_HEADER = struct.Struct("<iii5fii")  # magic, version, tiles; origin, tile size, most tiles, most polygons
_TILE_REFERENCE = struct.Struct("<Ii")
_TILE_HEADER = struct.Struct("<5iI9i3f6ff")
_POLYGON = np.dtype(
    [
        ("link", "<u4"),
        ("corners", "<u2", 6),
        ("neighbours", "<u2", 6),
        ("flags", "<u2"),
        ("count", "u1"),
        ("area", "u1"),
    ]
)
_DETAIL = np.dtype([("vertices", "<u4"), ("triangles", "<u4"), ("vertex_count", "u1"), ("count", "u1"), ("pad", "<u2")])
_NODE = np.dtype([("low", "<u2", 3), ("high", "<u2", 3), ("item", "<i4")])
_LINK_BYTES = 12
# SamplePolyFlags in LibCarla's nav/Navigation.h
_FLAGS = {Area.SIDEWALK: 0x02, Area.CROSSWALK: 0x04, Area.ROAD: 0x08}
_HEIGHT_M, _RADIUS_M, _CLIMB_M = 1.8, 0.3, 0.3  # of the agents, as CARLA builds its own meshes
_MARGIN_M = 50.0  # around the tile: who asks from further away gets no place
_QUANTA = 65000.0  # steps of the tree's 16-bit coordinates, with some to spare


def navigation_file(mesh: PolygonMesh) -> bytes:
    """The file: one tile with everything.

    Raises:
      ValueError: the mesh is empty or has more polygons or vertices than one tile can hold.
    """
    count = len(mesh.polygons)
    if not 0 < count <= MAX_POLYGONS or len(mesh.vertices) > MAX_VERTICES:
        raise ValueError(f"a tile cannot hold {count} polygons and {len(mesh.vertices)} vertices")
    vertices = mesh.vertices[:, [0, 2, 1]].astype(np.float32)
    tile = _tile(mesh, vertices)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    origin = (low - _MARGIN_M).tolist()
    size = float((high - low).max()) + 2.0 * _MARGIN_M
    polygon_bits = max(1, (count - 1).bit_length())
    header = _SET_HEADER.pack(_SET_MAGIC, _SET_VERSION, 1, *origin, size, size, 1, 1 << polygon_bits)
    return header + _TILE_REFERENCE.pack(1 << polygon_bits, len(tile)) + tile


def _tile(mesh: PolygonMesh, vertices: np.ndarray) -> bytes:
    polygons = _polygons(mesh)
    details, triangles = _details(polygons["count"])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    steps_per_m = _QUANTA / max(float((high - low).max()), 1.0)
    tree = _tree(mesh, vertices, low, steps_per_m)
    links = int((mesh.neighbours >= 0).sum())
    # x, y, layer, user id; polygons, vertices, links, details, their vertices and triangles, nodes; no off-mesh links
    counts = (len(polygons), len(vertices), links + 1, len(details), 0, len(triangles), len(tree), 0, len(polygons))
    bounds = (*low.tolist(), *high.tolist())
    header = _TILE_HEADER.pack(
        _TILE_MAGIC, _TILE_VERSION, 0, 0, 0, 0, *counts, _HEIGHT_M, _RADIUS_M, _CLIMB_M, *bounds, steps_per_m
    )
    empty_links = bytes(_LINK_BYTES * (links + 1))
    parts = (vertices, polygons, empty_links, details, triangles, tree)
    return header + b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)


def _polygons(mesh: PolygonMesh) -> np.ndarray:
    polygons = np.zeros(len(mesh.polygons), _POLYGON)
    exists = mesh.polygons >= 0
    polygons["link"] = 0xFFFFFFFF
    polygons["corners"][:, :4] = np.where(exists, mesh.polygons, 0)
    polygons["neighbours"][:, :4] = mesh.neighbours + 1
    polygons["count"] = exists.sum(axis=1)
    polygons["area"] = mesh.areas
    for area, flags in _FLAGS.items():
        polygons["flags"][mesh.areas == area] = flags
    return polygons


def _details(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every polygon as a fan of triangles without vertices of their own; which edges are the polygon's is in byte 3."""
    details = np.zeros(len(counts), _DETAIL)
    details["count"] = counts.astype(np.int64) - 2
    details["triangles"] = np.concatenate([[0], np.cumsum(details["count"], dtype=np.int64)[:-1]])
    fans = {3: [(0, 1, 2, 0b010101)], 4: [(0, 1, 2, 0b000101), (0, 2, 3, 0b010100)]}
    triangles = [triangle for count in counts.tolist() for triangle in fans[count]]
    return details, np.array(triangles, np.uint8)


def _tree(mesh: PolygonMesh, vertices: np.ndarray, low: np.ndarray, steps_per_m: float) -> np.ndarray:
    """The bounding volume tree, depth first; an inner node's item is minus the number of its nodes."""
    corners = vertices[np.where(mesh.polygons >= 0, mesh.polygons, mesh.polygons[:, :1])]
    lows = np.floor((corners.min(axis=1) - low) * steps_per_m).clip(0, 0xFFFF).astype(np.int64)
    highs = np.ceil((corners.max(axis=1) - low) * steps_per_m + 1.0).clip(0, 0xFFFF).astype(np.int64)
    nodes = np.zeros(2 * len(lows) - 1, _NODE)
    place = 0
    pending = [np.arange(len(lows))]
    while pending:
        items = pending.pop()
        nodes[place] = (lows[items].min(axis=0), highs[items].max(axis=0), items[0])
        if len(items) > 1:
            nodes["item"][place] = -(2 * len(items) - 1)
            middles = lows[items] + highs[items]
            axis = int(np.ptp(middles, axis=0).argmax())
            ordered = items[np.argsort(middles[:, axis], kind="stable")]
            half = len(items) // 2
            pending += [ordered[half:], ordered[:half]]
        place += 1
    return nodes
