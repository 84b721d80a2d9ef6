"""Traffic lights of an OpenDRIVE map, as CARLA reads them: signals, the lanes they hold up, who is green together."""

import math
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

import carla

from minicarla.geometry.types import FIRST_LONE_JUNCTION, LightSpec, OrientedBox
from minicarla.maps.lane_spans import is_left_hand, pose_of
from minicarla.maps.opendrive import TRAFFIC_LIGHT_TYPES
from minicarla.maps.surface import Surface
from minicarla.maps.triggers import LaneTriggers

STOP_GAP = 1.0  # m between the stop zone and the junction
STOP_ZONE = 10.0  # m; a car at 30 km/h brakes to a halt inside it
STOP_STEP = 1.0
ZONE_HEIGHT = 2.0


def traffic_lights(root: ET.Element, carla_map: carla.Map, surface: Surface) -> tuple[LightSpec, ...]:
    """Every light that a controller names, stands outside a junction or holds up a lane into one, ordered by id.

    A light's `group` is the place of its controller in the junction's list: CARLA turns one controller green at a time.
    Lights of a junction that no controller names each form a group of their own. A light outside junctions that no
    controller names has a junction of its own, numbered from `FIRST_LONE_JUNCTION` down.
    """
    mentions: dict[str, list[carla.Landmark]] = {}
    for kind in sorted(TRAFFIC_LIGHT_TYPES):
        for landmark in carla_map.get_all_landmarks_of_type(kind):
            mentions.setdefault(landmark.id, []).append(landmark)
    entries = _lanes_held(root, carla_map)
    grouped = _controlled_groups(root)
    alone = _outside_junctions(root)
    triggers = LaneTriggers(root, carla_map)
    lights = []
    loners: dict[int, int] = {}
    for sign_id in sorted(mentions, key=lambda text: (len(text), text)):
        junction_id, waypoints = entries.get(sign_id, (-1, []))
        boxes = tuple(box for box in map(_stop_box, waypoints) if box is not None)
        if not boxes:
            if sign_id not in grouped and sign_id not in alone:
                continue
            places = map(triggers.before_junction, triggers.places(mentions[sign_id]))
            boxes = tuple(dict.fromkeys(box for box in map(triggers.stop_box, places) if box is not None))
        if sign_id in grouped:
            junction_id, group = grouped[sign_id]
        elif junction_id != -1:
            group = loners[junction_id] = loners.get(junction_id, 999) + 1
        else:
            junction_id, group = FIRST_LONE_JUNCTION - loners.get(-1, 0), 0
            loners[-1] = loners.get(-1, 0) + 1
        pose = pose_of(mentions[sign_id][0].transform)
        # The foot of the pole: files give the height of the head, or of a buried socket.
        z = waypoints[0].transform.location.z if waypoints else boxes[0].z if boxes else pose.z
        if not surface.is_flat:
            z = surface.height(pose.x, pose.y, z)
        foot = replace(pose, z=z, pitch=0.0, roll=0.0)
        lights.append(LightSpec(sign_id, foot, junction_id, group, boxes))
    return tuple(lights)


def _outside_junctions(root: ET.Element) -> set[str]:
    """Ids of the signals that stand at a road outside junctions."""
    return {
        signal.get("id", "")
        for road in root.iterfind("road[@junction='-1']")
        for signal in road.iterfind("signals/signal")
    }


def _controlled_groups(root: ET.Element) -> dict[str, tuple[int, int]]:
    """Signal id -> (junction id, place of its controller in the junction)."""
    signals = {
        controller.get("id"): [control.get("signalId", "") for control in controller.iterfind("control")]
        for controller in root.iterfind("controller")
    }
    return {
        signal: (int(junction.get("id", "-1")), place)
        for junction in root.iterfind("junction")
        for place, controller in enumerate(junction.iterfind("controller"))
        for signal in signals.get(controller.get("id"), [])
    }


def _lanes_held(root: ET.Element, carla_map: carla.Map) -> dict[str, tuple[int, list[carla.Waypoint]]]:
    """Signal id -> (junction id, the last waypoint of every lane that leads into the junction past the signal)."""
    ids = {signal.get("id", "") for signal in root.iter("signal") if signal.get("type") in TRAFFIC_LIGHT_TYPES}
    found: dict[str, tuple[int, dict[tuple[int, int], carla.Waypoint]]] = {}
    for road in root.iterfind("road"):
        junction_id = int(road.get("junction", "-1"))
        for mention in road.iterfind("signals/*"):
            sign_id = mention.get("id", "")
            if sign_id not in ids or junction_id == -1:
                continue
            lanes = found.setdefault(sign_id, (junction_id, {}))[1]
            for waypoint in _entries(carla_map, road, mention):
                lanes.setdefault((waypoint.road_id, waypoint.lane_id), waypoint)
    for road in root.iterfind("road[@junction='-1']"):
        for signal in road.iterfind("signals/signal"):
            sign_id = signal.get("id", "")
            if sign_id in ids and not found.get(sign_id, (0, {}))[1]:
                found[sign_id] = _approach(carla_map, road, signal)
    return {sign_id: (junction_id, list(lanes.values())) for sign_id, (junction_id, lanes) in found.items() if lanes}


def _entries(carla_map: carla.Map, road: ET.Element, mention: ET.Element) -> Iterator[carla.Waypoint]:
    """Where traffic comes from that drives on the connecting `road` in the lanes that the signal is valid for."""
    for lane in _valid_lanes(road, mention):
        s = 1e-3 if _drives_along(road, lane) else float(road.get("length", "0")) - 1e-3
        waypoint = carla_map.get_waypoint_xodr(int(road.get("id", "-1")), lane, s)
        if waypoint is not None:
            yield from (before for before in waypoint.previous(0.1) if not before.is_junction)


def _approach(
    carla_map: carla.Map, road: ET.Element, signal: ET.Element
) -> tuple[int, dict[tuple[int, int], carla.Waypoint]]:
    """For a map without references on its connecting roads: the signal's own lanes, where they meet a junction."""
    lanes = {}
    junction_id = -1
    for lane in _valid_lanes(road, signal):
        s = float(road.get("length", "0")) - 1e-3 if _drives_along(road, lane) else 1e-3
        waypoint = carla_map.get_waypoint_xodr(int(road.get("id", "-1")), lane, s)
        ahead = [] if waypoint is None else [after for after in waypoint.next(0.1) if after.is_junction]
        if ahead:
            junction_id = ahead[0].junction_id
            lanes[waypoint.road_id, waypoint.lane_id] = waypoint
    return junction_id, lanes


def _drives_along(road: ET.Element, lane: int) -> bool:
    return (lane < 0) != is_left_hand(road)


def _valid_lanes(road: ET.Element, mention: ET.Element) -> list[int]:
    """The driving lanes that a signal (reference) names or, where it names none, those that CARLA infers."""
    driving = [int(lane.get("id", "0")) for lane in road.iterfind("lanes/laneSection/*/lane[@type='driving']")]
    validities = [
        (int(validity.get("fromLane", "0")), int(validity.get("toLane", "0")))
        for validity in mention.iterfind("validity")
    ]
    if validities:
        return [lane for lane in driving if any(min(pair) <= lane <= max(pair) for pair in validities)]
    sides = {"+": (1,), "-": (-1,)}.get(mention.get("orientation", ""), (1, -1))
    return [lane for lane in driving if math.copysign(1, lane) in sides]


def _stop_box(last: carla.Waypoint) -> OrientedBox | None:
    """A box over the lane, from `STOP_GAP` before the junction back as far as the lane goes, `STOP_ZONE` at most."""
    trail = [last]
    for number in range(1, round((STOP_GAP + STOP_ZONE) / STOP_STEP) + 1):
        before = last.previous(number * STOP_STEP)
        if len(before) != 1 or before[0].is_junction:
            break
        trail.append(before[0])
    near = trail[min(round(STOP_GAP / STOP_STEP), len(trail) - 1)].transform.location
    far = trail[-1].transform.location
    length = math.hypot(near.x - far.x, near.y - far.y)
    if length < STOP_STEP:
        return None
    yaw = math.degrees(math.atan2(near.y - far.y, near.x - far.x))
    return OrientedBox(
        (near.x + far.x) / 2, (near.y + far.y) / 2, (near.z + far.z) / 2 + ZONE_HEIGHT / 2, yaw,
        length / 2, last.lane_width / 2, ZONE_HEIGHT / 2,
    )  # fmt: skip
