"""OpenDRIVE maps that one test after another needs.

`street`, `hill`, `banked_curve`, `bridge`, `tee` and `roundabout` are texts; `hill_road`, `banked_road` and
`bridge_roads` are what some of them are made of.
"""

import math

from opendrive_text import LaneSpec, Place, Record, Road, Section, arc, junction, line, opendrive, road

_ORIGIN = Place()


def street(length: float = 200.0, **rest: object) -> str:
    """One straight road to the east with a lane and a pavement each way; `rest` are fields of `Road`."""
    return opendrive([road(line(length), **rest)])


def ramp(grade: float, flat: float = 60.0, slope: float = 200.0) -> tuple[Record, ...]:
    """Elevation: level for `flat` m, over 20 m rounded into a slope of `grade` and `slope` m, then level again."""
    bend = 20.0
    top = flat + bend + slope
    rise = 0.5 * grade * bend
    return (
        (0.0, 0.0, 0.0, 0.0, 0.0),
        (flat, 0.0, 0.0, 0.5 * grade / bend, 0.0),
        (flat + bend, rise, grade, 0.0, 0.0),
        (top, rise + grade * slope, grade, -0.5 * grade / bend, 0.0),
        (top + bend, 2.0 * rise + grade * slope, 0.0, 0.0, 0.0),
    )


def hill_road(grade: float = 0.08, flat: float = 60.0, slope: float = 200.0, **rest: object) -> Road:
    """A straight road that climbs: `ramp`, with another `flat` m at its top."""
    return road(line(2.0 * flat + 40.0 + slope), elevation=ramp(grade, flat, slope), **rest)


def banked_road(roll_rad: float = 0.08, radius: float = 80.0, grade: float = 0.03, **rest: object) -> Road:
    """A left bend of half a circle that climbs and, over its first 20 m, tilts by `roll_rad` (falls to the right)."""
    tilt = ((0.0, 0.0, roll_rad / 20.0, 0.0, 0.0), (20.0, roll_rad, 0.0, 0.0, 0.0))
    climb = ((0.0, 0.0, grade, 0.0, 0.0),)
    return road(arc(math.pi * radius, 1.0 / radius), elevation=climb, superelevation=tilt, **rest)


def bridge_roads(height: float = 6.0, crossing: Place = _ORIGIN, first_id: int = 1) -> list[Road]:
    """Two roads of 300 m: one to the east at z = 0, one to the north and over it at `crossing`, the middle of both."""
    over = (
        (0.0, 0.0, 0.0, 3.0 * height / 1e4, -2.0 * height / 1e6),  # a smooth step 100 m long
        (100.0, height, 0.0, 0.0, 0.0),
        (200.0, height, 0.0, -3.0 * height / 1e4, 2.0 * height / 1e6),
    )
    below = road(line(300.0), id=first_id, start=crossing.moved(-150.0))
    above = road(line(300.0), id=first_id + 1, start=crossing.moved(0.0, -150.0, 0.5 * math.pi), elevation=over)
    return [below, above]


def hill(grade: float = 0.08) -> str:
    """`hill_road` from the origin to the east."""
    return opendrive([hill_road(grade)])


def banked_curve(roll_rad: float = 0.08, radius: float = 80.0, grade: float = 0.03) -> str:
    """`banked_road` from the origin."""
    return opendrive([banked_road(roll_rad, radius, grade)])


def bridge(height: float = 6.0) -> str:
    """`bridge_roads` that cross at the origin: road 2 above road 1."""
    return opendrive(bridge_roads(height))


def tee(left_hand: bool = False, height: float = 0.0) -> str:
    """Three roads of 80 m that meet at the origin, at `height` m above their other ends; junction 10 with lights."""
    up = ((0.0, 0.0, height / 80.0, 0.0, 0.0),) if height else ()
    arms = []
    for number, heading in enumerate((0.0, math.pi, 0.5 * math.pi)):
        start = Place(0.0, 0.0, heading).moved(95.0).back()
        arms.append((road(line(80.0), id=number + 1, start=start, elevation=up, left_hand=left_hand), "end"))
    roads, crossing = junction(10, arms, 100, lights=True)
    return opendrive(roads, [crossing])


def roundabout(radius: float = 20.0) -> str:
    """A ring around the origin, driven to the left: four one-way roads (1 to 4); and four arms (11 to 14) of 60 m."""
    gap = math.radians(20.0)  # of the ring on either side of an arm, for the junctions 21 to 24
    quarter = arc((0.5 * math.pi - 2.0 * gap) * radius, 1.0 / radius)
    one_way = (Section(0.0, (), (LaneSpec(),)),)
    ring = []
    for number in range(4):
        turned = 0.5 * math.pi * number + gap
        start = Place(0.0, 0.0, turned).moved(radius, 0.0, 0.5 * math.pi)
        ring.append(road(quarter, id=number + 1, start=start, sections=one_way))
    arms, crossings = [], []
    for number in range(4):
        start = Place(0.0, 0.0, 0.5 * math.pi * number).moved(radius + 20.0)
        arm = road(line(60.0), id=number + 11, start=start)
        meeting = [(ring[number - 1], "end"), (ring[number], "start"), (arm, "start")]
        (ring[number - 1], ring[number], *rest), crossing = junction(number + 21, meeting, 100 + 10 * number)
        arms += rest
        crossings.append(crossing)
    return opendrive([*ring, *arms], crossings)
