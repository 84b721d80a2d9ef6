"""Plays a recording: spawns and removes its actors, moves them, shows its lights. After CARLA's CarlaReplayer.cpp.

As on CARLA an actor is shown where it was at the begin of the frame before, moving on to where it was at this one's: so
replayed with the step it was recorded with, the first tick shows the first frame. Replayed vehicles and walkers have no
physics and report no velocity; what runs into them is stopped by them.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from minicarla.geometry.poses import attached_pose, relative_pose, wrap_degrees
from minicarla.geometry.types import Pose
from minicarla.limits import MAX_LOCATION_M, MAX_MAGNITUDE, MAX_SPEED
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import ArgumentError, Description, Wire
from minicarla.recorder import packets
from minicarla.recorder.packets import Added, DamagedError, PacketId
from minicarla.recorder.reader import Frame, Recording
from minicarla.recorder.timeline import EVENTS, Timeline
from minicarla.world import blueprints
from minicarla.world.actors import Actor, TrafficLight, Vehicle, Walker
from minicarla.world.blueprint import Blueprint
from minicarla.world.state import SimulationState
from minicarla.world.traffic_lights import LightState

_CM = 100.0
_JUMPS_FROM = 2.0  # times real time; then actors are not interpolated any more
_LIGHT_TOLERANCE_M = 1.0  # between a recorded traffic light and this town's
_TIME_TOLERANCE_S = 1e-3  # of a traffic light's elapsed time
_ALOFT_M = 1000.0  # where CARLA too spawns what it then puts into its place, so that nothing is in the way
_MOTION = (PacketId.POSITION,)
_LOOKS = (PacketId.POSITION, PacketId.STATE, PacketId.ANIM_VEHICLE, PacketId.ANIM_WALKER, PacketId.VEHICLE_LIGHT)
_GEARS = 100

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReplaySettings:
    """What clients set for all replays. The hero is whose `role_name` says so."""

    time_factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """What of a recording is replayed, in s from its begin, and which actor (by recorded id) the spectator follows."""

    start: float
    stop: float
    follow_id: int
    offset: Pose  # of the spectator, in that actor's frame
    sensors: bool  # whether recorded sensors are spawned too


class Replayer:
    """A replay under way, which has applied the events up to its start. It closes the recording at its end.

    A packet that is damaged ends it; `flaw` then says what is wrong with it.
    """

    def __init__(
        self,
        state: SimulationState,
        settings: ReplaySettings,
        recording: Recording,
        timeline: Timeline,
        span: Span,
    ) -> None:
        self._state, self._settings, self._span = state, settings, span
        self._recording, self._timeline = recording, timeline
        self._time = span.start
        self._index = -1  # of the last frame whose events have been applied
        self._shown = -1  # of the last frame whose lights and controls have been applied
        self._actors: dict[int, Actor] = {}  # by recorded id
        self._heroes: set[int] = set()  # recorded ids
        self._missing: list[str] = []
        self._positions: tuple[int, dict[int, Pose]] = (-1, {})  # of one frame, by recorded id
        self.is_playing = True
        self.flaw = ""
        self._apply_events(timeline.at(span.start))
        state.before_motion.append(self._play)

    def stop(self, keep_actors: bool) -> None:
        """End: the actors stand and have their physics again; unless kept, those that the rest removes are removed."""
        if not self.is_playing:
            return
        if not keep_actors:
            self._apply_events(len(self._timeline.elapsed) - 1)
        self.forget()
        for actor in self._actors.values():
            if isinstance(actor, Vehicle):
                actor.rest()
                actor.state.simulate_physics = True
                _control(actor, 0.0, 0.0, 0.0, False, 1)
            elif isinstance(actor, Walker):
                actor.state.simulate_physics = True
                actor.control.speed = 0.0
        if self._missing:
            log.warning("%d actors of the recording were not replayed: %s", len(self._missing), self._missing[0])

    def forget(self) -> None:
        """End at once, with the episode whose actors it moves."""
        if self.is_playing:
            self.is_playing = False
            self._state.before_motion.remove(self._play)
            self._recording.close()

    def _play(self, dt: float) -> None:
        self._time += dt * self._settings.time_factor
        index = self._timeline.at(min(self._time, self._span.stop))
        self._apply_events(index)
        if index >= 0 and not self.flaw:
            try:
                self._show(index)
            except (DamagedError, OSError) as error:
                self._fail(error)
        if self.flaw or self._time >= self._span.stop:
            self.stop(keep_actors=True)

    def _fail(self, error: Exception) -> None:
        self.flaw = str(error)
        log.warning("the replay has ended: %s", error)

    def _apply_events(self, index: int) -> None:
        """Those of the frames up to that one which have not been applied yet."""
        try:
            for number in self._timeline.events_between(self._index, index):
                if not self.flaw:
                    self._apply_events_of(number)
        except (DamagedError, OSError) as error:
            self._fail(error)
        self._index = max(self._index, index)

    def _apply_events_of(self, number: int) -> None:
        added: dict[int, Pose] = {}
        for packet_id, body in self._frame(number, EVENTS).packets:
            if packet_id == PacketId.EVENT_ADD:
                for event in packets.read_added(body):
                    self._add(event, added)
            elif packet_id == PacketId.EVENT_DEL:
                for (recorded,) in packets.records(packets.ID, body):
                    self._remove(recorded)
            else:
                for child, parent in packets.records(packets.EVENT_PARENT, body):
                    self._attach(number, child, parent, added)

    def _frame(self, index: int, wanted: tuple[int, ...]) -> Frame:
        frame = self._timeline.frame(self._recording, index, wanted)
        if frame is None:
            raise DamagedError(self._recording.flaw or "the file has changed")
        return frame

    def _add(self, event: Added, added: dict[int, Pose]) -> None:
        pose = _pose(event.place)
        if pose is None or (self._settings.ignore_hero and event.is_hero):
            return
        actor = self._found(event, pose)
        if actor is None and not event.type_id.startswith(("traffic.", "spectator")):
            if event.type_id.startswith("sensor.") and not self._span.sensors:
                return
            actor = self._spawned(event, pose)
        if actor is None:
            return
        self._actors[event.actor_id] = actor
        added[event.actor_id] = pose
        if event.is_hero:
            self._heroes.add(event.actor_id)
        if isinstance(actor, Vehicle | Walker):
            actor.state.simulate_physics = False
        if isinstance(actor, Vehicle):
            actor.rest()
            actor.drive.by_ackermann = False

    def _found(self, event: Added, pose: Pose) -> Actor | None:
        """What is there already: the town's own, or an actor of that id and kind, which is put into its place."""
        state = self._state
        if event.type_id.startswith("traffic."):
            return _nearest((a for a in state.actors.values() if a.type_id.startswith("traffic.")), pose)
        if event.type_id == state.spectator.type_id:
            if self._settings.ignore_spectator:
                return None
            actor: Actor | None = state.spectator
        else:
            actor = state.actors.get(event.actor_id)
        if actor is None or actor.type_id != event.type_id or actor.parent is not None:
            return None
        actor.move_to(pose)
        return actor

    def _spawned(self, event: Added, pose: Pose) -> Actor | None:
        blueprint = blueprints.library().get(event.type_id)
        attributes = [] if blueprint is None else _attributes(blueprint, event)
        aloft = Pose(pose.x, pose.y, pose.z + _ALOFT_M, pose.pitch, pose.yaw, pose.roll)
        try:
            description = Description.parse([event.uid, event.type_id, attributes])
            actor = self._state.spawn(description, aloft, wanted_id=event.actor_id)
        except (RpcError, ArgumentError) as error:
            self._missing.append(str(error))
            return None
        actor.move_to(pose)
        return actor

    def _remove(self, recorded: int) -> None:
        actor = self._actors.pop(recorded, None)
        self._heroes.discard(recorded)
        if actor is not None and self._state.actors.get(actor.id) is actor:
            self._state.destroy(actor.id)

    def _attach(self, number: int, child: int, parent: int, added: dict[int, Pose]) -> None:
        """Where the two were when they were recorded says how they are attached."""
        actor, holder = self._actors.get(child), self._actors.get(parent)
        if actor is None or holder is None or child not in added:
            return
        place = added.get(parent) or self._recorded(number - 1).get(parent)
        if place is None:
            return
        try:
            self._state.attach(actor, holder, relative_pose(place, added[child]))
        except RpcError as error:
            self._missing.append(str(error))

    def _recorded(self, index: int) -> dict[int, Pose]:
        """Where the actors were in that frame, by recorded id."""
        if index < 0:
            return {}
        if self._positions[0] != index:
            self._positions = (index, _poses(self._frame(index, _MOTION)))
        return self._positions[1]

    def _show(self, index: int) -> None:
        before = self._recorded(index - 1)
        frame = self._frame(index, _LOOKS)
        if index != self._shown:
            self._shown = index
            for packet_id, body in frame.packets:
                self._apply_looks(packet_id, body)
        share = 0.0 if self._settings.time_factor >= _JUMPS_FROM else self._timeline.share(index, self._time)
        for recorded, pose in _poses(frame).items():
            actor = self._actors.get(recorded)
            if actor is None or actor.parent is not None or self._is_ignored(recorded, actor):
                continue
            actor.move_to(_between(before.get(recorded, pose), pose, share))
        followed = self._actors.get(self._span.follow_id)
        if followed is not None:
            self._state.spectator.move_to(attached_pose(followed.pose, self._span.offset))

    def _is_ignored(self, recorded: int, actor: Actor) -> bool:
        settings = self._settings
        is_hero, is_spectator = recorded in self._heroes, actor is self._state.spectator
        return (settings.ignore_hero and is_hero) or (settings.ignore_spectator and is_spectator)

    def _apply_looks(self, packet_id: int, body: bytes) -> None:
        if packet_id == PacketId.STATE:
            self._apply_lights(packets.records(packets.STATE, body))
        elif packet_id == PacketId.ANIM_VEHICLE:
            for recorded, steer, throttle, brake, hand_brake, gear in packets.records(packets.ANIM_VEHICLE, body):
                vehicle = self._actors.get(recorded)
                if isinstance(vehicle, Vehicle) and not self._is_ignored(recorded, vehicle):
                    _control(vehicle, steer, throttle, brake, hand_brake, gear)
        elif packet_id == PacketId.ANIM_WALKER:
            for recorded, speed in packets.records(packets.ANIM_WALKER, body):
                walker = self._actors.get(recorded)
                if isinstance(walker, Walker) and not self._is_ignored(recorded, walker):
                    walker.control.speed = _clamp(speed / _CM, 0.0, MAX_SPEED)
        elif packet_id == PacketId.VEHICLE_LIGHT:
            for recorded, flags in packets.records(packets.VEHICLE_LIGHT, body):
                vehicle = self._actors.get(recorded)
                if isinstance(vehicle, Vehicle) and not self._is_ignored(recorded, vehicle):
                    vehicle.light_flags = flags

    def _apply_lights(self, states: Iterator[tuple[int, bool, float, int]]) -> None:
        lights = self._state.lights
        is_any_frozen = False
        for recorded, frozen, elapsed, shown in states:
            light = self._actors.get(recorded)
            if not isinstance(light, TrafficLight) or shown > max(LightState) or not 0.0 <= elapsed < MAX_MAGNITUDE:
                continue
            is_any_frozen |= frozen
            sign_id = light.sign_id
            if lights.state(sign_id) != shown or abs(lights.elapsed_time(sign_id) - elapsed) > _TIME_TOLERANCE_S:
                lights.set_state(sign_id, shown, elapsed)
        if is_any_frozen is not lights.frozen:
            lights.freeze_all(is_any_frozen)


def _pose(place: tuple[float, ...]) -> Pose | None:
    """A recorded location and rotation; None for what the simulation could not take."""
    x, y, z, roll, pitch, yaw = place
    far, turn = MAX_LOCATION_M * _CM, MAX_MAGNITUDE
    # The comparisons are false for NaN.
    is_there = -far <= x <= far and -far <= y <= far and -far <= z <= far
    if is_there and -turn <= roll <= turn and -turn <= pitch <= turn and -turn <= yaw <= turn:
        return Pose(x / _CM, y / _CM, z / _CM, pitch, yaw, roll)
    return None


def _attributes(blueprint: Blueprint, event: Added) -> list[Wire]:
    """Those that can be set, as a client sends them.

    Another release's blueprints can have other attributes, types of them (from 0 on before 0.9.16) and constants.
    """
    recorded = {name: value for _, name, value in event.attributes}
    found: list[Wire] = []
    for attribute in blueprint.attributes:
        value = recorded.get(attribute.id)
        if value is None or attribute.constant:
            continue
        with suppress(ValueError):
            attribute.check(value, attribute.type)
            found.append([attribute.id, int(attribute.type), value])
    return found


def _poses(frame: Frame) -> dict[int, Pose]:
    rows = (
        row
        for key, body in frame.packets
        if key == PacketId.POSITION
        for row in packets.records(packets.POSITION, body)
    )
    found = ((row[0], _pose(row[1:])) for row in rows)
    return {recorded: pose for recorded, pose in found if pose is not None}


def _nearest(actors: Iterator[Actor], pose: Pose) -> Actor | None:
    """The actor at that place, if there is one."""

    def distance(actor: Actor) -> float:
        place = actor.pose
        return max(abs(place.x - pose.x), abs(place.y - pose.y), abs(place.z - pose.z))

    nearest = min(actors, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= _LIGHT_TOLERANCE_M else None


def _between(begin: Pose, end: Pose, share: float) -> Pose:
    if share == 0.0:
        return begin
    return Pose(
        begin.x + share * (end.x - begin.x),
        begin.y + share * (end.y - begin.y),
        begin.z + share * (end.z - begin.z),
        begin.pitch + share * wrap_degrees(end.pitch - begin.pitch),
        wrap_degrees(begin.yaw + share * wrap_degrees(end.yaw - begin.yaw)),
        begin.roll + share * wrap_degrees(end.roll - begin.roll),
    )


def _control(vehicle: Vehicle, steer: float, throttle: float, brake: float, hand_brake: bool, gear: int) -> None:
    c = vehicle.control
    c.steer, c.throttle, c.brake = _clamp(steer, -1.0, 1.0), _clamp(throttle, 0.0, 1.0), _clamp(brake, 0.0, 1.0)
    c.hand_brake, c.reverse = hand_brake, gear < 0
    vehicle.drive.manual_gear, vehicle.drive.gear = False, min(max(gear, -_GEARS), _GEARS)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if value == value else low
