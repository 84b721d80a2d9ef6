"""Roundabouts: a one-way ring, counter-clockwise, with a small junction without lights where each street meets it.

Streets drive in and out by right turns of one arc; the traffic of the ring passes along the circle.
"""

import math
from collections.abc import Sequence

from minicarla.maps.layout import JunctionPlan, RoadPlan
from minicarla.maps.opendrive import Point, Segment

RADIUS = 14.0  # m, of the ring's inner edge
HALF_MOUTH = math.radians(30.0)  # of a street's junction, seen from the middle
TURN_RADIUS = 10.0  # m, of the centre line where a street drives in or out
SETBACK = 23.0  # m from the middle to the streets' ends: room for that turn, and a crossing in front of it


def ring(middle: tuple[float, float], mouths: Sequence[tuple[float, str]], first_road: int) -> list[RoadPlan]:
    """The roads of a roundabout, from each street to the next.

    Args:
      middle: m.
      mouths: of each street, counter-clockwise, the angle (rad) at which it lies and its junction ("J1000").
      first_road: number of the first road.
    """
    roads = []
    for number, ((angle, junction), (next_angle, next_junction)) in enumerate(
        zip(mouths, [*mouths[1:], mouths[0]], strict=True)
    ):
        begin = angle + HALF_MOUTH
        swept = (next_angle - angle) % (2.0 * math.pi) - 2.0 * HALF_MOUTH
        start = Point(middle[0] + RADIUS * math.cos(begin), middle[1] + RADIUS * math.sin(begin), begin + 0.5 * math.pi)
        arc = (Segment(RADIUS * swept, 1.0 / RADIUS),)
        roads.append(RoadPlan(first_road + number, start, arc, junction, next_junction, one_way=True))
    return roads


def mouth(junction_id: int) -> JunctionPlan:
    """The junction of one street with the ring."""
    return JunctionPlan(junction_id, TURN_RADIUS, has_lights=False)
