"""Road networks as plain data, and the OpenDRIVE 1.4 text that they become.

OpenDRIVE's own frame throughout: x east, y north, metres, radians counter-clockwise. Right-hand traffic.

Format: ASAM OpenDRIVE 1.4H. The XML is written directly, without `scenariogeneration`: the import of that alone (scipy)
takes longer than everything else that a starting server does.
"""

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

GEO_REFERENCE = (
    "+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +geoidgrids=egm96_15.gtx +vunits=m +no_defs"
)
TRAFFIC_LIGHT_TYPE = "1000001"
# All that CARLA makes traffic lights of (LibCarla's SignalType.cpp).
TRAFFIC_LIGHT_TYPES = frozenset(
    {*(str(number) for number in (1000001, 1000002, *range(1000007, 1000021))), "F", "W", "A"}
)
SPEED_LIMIT_TYPE = "274"


@dataclass(frozen=True, slots=True)
class Point:
    """A directed point of a reference line: m, m, rad."""

    x: float
    y: float
    heading: float

    def forward(self, distance: float) -> "Point":
        return Point(
            self.x + distance * math.cos(self.heading), self.y + distance * math.sin(self.heading), self.heading
        )

    def right(self, distance: float) -> "Point":
        return Point(
            self.x + distance * math.sin(self.heading), self.y - distance * math.cos(self.heading), self.heading
        )

    def reversed(self) -> "Point":
        return Point(self.x, self.y, self.heading + math.pi)


@dataclass(frozen=True, slots=True)
class Segment:
    """A line (curvature 0) or an arc of a reference line: length in m, curvature in 1/m, left positive."""

    length: float
    curvature: float = 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """What a road's end is joined to: a junction, or the `contact` end ("start" or "end") of another road."""

    kind: str
    id: int
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane of constant width (m) and what it continues in at either end of its road (None: nothing)."""

    id: int
    type: str
    width: float
    predecessor: int | None = None
    successor: int | None = None
    mark: str = "none"


@dataclass(frozen=True, slots=True)
class Signal:
    """A sign or light beside a road; `lane` (1 or -1) is the driving lane it speaks to."""

    id: int
    name: str
    type: str
    subtype: str
    value: int
    unit: str
    dynamic: bool
    s: float
    t: float
    lane: int


@dataclass(frozen=True, slots=True)
class SignalReference:
    """A signal of another road that governs lane -1 of this one, from its start on."""

    signal_id: int


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """A place to cross a road, square to it: centred at `s` (m), `width` m along the road, `length` m across it.

    It may reach beyond the road's end, into the junction there, so `s` may be negative or more than the road's length.
    """

    id: int
    s: float
    width: float
    length: float


@dataclass(frozen=True, slots=True)
class Road:
    """A finished road: everything its `<road>` element says."""

    id: int
    start: Point
    segments: tuple[Segment, ...]
    lanes: tuple[Lane, ...]
    predecessor: Link
    successor: Link
    junction: int = -1
    centre_mark: str = "none"
    signals: tuple[Signal, ...] = ()
    references: tuple[SignalReference, ...] = ()
    crosswalks: tuple[Crosswalk, ...] = ()

    @property
    def length(self) -> float:
        return sum(segment.length for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Connection:
    """The way through a junction from `incoming` along `connecting`; lane links are (from, to) pairs."""

    incoming: int
    connecting: int
    lane_links: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Controller:
    """Signals that change together; `sequence` is their turn within the junction."""

    id: int
    sequence: int
    signal_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    id: int
    connections: tuple[Connection, ...]
    controllers: tuple[Controller, ...]


@dataclass(frozen=True, slots=True)
class RoadNetwork:
    name: str
    roads: tuple[Road, ...]
    junctions: tuple[Junction, ...]


def advance(start: Point, segment: Segment) -> Point:
    """The end of `segment` when it begins at `start`."""
    if segment.curvature == 0.0:
        return start.forward(segment.length)
    heading = start.heading + segment.curvature * segment.length
    return Point(
        start.x + (math.sin(heading) - math.sin(start.heading)) / segment.curvature,
        start.y - (math.cos(heading) - math.cos(start.heading)) / segment.curvature,
        heading,
    )


def end_of(start: Point, segments: tuple[Segment, ...]) -> Point:
    for segment in segments:
        start = advance(start, segment)
    return start


def turn_between(first: float, second: float) -> float:
    """The angle from heading `first` to heading `second`, in (-pi, pi], left positive."""
    return math.pi - (first - second + math.pi) % (2.0 * math.pi)


def fillet(start: Point, end: Point, radius: float) -> tuple[Segment, ...]:
    """Line, arc, line from `start` to `end`; the arc has `radius`, or less where the lines are too short for it.

    Raises:
      ValueError: the two headings do not meet ahead of `start` and behind `end`.
    """
    turn = turn_between(start.heading, end.heading)
    dx, dy = end.x - start.x, end.y - start.y
    if abs(turn) < 0.01:
        return (Segment(math.hypot(dx, dy)),)
    sine = math.sin(turn)
    before = (dx * math.sin(end.heading) - dy * math.cos(end.heading)) / sine
    after = (dy * math.cos(start.heading) - dx * math.sin(start.heading)) / sine
    if min(before, after) <= 0.0:
        raise ValueError(f"no curve leads from {start} to {end}: move the road ends apart")
    tangent = min(radius * math.tan(abs(turn) / 2.0), before, after)
    curvature = math.copysign(math.tan(abs(turn) / 2.0) / tangent, turn)
    segments = (Segment(before - tangent), Segment(turn / curvature, curvature), Segment(after - tangent))
    return tuple(segment for segment in segments if segment.length > 1e-6)


def to_xml(network: RoadNetwork) -> str:
    """The OpenDRIVE document. Equal networks give equal text, to the byte."""
    root = ET.Element("OpenDRIVE")
    header = ET.SubElement(
        root, "header", revMajor="1", revMinor="4", name=network.name, version="1", vendor="avtd3-jax"
    )
    ET.SubElement(header, "geoReference").text = GEO_REFERENCE
    for road in network.roads:
        _write_road(root, road)
    for junction in network.junctions:
        for controller in junction.controllers:
            element = ET.SubElement(
                root,
                "controller",
                name=f"ctrl{controller.id}",
                id=str(controller.id),
                sequence=str(controller.sequence),
            )
            for signal_id in controller.signal_ids:
                ET.SubElement(element, "control", signalId=str(signal_id), type="")
    for junction in network.junctions:
        _write_junction(root, junction)
    ET.indent(root, space=" ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _number(value: float) -> str:
    # Nine decimals: nanometres, far below any tolerance, and the same text on every platform.
    return f"{value + 0.0:.9f}"


def _write_road(root: ET.Element, road: Road) -> None:
    element = ET.SubElement(
        root, "road", name=f"Road {road.id}", length=_number(road.length), id=str(road.id), junction=str(road.junction)
    )
    links = ET.SubElement(element, "link")
    for tag, link in (("predecessor", road.predecessor), ("successor", road.successor)):
        attributes = {"elementType": link.kind, "elementId": str(link.id)}
        if link.contact:
            attributes["contactPoint"] = link.contact
        ET.SubElement(links, tag, attributes)
    ET.SubElement(element, "type", s="0", type="town")
    plan = ET.SubElement(element, "planView")
    s, point = 0.0, road.start
    for segment in road.segments:
        geometry = ET.SubElement(
            plan, "geometry", s=_number(s), x=_number(point.x), y=_number(point.y), hdg=_number(point.heading),
            length=_number(segment.length),
        )  # fmt: skip
        if segment.curvature == 0.0:
            ET.SubElement(geometry, "line")
        else:
            ET.SubElement(geometry, "arc", curvature=f"{segment.curvature:.12f}")
        s, point = s + segment.length, advance(point, segment)
    for profile, entry in (("elevationProfile", "elevation"), ("lateralProfile", "superelevation")):
        ET.SubElement(ET.SubElement(element, profile), entry, s="0", a="0", b="0", c="0", d="0")
    _write_lanes(element, road)
    if road.crosswalks:
        _write_crosswalks(element, road)
    if road.signals or road.references:
        _write_signals(element, road)


def _write_lanes(parent: ET.Element, road: Road) -> None:
    lanes = ET.SubElement(parent, "lanes")
    ET.SubElement(lanes, "laneOffset", s="0", a="0", b="0", c="0", d="0")
    section = ET.SubElement(lanes, "laneSection", s="0")
    centre = Lane(0, "none", 0.0, mark=road.centre_mark)
    left = sorted((lane for lane in road.lanes if lane.id > 0), key=lambda lane: -lane.id)
    right = sorted((lane for lane in road.lanes if lane.id < 0), key=lambda lane: -lane.id)
    for side, members in (("left", left), ("center", [centre]), ("right", right)):
        if members:
            parent = ET.SubElement(section, side)
            for lane in members:
                _write_lane(parent, lane)


def _write_lane(parent: ET.Element, lane: Lane) -> None:
    element = ET.SubElement(parent, "lane", id=str(lane.id), type=lane.type, level="false")
    if lane.id != 0:
        link = ET.SubElement(element, "link")
        for tag, neighbour in (("predecessor", lane.predecessor), ("successor", lane.successor)):
            if neighbour is not None:
                ET.SubElement(link, tag, id=str(neighbour))
        ET.SubElement(element, "width", sOffset="0", a=_number(lane.width), b="0", c="0", d="0")
    ET.SubElement(
        element, "roadMark", sOffset="0", type=lane.mark, material="standard", laneChange="none", width="0.125",
        color="yellow" if lane.id == 0 else "white",
    )  # fmt: skip


def _write_crosswalks(parent: ET.Element, road: Road) -> None:
    element = ET.SubElement(parent, "objects")
    for crosswalk in road.crosswalks:
        # CARLA takes u for the way that people walk, and adds a metre at either end of it (Map::GetAllCrosswalkZones).
        s = min(max(crosswalk.s, 0.0), road.length)
        u, v, ahead = 0.5 * crosswalk.length, 0.5 * crosswalk.width, crosswalk.s - s
        written = ET.SubElement(
            element, "object", id=str(crosswalk.id), name="Crosswalk", type="crosswalk", s=_number(s), t="0",
            zOffset="0", hdg=_number(-0.5 * math.pi), pitch="0", roll="0", orientation="none",
            length=_number(crosswalk.width), width=_number(crosswalk.length),
        )  # fmt: skip
        outline = ET.SubElement(written, "outline")
        for corner_u, corner_v in ((-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)):
            ET.SubElement(outline, "cornerLocal", u=_number(corner_u), v=_number(corner_v + ahead), z="0", height="0")


def _write_signals(parent: ET.Element, road: Road) -> None:
    element = ET.SubElement(parent, "signals")
    for signal in road.signals:
        # CARLA takes "+" for the left lanes (MapBuilder::GenerateDefaultValiditiesForSignalReferences), unlike ASAM.
        written = ET.SubElement(
            element, "signal", name=signal.name, id=str(signal.id), s=_number(signal.s), t=_number(signal.t),
            zOffset="0", hOffset=_number(math.pi if signal.lane > 0 else 0.0), pitch="0", roll="0",
            orientation="+" if signal.lane > 0 else "-", dynamic="yes" if signal.dynamic else "no", country="OpenDRIVE",
            type=signal.type, subtype=signal.subtype, value=str(signal.value), unit=signal.unit, text="",
            height="1.0", width="0.5",
        )  # fmt: skip
        ET.SubElement(written, "validity", fromLane=str(signal.lane), toLane=str(signal.lane))
    for reference in road.references:
        written = ET.SubElement(element, "signalReference", id=str(reference.signal_id), s="0", t="0", orientation="-")
        ET.SubElement(written, "validity", fromLane="-1", toLane="-1")


def _write_junction(root: ET.Element, junction: Junction) -> None:
    element = ET.SubElement(root, "junction", id=str(junction.id), name=f"junction{junction.id}")
    for number, connection in enumerate(junction.connections):
        written = ET.SubElement(
            element, "connection", id=str(number), incomingRoad=str(connection.incoming),
            connectingRoad=str(connection.connecting), contactPoint="start",
        )  # fmt: skip
        for lane_from, lane_to in connection.lane_links:
            ET.SubElement(written, "laneLink", {"from": str(lane_from), "to": str(lane_to)})
    for controller in junction.controllers:
        ET.SubElement(element, "controller", id=str(controller.id), type="0", sequence=str(controller.sequence))
