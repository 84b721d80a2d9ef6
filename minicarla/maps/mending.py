"""What OpenDRIVE allows and the client's `carla.Map` 0.9.16 cannot read or misreads, written so that it can.

The clients get the mended text, for they parse it with the same code. A text that needs nothing stays as it is, byte by
byte. Found by trying each on the wheel:

| in the file | what the wheel does | what it becomes |
| --- | --- | --- |
| element names with a namespace's prefix | finds no roads | names without it |
| other elements before a geometry's shape | takes them for the shape, ends the process | the shape alone |
| a spiral of constant curvature | places that are not numbers | an arc, or a line |
| an arc of curvature 0 | places that are not numbers | a line |
| an arc as good as straight | off by metres: float32 of a huge radius | a line |
| elevation or superelevation that begins beyond s = 0 | "failed to find road elevation" | its first height from 0 on |
| laneOffset that begins beyond s = 0 | ends the process | 0 up to there |
| a lane's width that begins beyond its section's start | "info != nullptr" | its first width from there on |
| lanes with borders and no widths | lanes of no width | their widths |
| a lane section without a centre lane | "map::at" | with one |
| several lane sections at one s | "info != nullptr" | the last of them |
| a lane section at the road's end or beyond | "s <= road->GetLength()" | none |
| ids of roads and junctions that are names, or beyond 2^31 | one road, 0, for all of them | numbers |
| a junction with the id of a road | takes one for the other in links | another id |

`rule="LHT"` needs no mending: the wheel drives on the left there.
"""

import itertools
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

SHAPES = ("line", "arc", "spiral", "poly3", "paramPoly3")
_SAME_S_M = 1e-9
_STRAIGHT_RAD = 3e-4  # turned by less, a line is nearer to the truth than an arc in float32
_STRAIGHT_CURVATURE = 1e-5  # 1/m; the arcs of ordinary files stay as they are
_CONSTANT_RAD = 1e-6  # what a spiral may turn more than the arc of its mean curvature and be one
_ID_LIMIT = 1 << 31
_LINKS = [f"road/link/{way}[@elementType='{{}}']" for way in ("predecessor", "successor")]
_MENTIONS = {  # of roads and of junctions: where their ids stand
    "road": [
        ("road", "id"),
        *((link.format("road"), "elementId") for link in _LINKS),
        ("junction/connection", "incomingRoad"),
        ("junction/connection", "connectingRoad"),
    ],
    "junction": [
        ("junction", "id"),
        ("road", "junction"),
        *((link.format("junction"), "elementId") for link in _LINKS),
    ],
}
_COEFFICIENTS = ("a", "b", "c", "d")


def mend(root: ET.Element) -> bool:
    """Mends a map in place; whether there was anything to mend. Its numbers must be numbers (`loader`)."""
    changes = [_without_namespaces(root), _with_numbered_ids(root)]
    for road in root.iterfind("road"):
        length = _number(road, "length")
        changes += [_with_plain_shape(geometry) for geometry in road.iterfind("planView/geometry")]
        for profile, record in (("elevationProfile", "elevation"), ("lateralProfile", "superelevation")):
            parent = road.find(profile)
            if parent is not None:
                changes.append(_from_the_start(parent, record, "s", extend=True))
        lanes = road.find("lanes")
        if lanes is not None:
            changes.append(_from_the_start(lanes, "laneOffset", "s", extend=False))
            changes.append(_distinct_sections(lanes, length))
            changes += [_with_centre_lane(section) for section in lanes.iterfind("laneSection")]
            for section in lanes.iterfind("laneSection"):
                changes += [_with_widths(section.findall(f"{side}/lane")) for side in ("left", "right")]
                for lane in section.iterfind("*/lane"):
                    changes.append(_from_the_start(lane, "width", "sOffset", extend=True))
    return any(changes)


def _number(element: ET.Element, key: str) -> float:
    return float(element.get(key, "0"))


def _without_namespaces(root: ET.Element) -> bool:
    found = False
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.startswith("{"):
            element.tag = element.tag.rpartition("}")[2]
            found = True
    return found


def _with_numbered_ids(root: ET.Element) -> bool:
    """Roads and junctions with ids that are numbers and differ, where they are defined and where they are mentioned."""
    ids = {kind: [element.get("id", "") for element in root.iterfind(kind)] for kind in _MENTIONS}
    taken = {int(text) for texts in ids.values() for text in texts if _is_plain_id(text)}
    free = (number for number in itertools.count(1) if number not in taken)
    roads = {int(text) for text in ids["road"] if _is_plain_id(text)}
    changed = False
    for kind, mentions in _MENTIONS.items():
        unfit = [
            text
            for text in dict.fromkeys(ids[kind])
            if not _is_plain_id(text) or (kind == "junction" and int(text) in roads)
        ]
        numbers = {text: str(next(free)) for text in unfit}
        changed = changed or bool(numbers)
        for path, key in mentions if numbers else ():
            for element in root.iterfind(path):
                if element.get(key) in numbers:
                    element.set(key, numbers[element.get(key, "")])
    return changed


def _is_plain_id(text: str) -> bool:
    return text.strip().isdecimal() and int(text) < _ID_LIMIT


def _with_plain_shape(geometry: ET.Element) -> bool:
    shape = next((child for child in geometry if child.tag in SHAPES), None)
    if shape is None:
        return False
    changed = geometry[0] is not shape
    if changed:
        geometry[:] = [shape]
    length = _number(geometry, "length")
    start = end = 0.0
    if shape.tag == "arc":
        start = end = _number(shape, "curvature")
    elif shape.tag == "spiral":
        start, end = _number(shape, "curvStart"), _number(shape, "curvEnd")
        if abs(end - start) * length > _CONSTANT_RAD:
            return changed
    else:
        return changed
    curvature = 0.5 * (start + end)
    if curvature == 0.0 or (abs(curvature) < _STRAIGHT_CURVATURE and abs(curvature) * length < _STRAIGHT_RAD):
        geometry[:] = [ET.Element("line")]
        return True
    if shape.tag == "spiral":
        geometry[:] = [ET.Element("arc", curvature=repr(curvature))]
        return True
    return changed


def _from_the_start(parent: ET.Element, tag: str, key: str, *, extend: bool) -> bool:
    """A record at 0 before the first one: with its value there, or with 0."""
    records = parent.findall(tag)
    if not records:
        return False
    first = min(records, key=lambda record: _number(record, key))
    if _number(first, key) <= 0.0:
        return False
    value = first.get("a", "0") if extend else "0"
    parent.insert(list(parent).index(records[0]), ET.Element(tag, {key: "0", "a": value, "b": "0", "c": "0", "d": "0"}))
    return True


def _distinct_sections(lanes: ET.Element, length: float) -> bool:
    """Takes out sections that have no length, and links those around them past them."""
    sections = sorted(lanes.findall("laneSection"), key=lambda section: _number(section, "s"))
    starts = [_number(section, "s") for section in sections]
    ends = [*starts[1:], length]
    empty = [end - start <= _SAME_S_M for start, end in zip(starts, ends, strict=True)]
    if not any(empty) or all(empty):
        return False
    for number, section in enumerate(sections):
        if not empty[number]:
            continue
        for other, link in ((number - 1, "successor"), (number + 1, "predecessor")):
            if 0 <= other < len(sections):
                _link_past(sections[other], section, link)
        lanes.remove(section)
    return True


def _link_past(section: ET.Element, gone: ET.Element, link: str) -> None:
    onward = {lane.get("id"): lane.find(f"link/{link}") for lane in gone.iterfind("*/lane")}
    for lane in section.iterfind("*/lane"):
        joint = lane.find("link")
        target = None if joint is None else joint.find(link)
        if joint is None or target is None:
            continue
        beyond = onward.get(target.get("id"))
        if beyond is None:
            joint.remove(target)
        else:
            target.set("id", beyond.get("id", "0"))


def _with_centre_lane(section: ET.Element) -> bool:
    if section.find("center/lane") is not None:
        return False
    centre = section.find("center")
    if centre is None:
        centre = ET.Element("center")
        section.insert(0 if section.find("left") is None else 1, centre)
    centre.append(ET.Element("lane", id="0", type="none", level="false"))
    return True


def _with_widths(lanes: Iterable[ET.Element]) -> bool:
    """Widths for the lanes of one side that have borders only.

    A border is where a lane ends outwards, as t from lane 0: negative on the right, but not every file knows that.
    """
    changed = False
    inner: Sequence[ET.Element] = ()
    for lane in sorted(lanes, key=lambda lane: abs(int(lane.get("id", "0")))):
        outer = lane.findall("border")
        if outer and lane.find("width") is None:
            for start in sorted({_number(record, "sOffset") for record in (*inner, *outer)}):
                away, near = _shifted(outer, start), _shifted(inner, start)
                sign = -1.0 if away[0] < 0.0 else 1.0
                width = [sign * (far - close) for far, close in zip(away, near, strict=True)]
                texts = dict(zip(_COEFFICIENTS, map(repr, width), strict=True))
                lane.append(ET.Element("width", {"sOffset": repr(start), **texts}))
            changed = True
        inner = outer
    return changed


def _shifted(records: Iterable[ET.Element], start: float) -> list[float]:
    """The coefficients, for ways counted from `start`, of the record that holds there; zeros if none does."""
    ordered = sorted(records, key=lambda record: _number(record, "sOffset"))
    holding = list(itertools.takewhile(lambda record: _number(record, "sOffset") <= start, ordered)) or ordered[:1]
    if not holding:
        return [0.0] * 4
    a, b, c, d = (_number(holding[-1], key) for key in _COEFFICIENTS)
    h = start - _number(holding[-1], "sOffset")
    return [a + h * (b + h * (c + h * d)), b + h * (2 * c + 3 * h * d), c + 3 * h * d, d]
