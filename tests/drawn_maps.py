"""OpenDRIVE maps that hypothesis draws, with what they were made of.

`streets()` are one road: sections, widths, offsets, either rule of the road, elevation, superelevation, dead ends;
`chains()` roads joined end to end, either way round; `crossings()` junctions of three to five arms. `maps()` is one of
all.
"""

import math
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from opendrive_text import (
    LANES,
    Junction,
    LaneSpec,
    Piece,
    Place,
    Record,
    Road,
    Section,
    arc,
    chain,
    junction,
    line,
    opendrive,
    spiral,
)


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
