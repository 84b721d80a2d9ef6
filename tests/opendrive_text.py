"""The text of an OpenDRIVE map, for tests, written from a few plain values.

`opendrive(roads, junctions)` is the text of `Road`s and `Junction`s, which are plain data. `road(...)` makes one road
of `line`, `arc` and `spiral` pieces with `LANES` by default; `chain(...)` joins several end to end; `junction(...)`
joins the ends of roads by connecting roads, every one to every other, lane by lane.

OpenDRIVE's frame: x east, y north (CARLA's y is minus this y), metres, radians, left turns positive. A lane is a
`LaneSpec` (type, width in m or its cubic, mark); `Section.left` and `.right` run from the middle outwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

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
