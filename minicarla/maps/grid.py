"""Towns drawn from a seed: a grid of blocks of unequal size, bends in the longer streets, round corners.

For driving where nobody trained: the lanes are Town01's; the distances, the crossings (four-way inside, T at the edge,
some of either kind roundabouts) and the bends are not.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from minicarla.maps import roundabout
from minicarla.maps.layout import JunctionPlan, RoadPlan, lay_out
from minicarla.maps.opendrive import Point, RoadNetwork, Segment, fillet

BLOCK = (75.0, 170.0)  # m between neighbouring streets
SIDE_COUNT = (3, 5)  # streets each way, the second excluded
SETBACK = 12.0  # m from a crossing's centre to the roads' ends
TURN_RADIUS = (7.5, 10.5)  # m
CORNER_RADIUS = (9.0, 20.0)  # m
BEND_RADIUS = (25.0, 60.0)  # m
BEND_ANGLE = (0.25, 0.55)  # rad
BEND_SHARE = 0.6  # of the streets with room for one
BEND_MARGIN = 8.0  # m of straight road at either end
FIRST_JUNCTION_ID = 1000
JUNCTION_ID_STRIDE = 32  # room for a four-way junction's 16 connecting roads

Node = tuple[int, int]
Street = tuple[Node, Node]
End = tuple[Node, Street]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the streets run, and what their crossings are."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    corner_radius: float
    roundabouts: frozenset[Node] = frozenset()

    def setback(self, node: Node) -> float:
        """Metres from the node to the ends of its streets."""
        if self.is_corner(node):
            return self.corner_radius
        return roundabout.SETBACK if node in self.roundabouts else SETBACK

    def is_corner(self, node: Node) -> bool:
        return node[0] in (0, len(self.xs) - 1) and node[1] in (0, len(self.ys) - 1)

    def nodes(self) -> list[Node]:
        return [(i, j) for i in range(len(self.xs)) for j in range(len(self.ys))]

    def place(self, node: Node) -> tuple[float, float]:
        """Where it is, m."""
        return self.xs[node[0]], self.ys[node[1]]

    def streets(self) -> list[Street]:
        east = [((i, j), (i + 1, j)) for i, j in self.nodes() if i + 1 < len(self.xs)]
        north = [((i, j), (i, j + 1)) for i, j in self.nodes() if j + 1 < len(self.ys)]
        return east + north

    def street_ends(self, street: Street) -> tuple[Point, Point]:
        """The first and last point of the road between two nodes, clear of the crossings."""
        (x0, y0), (x1, y1) = (self.place(node) for node in street)
        heading = math.atan2(y1 - y0, x1 - x0)
        before, after = (self.setback(node) for node in street)
        return Point(x0, y0, heading).forward(before), Point(x1, y1, heading).forward(-after)


def network(name: str, seed: int, roundabout_share: float = 0.0) -> RoadNetwork:
    """The town of that seed: 9 to 16 crossings and corners.

    Args:
      roundabout_share: of the crossings.
    """
    rng = np.random.default_rng(seed)
    grid = _Grid(_street_positions(rng), _street_positions(rng), round(float(rng.uniform(*CORNER_RADIUS)), 2))
    crossings = [node for node in grid.nodes() if not grid.is_corner(node)]
    if roundabout_share > 0.0:
        chosen = rng.permutation(len(crossings))[: round(roundabout_share * len(crossings))]
        grid = replace(grid, roundabouts=frozenset(crossings[number] for number in chosen))
    streets = grid.streets()
    corners = [node for node in grid.nodes() if grid.is_corner(node)]
    ends = _ends(grid, crossings, corners, streets)
    roads = [_street(rng, road_id, grid, street, ends) for road_id, street in enumerate(streets)]
    roads += [_corner(len(streets) + number, grid, node, streets) for number, node in enumerate(corners)]
    junctions = []
    for node in crossings:
        joined = [ends[node, street] for street in streets if node in street]
        if node in grid.roundabouts:
            junctions += [roundabout.mouth(int(junction[1:])) for junction in joined]
            roads += roundabout.ring(grid.place(node), _mouths(grid, node, streets, ends), len(roads))
        else:
            junctions.append(JunctionPlan(int(joined[0][1:]), round(float(rng.uniform(*TURN_RADIUS)), 2)))
    return lay_out(name, roads, junctions)


def _ends(grid: _Grid, crossings: list[Node], corners: list[Node], streets: list[Street]) -> dict[End, str]:
    """What each street's end at a node is joined to: a junction, at a roundabout its own, or a corner."""
    ends, number = {}, 0
    for node in crossings:
        for street in (street for street in streets if node in street):
            ends[node, street] = f"J{FIRST_JUNCTION_ID + JUNCTION_ID_STRIDE * number}"
            number += node in grid.roundabouts
        number += node not in grid.roundabouts
    for number, node in enumerate(corners):
        ends |= {(node, street): f"R{len(streets) + number}" for street in streets if node in street}
    return ends


def _mouths(grid: _Grid, node: Node, streets: list[Street], ends: dict[End, str]) -> list[tuple[float, str]]:
    """The streets at a roundabout, counter-clockwise: the angle at which each lies, and its junction there."""
    x, y = grid.place(node)
    mouths = []
    for street in (street for street in streets if node in street):
        other_x, other_y = grid.place(street[1] if street[0] == node else street[0])
        mouths.append((math.atan2(other_y - y, other_x - x), ends[node, street]))
    return sorted(mouths)


def _street_positions(rng: np.random.Generator) -> tuple[float, ...]:
    blocks = rng.uniform(*BLOCK, size=int(rng.integers(*SIDE_COUNT)) - 1)
    return (0.0, *(round(float(position), 1) for position in np.cumsum(blocks)))


def _street(rng: np.random.Generator, road_id: int, grid: _Grid, street: Street, joined: dict[End, str]) -> RoadPlan:
    start, end = grid.street_ends(street)
    length = math.hypot(end.x - start.x, end.y - start.y)
    radius, angle = float(rng.uniform(*BEND_RADIUS)), float(rng.uniform(*BEND_ANGLE))
    side = 1.0 if rng.random() < 0.5 else -1.0
    straight_share = float(rng.uniform(0.2, 0.8))
    bends = rng.random() < BEND_SHARE
    spare = length - 4.0 * radius * math.sin(angle) - 2.0 * BEND_MARGIN
    segments: tuple[Segment, ...] = (Segment(length),)
    if bends and spare > 0.0:
        arc, curvature = radius * angle, side / radius
        segments = (
            Segment(BEND_MARGIN + spare * straight_share),
            Segment(arc, curvature),
            Segment(2.0 * arc, -curvature),
            Segment(arc, curvature),
            Segment(BEND_MARGIN + spare * (1.0 - straight_share)),
        )
    return RoadPlan(road_id, start, segments, joined[street[0], street], joined[street[1], street])


def _corner(road_id: int, grid: _Grid, node: Node, streets: list[Street]) -> RoadPlan:
    """The round corner between the two streets that end at `node`."""
    ends = []
    for number, street in enumerate(streets):
        if node in street:
            first, last = grid.street_ends(street)
            outward = first.reversed() if street[0] == node else last
            ends.append((number, outward))
    (first_id, start), (second_id, other) = ends
    path = fillet(start, other.reversed(), grid.corner_radius)
    return RoadPlan(road_id, start, path, f"R{first_id}", f"R{second_id}")
