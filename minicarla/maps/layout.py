"""From a plan (centre lines, and which ends meet) to a finished road network.

Every road has one driving lane, one shoulder and one sidewalk each way; a one-way road has them on its right side only.
Where road ends meet in a junction, each is joined to every other by a driving lane of its own, the kerbs are closed by
shoulder and sidewalk, and each end of a street gets a traffic light, where the junction has any, and beyond its stop
line a crossing, which is not painted.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from minicarla.maps.opendrive import (
    SPEED_LIMIT_TYPE,
    TRAFFIC_LIGHT_TYPE,
    Connection,
    Controller,
    Crosswalk,
    Junction,
    Lane,
    Link,
    Point,
    Road,
    RoadNetwork,
    Segment,
    Signal,
    SignalReference,
    end_of,
    fillet,
    turn_between,
)

LANE_TYPES = ("driving", "shoulder", "sidewalk")  # from the centre line out
LANE_WIDTHS = (4.0, 0.3, 4.0)  # m
LANE_MARKS = ("solid", "curb", "none")  # each lane's outer edge
LIGHT_SETBACK = 0.5  # m before the road's end, where the stop line is
POLE_DISTANCE = 0.4  # m beyond the shoulder
CROSSING_SETBACK = 0.4  # m beyond the road's end
CROSSING_WIDTH = 2.5  # m, about what there is before the kerb turns away
MIN_KERB_RADIUS = 4.3  # m, so that the sidewalk's inner edge does not fold over
STRAIGHT = math.radians(30.0)


@dataclass(frozen=True, slots=True)
class RoadPlan:
    """A centre line and what its two ends are joined to: "J26" a junction, "R11" a road."""

    id: int
    start: Point
    segments: tuple[Segment, ...]
    predecessor: str
    successor: str
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class JunctionPlan:
    """A junction and the radius (m) of the centre line's arc in its turns."""

    id: int
    turn_radius: float
    has_lights: bool = True


@dataclass(frozen=True, slots=True)
class SpeedSign:
    """A speed limit in km/h on road `road` at `s` (m), for the traffic of driving lane `lane` (1 or -1)."""

    road: int
    s: float
    lane: int
    limit_kmh: int


@dataclass(frozen=True, slots=True)
class Arm:
    """A road's end in a junction, seen by the traffic that drives in: `point` is on the centre line, heading in."""

    road: int
    contact: str
    point: Point
    one_way: bool = False

    @property
    def leads_in(self) -> bool:
        """Whether traffic comes from this road into the junction."""
        return not self.one_way or self.contact == "end"

    @property
    def leads_out(self) -> bool:
        """Whether traffic leaves the junction by this road."""
        return not self.one_way or self.contact == "start"

    def lane_in(self, index: int) -> int:
        """OpenDRIVE id of the `index`-th lane (1 innermost) of the traffic into the junction."""
        return -index if self.contact == "end" else index

    def lane_out(self, index: int) -> int:
        return -self.lane_in(index)


def straight(road_id: int, start: tuple[float, float], end: tuple[float, float], joined: tuple[str, str]) -> RoadPlan:
    """A straight road between two points (m)."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    return RoadPlan(road_id, Point(*start, math.atan2(dy, dx)), (Segment(math.hypot(dx, dy)),), *joined)


def lay_out(
    name: str,
    roads: Sequence[RoadPlan],
    junctions: Sequence[JunctionPlan],
    speed_signs: Sequence[SpeedSign] = (),
    first_signal_id: int = 360,
) -> RoadNetwork:
    """Builds the network: connecting roads are numbered from their junction's id on.

    Raises:
      ValueError: a road is joined to something that is not there, or a turn has no room.
    """
    by_id = {plan.id: plan for plan in roads}
    arms = {plan.id: _arms(plan.id, roads) for plan in junctions}
    lit_arms = [arm for plan in junctions if plan.has_lights for arm in arms[plan.id]]
    light_ids = {(arm.road, arm.contact): first_signal_id + number for number, arm in enumerate(lit_arms)}
    sign_ids = range(first_signal_id + 2 * len(lit_arms), first_signal_id + 2 * len(lit_arms) + len(speed_signs))

    signals: dict[int, list[Signal]] = {plan.id: [] for plan in roads}
    for arm in lit_arms:
        signals[arm.road].append(_light(arm, light_ids[arm.road, arm.contact], by_id[arm.road]))
    for sign_id, sign in zip(sign_ids, speed_signs, strict=True):
        signals[sign.road].append(_speed_signal(sign_id, sign))

    crosswalks: dict[int, list[Crosswalk]] = {plan.id: [] for plan in roads}
    streets = [arm for plan in junctions for arm in arms[plan.id] if not arm.one_way]
    for number, arm in enumerate(streets, start=1):
        crosswalks[arm.road].append(_crosswalk(arm, number, by_id[arm.road]))

    finished = [
        replace(
            _through_road(plan, by_id, arms), signals=tuple(signals[plan.id]), crosswalks=tuple(crosswalks[plan.id])
        )
        for plan in roads
    ]
    finished_junctions = []
    first_controller_id = first_signal_id + len(lit_arms)
    for plan in junctions:
        connecting = _connecting_roads(plan, arms[plan.id], light_ids)
        finished += connecting
        controllers = tuple(
            Controller(first_controller_id + light_ids[key] - first_signal_id, turn, (light_ids[key],))
            for turn, key in enumerate((arm.road, arm.contact) for arm in arms[plan.id] if plan.has_lights)
        )
        connections = tuple(_connection(road) for road in connecting)
        finished_junctions.append(Junction(plan.id, connections, controllers))
    return RoadNetwork(name, tuple(finished), tuple(finished_junctions))


def _arms(junction_id: int, roads: Iterable[RoadPlan]) -> list[Arm]:
    arms = []
    for plan in roads:
        if plan.predecessor == f"J{junction_id}":
            arms.append(Arm(plan.id, "start", plan.start.reversed(), plan.one_way))
        if plan.successor == f"J{junction_id}":
            arms.append(Arm(plan.id, "end", end_of(plan.start, plan.segments), plan.one_way))
    return arms


def _through_road(plan: RoadPlan, by_id: dict[int, RoadPlan], arms: dict[int, list[Arm]]) -> Road:
    predecessor = _link(plan, plan.predecessor, by_id, arms)
    successor = _link(plan, plan.successor, by_id, arms)
    lanes = []
    for side in (-1,) if plan.one_way else (1, -1):
        for index, (kind, width, mark) in enumerate(zip(LANE_TYPES, LANE_WIDTHS, LANE_MARKS, strict=True), start=1):
            lane = side * index
            # Reference lines that meet head to head (or tail to tail) run against each other: sides swap.
            before = {"": None, "end": lane, "start": -lane}[predecessor.contact]
            after = {"": None, "start": lane, "end": -lane}[successor.contact]
            lanes.append(Lane(lane, kind, width, before, after, mark))
    mark = "solid" if plan.one_way else "broken"
    return Road(plan.id, plan.start, plan.segments, tuple(lanes), predecessor, successor, centre_mark=mark)


def _link(plan: RoadPlan, target: str, by_id: dict[int, RoadPlan], arms: dict[int, list[Arm]]) -> Link:
    kind, number = target[0], int(target[1:])
    if kind == "J" and number in arms:
        return Link("junction", number)
    if kind == "R" and number in by_id:
        contact = "start" if by_id[number].predecessor == f"R{plan.id}" else "end"
        return Link("road", number, contact)
    raise ValueError(f"road {plan.id} is joined to {target}, which the plan lacks: add it or join the road to another")


def _light(arm: Arm, signal_id: int, plan: RoadPlan) -> Signal:
    length = sum(segment.length for segment in plan.segments)
    s = length - LIGHT_SETBACK if arm.contact == "end" else LIGHT_SETBACK
    lane = arm.lane_in(1)
    t = lane * (LANE_WIDTHS[0] + LANE_WIDTHS[1] + POLE_DISTANCE)
    return Signal(signal_id, "Signal_3Light_Post01", TRAFFIC_LIGHT_TYPE, "-1", -1, "", True, s, t, lane)


def _crosswalk(arm: Arm, number: int, plan: RoadPlan) -> Crosswalk:
    """In the junction, where cars that wait at the stop line leave it free."""
    beyond = CROSSING_SETBACK + 0.5 * CROSSING_WIDTH
    length = sum(segment.length for segment in plan.segments)
    s = length + beyond if arm.contact == "end" else -beyond
    return Crosswalk(number, s, CROSSING_WIDTH, 2.0 * (LANE_WIDTHS[0] + LANE_WIDTHS[1]))


def _speed_signal(sign_id: int, sign: SpeedSign) -> Signal:
    t = sign.lane * (LANE_WIDTHS[0] + LANE_WIDTHS[1] + POLE_DISTANCE)
    limit = sign.limit_kmh
    return Signal(sign_id, f"Speed_{limit}", SPEED_LIMIT_TYPE, str(limit), limit, "km/h", False, sign.s, t, sign.lane)


def _connecting_roads(plan: JunctionPlan, arms: Sequence[Arm], light_ids: dict[tuple[int, str], int]) -> list[Road]:
    roads: list[Road] = []
    for arm in (arm for arm in arms if arm.leads_in):
        others = [other for other in arms if other is not arm and other.leads_out]
        # Going round the kerb from this arm's right side, the next arm is the one of the sharpest right turn.
        kerb_arm = min(others, key=lambda other: _turn(arm, other))
        for other in others:
            closes_kerb = other is kerb_arm and abs(_turn(arm, other)) < STRAIGHT
            # The ring of a roundabout goes on along its circle.
            radius = math.inf if arm.one_way and other.one_way else plan.turn_radius
            path = fillet(arm.point, other.point.reversed(), radius)
            lanes = _lanes_between(arm, other, (1, 2, 3) if closes_kerb else (1,))
            road = _connecting_road(plan.id, arm, other, arm.point, path, lanes)
            # Both ways straight on share this line: it is painted once, and only where no third arm is crossed by it.
            mark = "broken" if closes_kerb else "none"
            references = (SignalReference(light_ids[arm.road, arm.contact]),) if plan.has_lights else ()
            roads.append(replace(road, references=references, centre_mark=mark))
        if abs(_turn(arm, kerb_arm)) >= STRAIGHT:
            start, end = arm.point.right(LANE_WIDTHS[0]), kerb_arm.point.reversed().right(LANE_WIDTHS[0])
            path = fillet(start, end, max(plan.turn_radius - LANE_WIDTHS[0], MIN_KERB_RADIUS))
            lanes = _lanes_between(arm, kerb_arm, (2, 3))
            roads.append(_connecting_road(plan.id, arm, kerb_arm, start, path, lanes))
    return [replace(road, id=plan.id + number) for number, road in enumerate(roads, start=1)]


def _turn(arm: Arm, other: Arm) -> float:
    return turn_between(arm.point.heading, other.point.heading + math.pi)


def _lanes_between(arm: Arm, other: Arm, indices: Sequence[int]) -> tuple[Lane, ...]:
    """The `indices`-th lanes (1 innermost) of the way from `arm` to `other`, numbered -1, -2, ... on their own road."""
    lanes = []
    for number, index in enumerate(indices, start=1):
        kind, width = LANE_TYPES[index - 1], LANE_WIDTHS[index - 1]
        mark = "curb" if kind == "shoulder" else "none"
        lanes.append(Lane(-number, kind, width, arm.lane_in(index), other.lane_out(index), mark))
    return tuple(lanes)


def _connecting_road(
    junction_id: int, arm: Arm, other: Arm, start: Point, path: tuple[Segment, ...], lanes: tuple[Lane, ...]
) -> Road:
    incoming, outgoing = Link("road", arm.road, arm.contact), Link("road", other.road, other.contact)
    # A straight path is a chord, whose heading may differ by a hair from the road's own.
    if len(path) == 1 and path[0].curvature == 0.0:
        end = other.point
        start = Point(start.x, start.y, math.atan2(end.y - start.y, end.x - start.x))
    return Road(-1, start, path, lanes, incoming, outgoing, junction=junction_id)


def _connection(road: Road) -> Connection:
    links = tuple((lane.predecessor, lane.id) for lane in road.lanes if lane.predecessor is not None)
    return Connection(road.predecessor.id, road.id, links)
