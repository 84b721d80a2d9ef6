"""Traffic signs of an OpenDRIVE map, as CARLA reads them: speed limits, stop and yield signs.

Read through the client library, which also makes signals of RoadRunner's objects `Speed_30`. Source: CARLA's
ATrafficLightManager::SpawnSignals.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import OrientedBox, SignSpec
from minicarla.maps.lane_spans import LaneSpan, pose_of
from minicarla.maps.opendrive import SPEED_LIMIT_TYPE
from minicarla.maps.surface import Surface
from minicarla.maps.triggers import LaneTriggers, Place

STOP_TYPE, YIELD_TYPE = "206", "205"
_TYPES = {SPEED_LIMIT_TYPE: "traffic.speed_limit", STOP_TYPE: "traffic.stop", YIELD_TYPE: "traffic.yield"}
_PAINTED = "Stencil_STOP"  # on the asphalt: no sign
_LIMIT_SHARE = 0.35  # half size of a speed limit's box, per lane width
_CROSSING_SHARE = 0.45  # half size of the boxes over crossing traffic, per lane width


def traffic_signs(root: ET.Element, carla_map: carla.Map, surface: Surface) -> tuple[SignSpec, ...]:
    """Every speed limit, stop and yield sign, ordered by id.

    A speed limit's number is its signal's value, in km/h whatever the unit says, as on CARLA.
    """
    mentions: dict[str, list[carla.Landmark]] = {}
    for kind in _TYPES:
        for landmark in carla_map.get_all_landmarks_of_type(kind):
            if landmark.name != _PAINTED:
                mentions.setdefault(landmark.id, []).append(landmark)
    if not mentions:
        return ()
    triggers = LaneTriggers(root, carla_map)
    signs = (_sign(triggers, mentions[name], surface) for name in sorted(mentions, key=lambda text: (len(text), text)))
    return tuple(sign for sign in signs if sign is not None)


def _sign(triggers: LaneTriggers, mentions: Sequence[carla.Landmark], surface: Surface) -> SignSpec | None:
    first = mentions[0]
    type_id, limit = _TYPES[first.type], None
    places = list(triggers.places(mentions))
    if first.type == SPEED_LIMIT_TYPE:
        limit = _limit(first)
        if limit is None:
            return None
        type_id = f"{type_id}.{limit:.0f}"
        boxes = _present(triggers.square_box(place, _LIMIT_SHARE) for place in places)
        crossing: tuple[OrientedBox, ...] = ()
    else:
        boxes = _present(triggers.stop_box(triggers.before_junction(place)) for place in places)
        crossing = _crossing(triggers, places)
    pose = pose_of(first.transform)
    # The foot of the pole: files give the height of the plate.
    z = boxes[0].z if boxes else pose.z
    if not surface.is_flat:
        z = surface.height(pose.x, pose.y, z)
    return SignSpec(first.id, type_id, replace(pose, z=z, pitch=0.0, roll=0.0), boxes, limit, crossing)


def _limit(landmark: carla.Landmark) -> float | None:
    limit = landmark.value
    return limit if math.isfinite(limit) and 0.0 < limit < 1000.0 else None


def _present(boxes: Iterable[OrientedBox | None]) -> tuple[OrientedBox, ...]:
    return tuple(dict.fromkeys(box for box in boxes if box is not None))  # many mentions of a signal mean one lane


def _crossing(triggers: LaneTriggers, places: Sequence[Place]) -> tuple[OrientedBox, ...]:
    """Boxes over the lanes of the junction that cross those of the sign and come from another road, and before them.

    CARLA compares the boxes of whole roads; here their lanes are compared.
    """
    boxes: dict[LaneSpan, tuple[OrientedBox, ...]] = {}
    for own, _ in places:
        if own.junction == -1:
            continue
        mine, sources = triggers.cover(own, _CROSSING_SHARE), _sources(triggers, own)
        for lane in triggers.lanes_of_junction(own.junction):
            if lane not in boxes and lane.road != own.road and not sources & _sources(triggers, lane):
                theirs = triggers.cover(lane, _CROSSING_SHARE)
                if any(_meet(box, other) for box in mine for other in theirs):
                    before = (triggers.square_box(place, _CROSSING_SHARE) for place in triggers.places_before(lane))
                    boxes[lane] = (*theirs, *_present(before))
    return tuple(box for group in boxes.values() for box in group)


def _sources(triggers: LaneTriggers, lane: LaneSpan) -> set[int]:
    return {before.road for before, _ in triggers.places_before(lane)}


def _meet(box: OrientedBox, other: OrientedBox) -> bool:
    return math.hypot(box.x - other.x, box.y - other.y) < box.ey + other.ey
