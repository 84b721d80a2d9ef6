"""OpenDRIVE texts for tests: written from a few plain values, by hand or drawn by hypothesis.

Plain functions, each of which returns the text of a map:

- `opendrive(roads, junctions)`: the text of `Road`s and `Junction`s, which are plain data. `road(...)` makes one road
  of `line`, `arc` and `spiral` pieces with `LANES` by default; `chain(...)` joins several end to end; `junction(...)`
  joins the ends of roads by connecting roads, every one to every other, lane by lane.
- `street(...)`, `hill(...)`, `banked_curve(...)`, `bridge(...)`, `tee(...)`: maps that one test after another needs;
  `hill_road(...)`, `banked_road(...)`, `bridge_roads(...)`: what they are made of.

Strategies that draw such texts, with what they were made of: `streets()` (one road: sections, widths, offsets, either
rule of the road, elevation, superelevation, dead ends), `chains()` (roads joined end to end, either way round),
`crossings()` (junctions of three to five arms). `maps()` is one of all. They give a `Drawn`: `text`, `roads`,
`junctions`, `left_hand`.

OpenDRIVE's frame: x east, y north (CARLA's y is minus this y), metres, radians, left turns positive. A lane is a
`LaneSpec` (type, width in m or its cubic, mark); `Section.left` and `.right` run from the middle outwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import strategies as st

Cubic = tuple[float, float, float, float]  # a, b, c, d of the powers of the way from the record's start
Record = tuple[float, float, float, float, float]  # s, a, b, c, d


@dataclass(frozen=True)
class Place:
    """A directed point of a reference line: m, m, rad."""

    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0

    def moved(self, along: float, left: float = 0.0, turned: float = 0.0) -> "Place":
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x, y = self.x + along * cos - left * sin, self.y + along * sin + left * cos
        return Place(x, y, self.heading + turned)

    def back(self) -> "Place":
        return Place(self.x, self.y, self.heading + math.pi)


@dataclass(frozen=True)
class Piece:
    """A piece of a reference line: `element` is the XML of its shape, `end` where it ends as seen from its start."""

    length: float
    element: str
    end: Place


def line(length: float) -> Piece:
    return Piece(length, "<line/>", Place(length))


def arc(length: float, curvature: float) -> Piece:
    turned, radius = length * curvature, 1.0 / curvature
    end = Place(radius * math.sin(turned), radius * (1.0 - math.cos(turned)), turned)
    return Piece(length, f'<arc curvature="{curvature!r}"/>', end)


def spiral(length: float, start: float, end: float) -> Piece:
    """A clothoid; its curvature goes from `start` to `end`."""
    x = y = 0.0
    count = max(200, int(length))
    step = length / count
    for number in range(count):  # midpoint rule
        s = (number + 0.5) * step
        heading = start * s + 0.5 * (end - start) / length * s * s
        x, y = x + step * math.cos(heading), y + step * math.sin(heading)
    place = Place(x, y, 0.5 * (start + end) * length)
    return Piece(length, f'<spiral curvStart="{start!r}" curvEnd="{end!r}"/>', place)


def bezier(start: Place, end: Place) -> Piece:
    """A smooth cubic from one place to another."""
    dx, dy = end.x - start.x, end.y - start.y
    cos, sin = math.cos(start.heading), math.sin(start.heading)
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    turned = math.remainder(end.heading - start.heading, math.tau)
    reach = 0.4 * math.hypot(u, v) / max(math.cos(0.5 * turned), 0.5)
    p = ((0.0, 0.0), (reach, 0.0), (u - reach * math.cos(turned), v - reach * math.sin(turned)), (u, v))
    coefficients = [
        (
            p[0][axis],
            3 * (p[1][axis] - p[0][axis]),
            3 * (p[2][axis] - 2 * p[1][axis] + p[0][axis]),
            p[3][axis] - 3 * p[2][axis] + 3 * p[1][axis] - p[0][axis],
        )
        for axis in (0, 1)
    ]
    points = [
        tuple(sum(c * (number / 400) ** power for power, c in enumerate(row)) for row in coefficients)
        for number in range(401)
    ]
    length = sum(math.dist(a, b) for a, b in pairwise(points))
    names = [f'{letter}{axis}="{value!r}"' for axis, row in zip("UV", coefficients, strict=True)
             for letter, value in zip("abcd", row, strict=True)]  # fmt: skip
    return Piece(length, f'<paramPoly3 pRange="normalized" {" ".join(names)}/>', Place(u, v, turned))


@dataclass(frozen=True)
class LaneSpec:
    """A lane: `width` in m, or its cubic along the section; `links` overrides (predecessor, successor)."""

    type: str = "driving"
    width: float | Cubic = 3.5
    mark: str = "solid"
    links: tuple[int | None, int | None] | None = None


LANES = (LaneSpec(), LaneSpec("sidewalk", 2.0, "none"))


@dataclass(frozen=True)
class Section:
    s: float = 0.0
    left: tuple[LaneSpec, ...] = LANES
    right: tuple[LaneSpec, ...] = LANES

    def ids(self) -> set[int]:
        return {number + 1 for number in range(len(self.left))} | {-number - 1 for number in range(len(self.right))}


@dataclass(frozen=True)
class Link:
    """What an end of a road is joined to: "road" (with its "start" or "end") or "junction"."""

    kind: str
    id: int
    contact: str = ""


@dataclass(frozen=True)
class Road:
    id: int
    start: Place
    pieces: tuple[Piece, ...]
    sections: tuple[Section, ...] = (Section(),)
    elevation: tuple[Record, ...] = ()
    superelevation: tuple[Record, ...] = ()
    offset: tuple[Record, ...] = ()
    left_hand: bool = False
    junction: int = -1
    predecessor: Link | None = None
    successor: Link | None = None
    # Ids of the lanes of what it is joined to, by its own; a lane that is not named is not joined.
    before: dict[int, int] = field(default_factory=dict)
    after: dict[int, int] = field(default_factory=dict)
    signals: str = ""

    @property
    def length(self) -> float:
        return sum(piece.length for piece in self.pieces)

    @property
    def end(self) -> Place:
        place = self.start
        for piece in self.pieces:
            place = place.moved(piece.end.x, piece.end.y, piece.end.heading)
        return place

    def height(self, s: float) -> float:
        """Of the reference line, m."""
        return _value(self.elevation, s)

    def grade(self, s: float) -> float:
        """dz/ds of the reference line."""
        return (_value(self.elevation, s + 1e-4) - _value(self.elevation, s - 1e-4)) / 2e-4

    def outward(self, end: str) -> Place:
        """The place at its "start" or "end", looking away from the road."""
        return self.end if end == "end" else self.start.back()


def _value(records: Sequence[Record], s: float) -> float:
    passed = [record for record in records if record[0] <= s] or list(records[:1])
    if not passed:
        return 0.0
    start, a, b, c, d = passed[-1]
    ds = s - start
    return a + ds * (b + ds * (c + ds * d))


@dataclass(frozen=True)
class Junction:
    """connections: (incoming road, connecting road, its lane links as (from, to) pairs)."""

    id: int
    connections: tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]


def road(
    *pieces: Piece,
    id: int = 1,
    start: Place = Place(),
    **rest: object,
) -> Road:
    """One road of these pieces, or of 100 m straight; `rest` are fields of `Road`."""
    return Road(id, start, pieces or (line(100.0),), **rest)


def chain(roads: Sequence[Road], reverse: Sequence[int] = ()) -> list[Road]:
    """The roads moved so that each begins where the one before it ends, and joined lane by lane.

    Those whose place is in `reverse` are laid the other way round: their ends come first.
    """
    placed: list[Road] = []
    at = roads[0].start
    for number, item in enumerate(roads):
        if number in reverse:
            turn = item.end
            back = at.back().heading - turn.heading
            apart = Place(at.x, at.y, back).moved(item.start.x - turn.x, item.start.y - turn.y, item.start.heading)
            placed.append(replace(item, start=apart))
            at = apart.back()
        else:
            placed.append(replace(item, start=at))
            at = placed[-1].end
    ends = [("end", "start") if number in reverse else ("start", "end") for number in range(len(placed))]
    for number in range(len(placed) - 1):
        one, other = placed[number], placed[number + 1]
        here, there = ends[number][1], ends[number + 1][0]
        flip = -1 if here == there else 1
        ours, theirs = _ids_at(one, here), _ids_at(other, there)
        pairs = {lane: lane * flip for lane in ours if lane * flip in theirs}
        placed[number] = _linked(one, here, Link("road", other.id, there), pairs)
        placed[number + 1] = _linked(other, there, Link("road", one.id, here), {b: a for a, b in pairs.items()})
    return placed


def _ids_at(item: Road, end: str) -> set[int]:
    return item.sections[0 if end == "start" else -1].ids()


def _linked(item: Road, end: str, link: Link, lanes: dict[int, int]) -> Road:
    if end == "start":
        return replace(item, predecessor=link, before=lanes)
    return replace(item, successor=link, after=lanes)


def junction(
    junction_id: int, arms: Sequence[tuple[Road, str]], first_road: int, lights: bool = False
) -> tuple[list[Road], Junction]:
    """Joins the ends of roads by connecting roads of one lane, each driving lane that leads in to every other arm.

    Args:
      arms: a road and which of its ends ("start", "end") lies at the junction; the lanes there count.
      first_road: the id of the first connecting road.
      lights: whether each arm has a traffic light, beside the lanes that lead in; its id is the arm's road's.

    Returns:
      the arms' roads, linked, followed by the connecting roads; and the junction.
    """
    linked = [_linked(item, end, Link("junction", junction_id), {}) for item, end in arms]
    if lights:
        linked = [replace(item, signals=_light(item, end)) for item, (_, end) in zip(linked, arms, strict=True)]
    connecting, connections = [], []
    for here, (source, end) in enumerate(arms):
        for there, (target, other_end) in enumerate(arms):
            if here == there:
                continue
            # Seen from the road's start the lanes on its right have negative ids; who comes to its "end" drives there.
            side = 1 if source.left_hand else -1
            inward = _driving(source, end, side if end == "end" else -side)
            outward = _driving(target, other_end, -side if other_end == "end" else side)
            for from_id, to_id in zip(inward, outward, strict=False):
                width = _width(source, end, from_id)
                start = _inner_edge(source, end, from_id)
                goal = _inner_edge(target, other_end, to_id).back()
                number = first_road + len(connecting)
                z0, z1 = _height_at(source, end), _height_at(target, other_end)
                piece = bezier(start, goal)
                rise = (z1 - z0) / piece.length
                ramp = LaneSpec(
                    "driving",
                    (width, (_width(target, other_end, to_id) - width) / piece.length, 0.0, 0.0),
                    "none",
                )
                lanes = {"left": (ramp,), "right": ()} if side > 0 else {"left": (), "right": (ramp,)}
                connecting.append(
                    Road(
                        number,
                        start,
                        (piece,),
                        (Section(0.0, **lanes),),
                        ((0.0, z0, rise, 0.0, 0.0),) if z0 or z1 else (),
                        left_hand=source.left_hand,
                        junction=junction_id,
                        predecessor=Link("road", source.id, end),
                        successor=Link("road", target.id, other_end),
                        before={side: from_id},
                        after={side: to_id},
                        signals=_reference(source.id, side) if lights else "",
                    )
                )
                connections.append((source.id, number, ((from_id, side),)))
    return linked + connecting, Junction(junction_id, tuple(connections))


def _light(item: Road, end: str) -> str:
    """A traffic light at a road's end for those who come to it there, half a metre beyond their lanes."""
    along = end == "end"
    side = 1 if item.left_hand == along else -1
    lanes = _driving(item, end, side)
    left = side * (sum(_width(item, end, lane) for lane in lanes) + 0.5)
    s = item.length - 0.5 if along else 0.5
    return (
        f'<signal name="light" id="{item.id}" s="{s!r}" t="{left!r}" zOffset="0" hOffset="0" roll="0" pitch="0" '
        f'orientation="{"+" if along else "-"}" dynamic="yes" country="OpenDRIVE" type="1000001" subtype="-1" '
        f'value="-1" text="" height="0.7" width="0.3">'
        f'<validity fromLane="{min(lanes)}" toLane="{max(lanes)}"/></signal>'
    )


def _reference(signal: int, lane: int) -> str:
    return (
        f'<signalReference id="{signal}" s="0" t="{lane}" orientation="+">'
        f'<validity fromLane="{lane}" toLane="{lane}"/></signalReference>'
    )


def _height_at(item: Road, end: str) -> float:
    return item.height(item.length if end == "end" else 0.0)


def _driving(item: Road, end: str, side: int) -> list[int]:
    section = item.sections[0 if end == "start" else -1]
    lanes = section.left if side > 0 else section.right
    return [side * (number + 1) for number, lane in enumerate(lanes) if lane.type == "driving"]


def _width(item: Road, end: str, lane: int) -> float:
    index = 0 if end == "start" else -1
    section = item.sections[index]
    spec = (section.left if lane > 0 else section.right)[abs(lane) - 1]
    if isinstance(spec.width, tuple):
        ds = item.length - section.s if end == "end" else 0.0
        return _value(((0.0, *spec.width),), ds)
    return spec.width


def _inner_edge(item: Road, end: str, lane: int) -> Place:
    """Where the lane's inner edge meets the road's end, looking away from the road."""
    side = 1 if lane > 0 else -1
    inner = sum(_width(item, end, side * number) for number in range(1, abs(lane)))
    left = _value(item.offset, item.length if end == "end" else 0.0) + side * inner
    place = item.outward(end)
    return place.moved(0.0, left if end == "end" else -left)


def opendrive(roads: Sequence[Road], junctions: Sequence[Junction] = (), extra: str = "") -> str:
    """The text of a map; `extra` is put behind its roads."""
    header = '<header revMajor="1" revMinor="4"><geoReference>+proj=tmerc +lat_0=0 +lon_0=0</geoReference></header>'
    parts = [_road(item) for item in roads] + [_junction(item) for item in junctions]
    return f'<?xml version="1.0"?>\n<OpenDRIVE>{header}{"".join(parts)}{extra}</OpenDRIVE>'


def _road(item: Road) -> str:
    rule = ' rule="LHT"' if item.left_hand else ""
    head = f'<road name="" length="{item.length!r}" id="{item.id}" junction="{item.junction}"{rule}>'
    links = "".join(
        f'<{name} elementType="{link.kind}" elementId="{link.id}"'
        + (f' contactPoint="{link.contact}"/>' if link.contact else "/>")
        for name, link in (("predecessor", item.predecessor), ("successor", item.successor))
        if link is not None
    )
    place, s, plan = item.start, 0.0, ""
    for piece in item.pieces:
        plan += (
            f'<geometry s="{s!r}" x="{place.x!r}" y="{place.y!r}" hdg="{place.heading!r}" length="{piece.length!r}">'
            f"{piece.element}</geometry>"
        )
        s, place = s + piece.length, place.moved(piece.end.x, piece.end.y, piece.end.heading)
    return (
        f"{head}<link>{links}</link><planView>{plan}</planView>"
        f"<elevationProfile>{_records('elevation', item.elevation)}</elevationProfile>"
        f"<lateralProfile>{_records('superelevation', item.superelevation)}</lateralProfile>"
        f"<lanes>{_records('laneOffset', item.offset)}{''.join(_sections(item))}</lanes>"
        f"<objects/><signals>{item.signals}</signals></road>"
    )


def _records(name: str, records: Sequence[Record]) -> str:
    return "".join(f'<{name} s="{s!r}" a="{a!r}" b="{b!r}" c="{c!r}" d="{d!r}"/>' for s, a, b, c, d in records)


def _sections(item: Road) -> list[str]:
    texts = []
    for number, section in enumerate(item.sections):
        first, last = number == 0, number == len(item.sections) - 1
        before = item.before if first else {lane: lane for lane in item.sections[number - 1].ids()}
        after = item.after if last else {lane: lane for lane in item.sections[number + 1].ids()}
        left = [_lane(i + 1, section.left[i], before, after) for i in reversed(range(len(section.left)))]
        right = [_lane(-i - 1, section.right[i], before, after) for i in range(len(section.right))]
        middle = '<lane id="0" type="none" level="false"><roadMark sOffset="0" type="broken" color="yellow"/></lane>'
        texts.append(
            f'<laneSection s="{section.s!r}">'
            + (f"<left>{''.join(left)}</left>" if left else "")
            + f"<center>{middle}</center>"
            + (f"<right>{''.join(right)}</right>" if right else "")
            + "</laneSection>"
        )
    return texts


def _lane(lane_id: int, spec: LaneSpec, before: dict[int, int], after: dict[int, int]) -> str:
    links = spec.links or (before.get(lane_id), after.get(lane_id))
    link = "".join(
        f'<{name} id="{value}"/>'
        for name, value in zip(("predecessor", "successor"), links, strict=True)
        if value is not None
    )
    a, b, c, d = spec.width if isinstance(spec.width, tuple) else (spec.width, 0.0, 0.0, 0.0)
    return (
        f'<lane id="{lane_id}" type="{spec.type}" level="false"><link>{link}</link>'
        f'<width sOffset="0" a="{a!r}" b="{b!r}" c="{c!r}" d="{d!r}"/>'
        f'<roadMark sOffset="0" type="{spec.mark}" weight="standard" color="white" width="0.12"/></lane>'
    )


def _junction(item: Junction) -> str:
    connections = "".join(
        f'<connection id="{number}" incomingRoad="{incoming}" connectingRoad="{connecting}" contactPoint="start">'
        + "".join(f'<laneLink from="{a}" to="{b}"/>' for a, b in links)
        + "</connection>"
        for number, (incoming, connecting, links) in enumerate(item.connections)
    )
    return f'<junction id="{item.id}" name="">{connections}</junction>'


# --- Maps that tests name ---


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


def bridge_roads(height: float = 6.0, crossing: Place = Place(), first_id: int = 1) -> list[Road]:
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


# --- Maps that hypothesis draws ---


@dataclass(frozen=True)
class Drawn:
    """A text, and what it was made of."""

    text: str
    roads: tuple[Road, ...]
    junctions: tuple[Junction, ...] = ()

    @property
    def left_hand(self) -> bool:
        return self.roads[0].left_hand

    def __repr__(self) -> str:
        return f"Drawn({self.text!r})"


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda value: round(value, 3))


@st.composite
def pieces(draw: st.DrawFn, most: int = 3) -> tuple[Piece, ...]:
    """A reference line that does not run into itself: lines, and arcs and spirals of 60 degrees at most together."""
    kinds = draw(st.lists(st.sampled_from(("line", "arc", "spiral")), min_size=1, max_size=most))
    found = []
    for kind in kinds:
        length = draw(_numbers(25.0, 90.0))
        turn = draw(st.sampled_from((-1.0, 1.0))) * draw(_numbers(0.05, 0.35))
        if kind == "line":
            found.append(line(length))
        elif kind == "arc":
            found.append(arc(length, turn / length))
        else:
            found.append(spiral(length, 0.0, 2.0 * turn / length))
    return tuple(found)


@st.composite
def elevations(draw: st.DrawFn, length: float, height: float | None = None) -> tuple[Record, ...]:
    """A profile without steps or kinks that starts level at `height`, or at one that is drawn; grades under 12 %."""
    z = draw(_numbers(-20.0, 60.0)) if height is None else height
    records: list[Record] = []
    s, grade = 0.0, 0.0
    for _ in range(draw(st.integers(1, 3))):
        run = max(length / 3.0, 1.0)
        target = draw(_numbers(-0.12, 0.12))
        c = 0.5 * (target - grade) / run
        records.append((s, z, grade, c, 0.0))
        z, s, grade = z + grade * run + c * run * run, s + run, target
    return (*records, (s, z, grade, 0.0, 0.0)) if s < length else tuple(records)


def tilts(length: float) -> st.SearchStrategy[tuple[Record, ...]]:
    """A superelevation that grows from 0 to at most 5 degrees."""
    return _numbers(-0.08, 0.08).map(lambda roll: ((0.0, 0.0, roll / length, 0.0, 0.0),))


@st.composite
def sides(draw: st.DrawFn, length: float, driving: int) -> tuple[LaneSpec, ...]:
    """`driving` lanes, perhaps with a shoulder and a pavement outside; the outermost one may change its width."""
    lanes = [LaneSpec("driving", draw(_numbers(2.8, 4.0)), draw(st.sampled_from(("solid", "broken", "none"))))
             for _ in range(driving)]  # fmt: skip
    if lanes and draw(st.booleans()):
        width = float(lanes[-1].width)
        lanes[-1] = replace(lanes[-1], width=(width, draw(_numbers(-0.5, 0.5)) / length, 0.0, 0.0))
    if draw(st.booleans()):
        lanes.append(LaneSpec("shoulder", 0.5, "none"))
    if draw(st.booleans()):
        lanes.append(LaneSpec("sidewalk", 2.0, "none"))
    return tuple(lanes)


@st.composite
def plain_roads(draw: st.DrawFn, road_id: int = 1, left_hand: bool | None = None, level: bool | None = None) -> Road:
    """One road with everything that a road can have, joined to nothing."""
    line_of = draw(pieces())
    length = sum(piece.length for piece in line_of)
    sections = []
    starts = [0.0] + ([round(length * share, 2) for share in draw(st.sampled_from(((), (0.5,), (0.3, 0.7))))])
    for start in starts:
        right, left = draw(st.sampled_from(((1, 1), (1, 0), (0, 1), (2, 1), (2, 2), (1, 2))))
        sections.append(Section(start, draw(sides(length, left)), draw(sides(length, right))))
    is_level = draw(st.booleans()) if level is None else level
    return Road(
        road_id, Place(draw(_numbers(-300.0, 300.0)), draw(_numbers(-300.0, 300.0)), draw(_numbers(-3.0, 3.0))),
        line_of, tuple(sections),
        elevation=() if is_level else draw(elevations(length)),
        superelevation=() if is_level or draw(st.booleans()) else draw(tilts(length)),
        offset=() if draw(st.booleans()) else ((0.0, draw(_numbers(-2.0, 2.0)), 0.0, 0.0, 0.0),),
        left_hand=draw(st.booleans()) if left_hand is None else left_hand,
    )  # fmt: skip


@st.composite
def streets(draw: st.DrawFn) -> Drawn:
    """One road, a dead end at both of its ends."""
    only = draw(plain_roads())
    return Drawn(opendrive([only]), (only,))


@st.composite
def chains(draw: st.DrawFn) -> Drawn:
    """Two or three roads of the same lanes, joined end to end; each may be laid the other way round."""
    left_hand = draw(st.booleans())
    first = draw(plain_roads(1, left_hand, level=True))
    section = Section(0.0, (LaneSpec(), *LANES[1:]), (LaneSpec(), *LANES[1:]))
    roads = [replace(first, sections=(section,), offset=())]
    roads += [
        Road(number, Place(), draw(pieces(2)), (section,), left_hand=left_hand)
        for number in range(2, 2 + draw(st.integers(1, 2)))
    ]
    joined = chain(roads, draw(st.lists(st.integers(1, 2), unique=True)))
    return Drawn(opendrive(joined), tuple(joined))


@st.composite
def crossings(draw: st.DrawFn) -> Drawn:
    """A junction of three to five arms, laid towards it or away from it, on level land or a slope."""
    left_hand = draw(st.booleans())
    count = draw(st.integers(3, 5))
    grade = draw(st.sampled_from((0.0, 0.0, 0.06, -0.04)))
    turned = draw(_numbers(-3.0, 3.0))
    arms = []
    for number in range(count):
        lanes = tuple(LaneSpec(mark="broken") for _ in range(draw(st.integers(1, 2)))) + LANES[1:]
        length = draw(_numbers(40.0, 90.0))
        inner = Place(0.0, 0.0, turned + math.tau * number / count).moved(22.0)
        end = draw(st.sampled_from(("start", "end")))
        start = inner if end == "start" else inner.moved(length).back()
        rise = grade if end == "start" else -grade
        up = ((0.0, 0.0 if end == "start" else grade * length, rise, 0.0, 0.0),) if grade else ()
        section = Section(0.0, lanes, lanes)
        arms.append((Road(number + 1, start, (line(length),), (section,), up, left_hand=left_hand), end))
    roads, crossing = junction(10, arms, 100, lights=draw(st.booleans()))
    return Drawn(opendrive(roads, [crossing]), tuple(roads), (crossing,))


def maps() -> st.SearchStrategy[Drawn]:
    """Any of them."""
    return st.one_of(streets(), chains(), crossings())
