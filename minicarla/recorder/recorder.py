"""Writes the simulation down, frame by frame, as CARLA's ACarlaRecorder does.

A frame is written when the next one begins, for only then is its duration known; with it goes what has come and gone
since the last tick. What is attached to an actor is recorded where it is in the world.
"""

import logging
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from minicarla.limits import DISK_CHECK_BYTES, MAX_RECORDING_BYTES
from minicarla.physics.vehicle import VehicleState
from minicarla.recorder import packets
from minicarla.recorder.files import is_disk_full
from minicarla.recorder.packets import ActorKind, Added, Info, PacketId, listed, packet
from minicarla.sensors.detectors import CollisionSensor
from minicarla.world import physics_control
from minicarla.world.actors import Actor, RoadSignal, TrafficLight, Vehicle, Walker
from minicarla.world.sensor import Sensor
from minicarla.world.state import SimulationState

_CM = 100.0
_KINDS = ((Vehicle, ActorKind.VEHICLE), (Walker, ActorKind.WALKER), (TrafficLight, ActorKind.TRAFFIC_LIGHT))
_PLACED = (ActorKind.OTHER, ActorKind.VEHICLE, ActorKind.WALKER)  # those whose positions are recorded

log = logging.getLogger(__name__)


def kind_of(actor: Actor) -> ActorKind:
    """What CARLA takes the actor for."""
    for cls, kind in _KINDS:
        if isinstance(actor, cls):
            return kind
    if isinstance(actor, Sensor):
        return ActorKind.SENSOR
    return ActorKind.TRAFFIC_SIGN if actor.type_id.startswith("traffic.") else ActorKind.OTHER


class Recorder:
    """A recording under way. Write errors, a full disk and too large a file end it with a line in the log.

    Args:
      file: new and empty; the recorder closes it.
      path: for the log.
      map_name: what the map is called.
      additional: whether to record what replaying does not need: velocities, boxes, physics, times.
    """

    def __init__(self, state: SimulationState, file: BinaryIO, path: Path, map_name: str, additional: bool) -> None:
        self._state, self._file, self._path, self._additional = state, file, path, additional
        self._known: dict[int, ActorKind] = {}
        self._frame: list[bytes] = []  # the packets of the frame that is not written yet
        self._start = (0, 0.0)  # its number and time, s
        self._begun = time.monotonic()
        self._collisions = 0
        self._turned: dict[int, float] = {}  # deg that the wheels of a vehicle have turned
        self._events: list[bytes] = []
        self._facts: list[bytes] = []  # the additional ones of the actors that are new
        self._written = self._checked = 0
        state.before_motion.append(self._note_events)
        state.after_motion.append(self._record)
        self._write(packets.info(Info(packets.VERSION, int(time.time()), map_name)))

    @property
    def is_recording(self) -> bool:
        """Whether the file is still written."""
        return not self._file.closed

    def stop(self) -> None:
        """End the recording; its last frame has no duration."""
        if self.is_recording:
            self._finish_frame(packets.LAST_DURATION)
            self._end()

    def _end(self) -> None:
        if self._note_events in self._state.before_motion:
            self._state.before_motion.remove(self._note_events)
            self._state.after_motion.remove(self._record)
        try:
            self._file.close()
        except OSError as error:
            log.warning("the end of the recording %s is lost: %s", self._path, error.strerror)

    def _write(self, data: bytes) -> None:
        if not self.is_recording:
            return
        reason = None
        if self._written + len(data) > MAX_RECORDING_BYTES:
            reason = f"it has reached {MAX_RECORDING_BYTES >> 20} MB"
        elif self._written >= self._checked:
            self._checked = self._written + DISK_CHECK_BYTES
            reason = "the disk is nearly full" if is_disk_full(self._file) else None
        if reason is None:
            try:
                self._file.write(data)
                self._file.flush()  # what is written is there even if the server is killed
            except OSError as error:
                reason = error.strerror
        if reason is None:
            self._written += len(data)
        else:
            log.warning("the recording %s has ended: %s", self._path, reason)
            self._end()

    def _finish_frame(self, duration: float) -> None:
        number, elapsed = self._start
        if number:
            start = packet(PacketId.FRAME_START, packets.FRAME.pack(number, duration, elapsed))
            self._write(b"".join([start, *self._frame, packet(PacketId.FRAME_END)]))

    def _note_events(self, dt: float) -> None:
        """What has come and gone since the last tick; `dt` (s) is not needed for it."""
        actors = self._state.actors
        come = [actor for actor_id, actor in actors.items() if actor_id not in self._known]
        gone = [actor_id for actor_id in self._known if actor_id not in actors]
        for actor in come:
            self._known[actor.id] = kind_of(actor)
        for actor_id in gone:
            del self._known[actor_id]
            self._turned.pop(actor_id, None)
        parents = [packets.EVENT_PARENT.pack(actor.id, actor.parent.id) for actor in come if actor.parent is not None]
        self._events = [
            listed(PacketId.EVENT_ADD, [packets.added(self._added(actor)) for actor in come]),
            listed(PacketId.EVENT_DEL, [packets.ID.pack(actor_id) for actor_id in gone]),
            listed(PacketId.EVENT_PARENT, parents),
        ]
        self._facts = self._facts_of(come) if self._additional else []

    def _added(self, actor: Actor) -> Added:
        description = actor.description
        attributes = tuple((int(kind), name, value) for name, kind, value in description.wire[2])
        place = _place(actor.motion())
        return Added(actor.id, self._known[actor.id], place, description.uid, actor.type_id, attributes)

    def _record(self, dt: float) -> None:
        number, elapsed = self._start
        if number:
            self._finish_frame(dt)
        self._start = (number + 1, elapsed + dt if number else 0.0)
        state = self._state
        placed = [actor for actor in state.movables if self._known.get(actor.id) in _PLACED]
        positions = [packets.POSITION.pack(actor.id, *_place(actor.motion())) for actor in placed]
        walkers = [packets.ANIM_WALKER.pack(walker.id, _CM * walker.control.speed) for walker in state.walkers]
        lights = [packets.VEHICLE_LIGHT.pack(vehicle.id, vehicle.light_flags) for vehicle in state.vehicles]
        self._frame = [
            packet(PacketId.VISUAL_TIME, packets.SECONDS.pack(state.elapsed)),
            *self._events,
            listed(PacketId.COLLISION, self._touched()),
            listed(PacketId.POSITION, positions),
            listed(PacketId.STATE, self._light_states()),
            listed(PacketId.ANIM_VEHICLE, [_controls(vehicle) for vehicle in state.vehicles]),
            listed(PacketId.ANIM_WALKER, walkers),
            listed(PacketId.VEHICLE_LIGHT, lights),
            listed(PacketId.ANIM_VEHICLE_WHEELS, [self._wheels(vehicle, dt) for vehicle in state.vehicles]),
            listed(PacketId.ANIM_BIKER, [_biker(v) for v in state.vehicles if v.params.wheels == 2]),
            *(self._additions() if self._additional else ()),
        ]
        self._events, self._facts = [], []

    def _touched(self) -> list[bytes]:
        """As on CARLA only those with a collision sensor tell, and each pair counts once in a frame."""
        contacts = self._state.contacts
        if not contacts:
            return []
        pairs: dict[tuple[int, int], None] = {}
        for sensor in self._state.sensors:
            if not isinstance(sensor, CollisionSensor) or sensor.parent is None:
                continue
            owner = sensor.parent.id
            for contact in contacts:
                if owner in (contact.a_id, contact.b_id):
                    other = contact.b_id if owner == contact.a_id else contact.a_id
                    pairs[owner, packets.NOT_AN_ACTOR if other is None else other] = None
        rows = []
        for pair in pairs:
            rows.append(packets.COLLISION.pack(self._collisions, *pair, *map(self._is_hero, pair)))
            self._collisions += 1
        return rows

    def _is_hero(self, actor_id: int) -> bool:
        actor = self._state.actors.get(actor_id)
        return actor is not None and actor.description.attributes.get("role_name") == "hero"

    def _light_states(self) -> list[bytes]:
        lights = self._state.lights
        return [
            packets.STATE.pack(actor.id, lights.frozen, lights.elapsed_time(sign_id), lights.state(sign_id))
            for sign_id, actor in self._state.light_actors.items()
        ]

    def _wheels(self, vehicle: Vehicle, dt: float) -> bytes:
        # Unreal counts a wheel that rolls forward backwards.
        rolled = math.degrees(vehicle.state.forward_speed * dt / vehicle.params.wheel_radius)
        turned = math.fmod(self._turned.get(vehicle.id, 0.0) - rolled, 360.0)
        self._turned[vehicle.id] = turned
        count = vehicle.params.wheels
        return packets.wheels(
            vehicle.id, [(vehicle.state.steer if wheel < count // 2 else 0.0, turned) for wheel in range(count)]
        )

    def _additions(self) -> list[bytes]:
        moving: list[Actor] = [*self._state.vehicles, *self._state.walkers]
        kinematics = [packets.KINEMATICS.pack(actor.id, *actor.motion()[6:12]) for actor in moving]
        seconds = time.monotonic() - self._begun
        boxes, volumes, controls, times = self._facts or (b"",) * 4
        return [
            listed(PacketId.KINEMATICS, kinematics) if kinematics else b"",
            boxes or listed(PacketId.BOUNDING_BOX, []),
            volumes,
            packet(PacketId.PLATFORM_TIME, packets.SECONDS.pack(seconds)),
            controls,
            times,
            listed(PacketId.WALKER_BONES, []),
        ]

    def _facts_of(self, actors: Iterable[Actor]) -> list[bytes]:
        """Packets of boxes, trigger volumes, physics controls and light times; nothing for what there is none of."""
        boxes, volumes, controls, times = [], [], [], []
        lights = self._state.lights
        for actor in actors:
            if isinstance(actor, Vehicle):
                controls.append(packets.physics_control(actor.id, physics_control.describe(actor)))
            if isinstance(actor, RoadSignal) and actor.boxes:
                last = actor.boxes[-1]
                box = (last.x, last.y, last.z, last.ex, last.ey, last.ez)
                volumes.append(packets.BOX.pack(actor.id, *(_CM * value for value in box)))
            if isinstance(actor, TrafficLight):
                sign_id = actor.sign_id
                seconds = (lights.green_time(sign_id), lights.yellow_time(sign_id), lights.red_time(sign_id))
                times.append(packets.TRAFFIC_LIGHT_TIME.pack(actor.id, *seconds))
            elif self._known[actor.id] != ActorKind.TRAFFIC_SIGN:
                centre, extent = actor.bounding_box()[:2]
                boxes.append(packets.BOX.pack(actor.id, *(_CM * value for value in (*centre, *extent))))
        ids = (PacketId.BOUNDING_BOX, PacketId.TRIGGER_VOLUME, PacketId.PHYSICS_CONTROL, PacketId.TRAFFIC_LIGHT_TIME)
        groups = zip(ids, (boxes, volumes, controls, times), strict=True)
        return [listed(packet_id, rows) if rows else b"" for packet_id, rows in groups]


def _place(motion: tuple[float, ...]) -> tuple[float, ...]:
    """Location in cm, then roll, pitch, yaw."""
    x, y, z, pitch, yaw, roll = motion[:6]
    return _CM * x, _CM * y, _CM * z, roll, pitch, yaw


def _controls(vehicle: Vehicle) -> bytes:
    c = vehicle.control
    return packets.ANIM_VEHICLE.pack(vehicle.id, c.steer, c.throttle, c.brake, c.hand_brake, vehicle.drive.gear)


def _biker(vehicle: Vehicle) -> bytes:
    state: VehicleState = vehicle.state
    return packets.ANIM_BIKER.pack(vehicle.id, _CM * state.forward_speed, 0.0)
