"""The state of a simulation: a town, its actors, and what clients have set. `world.tick` moves it on."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from minicarla.geometry.poses import attached_pose
from minicarla.geometry.types import ORIGIN
from minicarla.limits import (
    MAX_ACTORS,
    MAX_ATTACHMENT_DEPTH,
    MAX_BODIES,
    MAX_FRICTION_TRIGGERS,
    MAX_SENSORS,
    MAX_WANTED_ACTOR_ID,
)
from minicarla.maps import OrientedBox, Pose, Town
from minicarla.physics.collision import Body, CollisionWorld, Contact
from minicarla.physics.rows import Rows
from minicarla.protocol.rpc import RpcError
from minicarla.protocol.rpc_types import Description, EpisodeSettings, identifier, label
from minicarla.protocol.streams import Streams
from minicarla.render.encodings import Tag
from minicarla.render.weather import Weather
from minicarla.world import blueprints, friction
from minicarla.world.actors import (
    Actor,
    FrictionTrigger,
    Prop,
    RoadSignal,
    TrafficLight,
    TrafficSign,
    Vehicle,
    Walker,
)
from minicarla.world.blueprint import Blueprint
from minicarla.world.prop_blueprints import FRICTION_TRIGGER, MESH
from minicarla.world.roster import Roster
from minicarla.world.sensor import Sensor
from minicarla.world.signs import SignSystem
from minicarla.world.traffic_lights import TrafficLightSystem

_BODIES = ("vehicle.", "walker.", "static.")
SPAWN_COLLISION = "Spawn failed because of collision at spawn position"  # CARLA's words: scripts look for them
# Episodes are counted from the time of the start in 0.1 ms, so that a restarted server has others: a client that stays
# takes a snapshot of another episode whatever its frame, and one of the same episode only if its frame is higher.
_COUNT_FROM_NS = 1_735_689_600 * 10**9  # 2025-01-01
_COUNT_STEP_NS = 100_000
# Signs do not share the ids of what is spawned: a Traffic Manager's choices depend on its vehicles' ids, and a town
# shall not drive otherwise because it has one sign more.
_FIRST_SIGN_ID = 1 << 20


class SensorMaker(Protocol):
    """Makes the sensors. They read the state, so the state knows of them only this and `Sensor`."""

    def prepare(self, town: Town) -> None:
        """Do what takes long of `load` beforehand; a thread may call it."""

    def load(self, town: Town) -> None:
        """Go over to a town; what fails here leaves everything as it was."""

    def makes(self, type_id: str) -> bool:
        """Whether the blueprint is a sensor's."""

    def make(self, state: "SimulationState", actor_id: int, description: Description, pose: Pose) -> Sensor:
        """A new sensor; ValueError or RpcError for an attribute that cannot be."""


class SimulationState:
    """All that a `load_world` resets, and the counters that it does not."""

    def __init__(self, town: Town, streams: Streams, seed: int, sensor_factory: SensorMaker) -> None:
        self.streams = streams
        self.seed = seed
        self.frame = 0  # small: scripts name files after it
        self.episode = (time.time_ns() - _COUNT_FROM_NS) // _COUNT_STEP_NS
        self.settings = EpisodeSettings()
        # What the recorder and the replayer do at a tick, given the step (s): before the physics, and after it.
        self.before_motion: list[Callable[[float], None]] = []
        self.after_motion: list[Callable[[float], None]] = []
        self._sensor_factory = sensor_factory
        self._statics: tuple[Town, CollisionWorld] | None = None
        self._populate(town)
        # Nobody has seen another map. The client of an earlier server, whose streams connect anew, would ask for the
        # lights of a changed map by its dead RPC connection, and be aborted by the time-out.
        self.map_changed = False

    def prepare(self, town: Town) -> None:
        """Do what takes long of `load` beforehand. Nothing of it shows, so a thread may call it."""
        self._sensor_factory.prepare(town)

    def load(self, town: Town, reset_settings: bool) -> None:
        """Begin a new episode. Actor ids start anew, so that an episode does not depend on those before it."""
        self._sensor_factory.load(town)  # first: what fails here leaves the state as it was
        for sensor in self.sensors:
            self._close_sensor(sensor)
        self.episode += 1
        self.streams.forget_snapshot()
        if reset_settings:
            self.settings = EpisodeSettings()
        self._populate(town)

    def _populate(self, town: Town) -> None:
        self.town = town
        if self._statics is None or self._statics[0] is not town:
            self._statics = (town, CollisionWorld([building.box for building in town.buildings]))
        self.collisions = self._statics[1]
        self.hidden: frozenset[int] = frozenset()  # numbers of environment objects that are neither seen nor solid
        self.elapsed = 0.0  # s
        self.delta = 0.0  # s, of the last tick
        self.map_changed = True
        self.weather = Weather()
        self.contacts: list[Contact] = []  # of the last tick
        self.actors: dict[int, Actor] = {}
        self.vehicles: list[Vehicle] = []
        self.walkers: list[Walker] = []
        self.props: list[Prop] = []
        self.sensors: list[Sensor] = []
        self.friction_triggers: list[FrictionTrigger] = []
        self.movables: list[Actor] = []  # all but lights and signs
        self.attached: list[Actor] = []  # parents before their children
        self.rows = Rows()
        self._roster: Roster | None = None
        self._next_id = 1
        self.lights = TrafficLightSystem(town.lights)
        self.light_actors: dict[str, TrafficLight] = {}
        self.light_ids: dict[str, int] = {}  # by sign id
        for spec in town.lights:
            light = TrafficLight(self._next_id, _described("traffic.traffic_light"), spec)
            self.light_actors[spec.sign_id] = light
            self.light_ids[spec.sign_id] = light.id
            self._enter(light)
        self.light_numbers = np.array([light.id for light in self.light_actors.values()], np.uint32)
        self.spectator = Actor(self._next_id, _described("spectator"), Pose(0.0, 0.0, 10.0))
        self._enter(self.spectator)
        self.signs = SignSystem(town.signs)
        self.sign_actors = [
            TrafficSign(_FIRST_SIGN_ID + number, _described(spec.type_id), spec)
            for number, spec in enumerate(town.signs)
        ]
        self.actors |= {sign.id: sign for sign in self.sign_actors}

    def enable_environment(self, numbers: Iterable[int], enabled: bool) -> None:
        """Show and make solid, or neither, environment objects; the first numbers are those of the houses."""
        self.hidden = self.hidden - set(numbers) if enabled else self.hidden | set(numbers)
        assert self._statics is not None
        self.collisions = self._statics[1].without(self.hidden) if self.hidden else self._statics[1]

    def _enter(self, actor: Actor) -> None:
        self.actors[actor.id] = actor
        self._next_id = max(self._next_id, actor.id + 1)
        for group in self._groups(actor):
            group.append(actor)
        if not isinstance(actor, RoadSignal):
            actor.enter(self.rows)
        self._roster = None

    @property
    def roster(self) -> Roster:
        """Who is there now."""
        if self._roster is None:
            self._roster = Roster.of(self.movables, [*self.vehicles, *self.walkers, *self.props], self.attached)
        return self._roster

    def _groups(self, actor: Actor) -> Iterator[list[Any]]:
        if isinstance(actor, RoadSignal):
            return
        yield self.movables
        groups = (
            (Vehicle, self.vehicles),
            (Walker, self.walkers),
            (Prop, self.props),
            (Sensor, self.sensors),
            (FrictionTrigger, self.friction_triggers),
        )
        for kind, group in groups:
            if isinstance(actor, kind):
                yield group

    def bodies(self) -> list[Body]:
        """Everything that moves or stands in the way, beside the town itself and what is attached to something."""
        groups = (self.vehicles, self.walkers, self.props)
        return [actor.body for group in groups for actor in group if actor.collides and actor.parent is None]

    def find(self, actor_id: int) -> Actor:
        """The actor of that id; RpcError if there is none."""
        actor = self.actors.get(identifier(actor_id))
        if actor is None:
            raise RpcError(f"there is no actor {actor_id} (any more)")
        return actor

    def find_vehicle(self, actor_id: int) -> Vehicle:
        """The vehicle of that id; RpcError if there is none."""
        vehicle = self.find(actor_id)
        if not isinstance(vehicle, Vehicle):
            raise RpcError(f"{label(vehicle.id, vehicle.type_id)} is no vehicle")
        return vehicle

    def find_walker(self, actor_id: int) -> Walker:
        """The walker of that id; RpcError if there is none."""
        walker = self.find(actor_id)
        if not isinstance(walker, Walker):
            raise RpcError(f"{label(walker.id, walker.type_id)} is no walker")
        return walker

    def find_light(self, actor_id: int) -> TrafficLight:
        """The traffic light of that id; RpcError if there is none."""
        light = self.find(actor_id)
        if not isinstance(light, TrafficLight):
            raise RpcError(f"{label(light.id, light.type_id)} is no traffic light")
        return light

    def spawn(self, description: Description, pose: Pose, parent_id: int = 0, wanted_id: int = 0) -> Actor:
        """A new actor at `pose`, which is relative to the parent if there is one (an id other than 0).

        It gets the wanted id if that is free, else the next one.

        Raises:
          RpcError: unknown blueprint or parent, an attribute that cannot be, something in the way, too many actors.
        """
        blueprint = blueprints.library().get(description.type_id)
        if blueprint is None:
            raise RpcError(f"minicarla has no blueprint '{description.type_id}': see world.get_blueprint_library()")
        if blueprint.refused is not None:
            raise RpcError(f"'{blueprint.id}' cannot be spawned: {blueprint.refused}")
        self._check_room(description.type_id)
        description = described(blueprint, description)
        parent = self.find(parent_id) if parent_id else None
        if parent is not None:
            _check_depth(parent)
        place = pose if parent is None else attached_pose(parent.pose, pose)
        try:
            is_free = 0 < wanted_id <= MAX_WANTED_ACTOR_ID and wanted_id not in self.actors
            actor = self._make(wanted_id if is_free else self._next_id, description, place, blueprint.tag, parent)
        except ValueError as error:
            raise RpcError(f"'{description.type_id}' has an attribute that cannot be: {error}") from None
        self._enter(actor)
        if parent is not None:
            self._attach(actor, parent, pose)
        if isinstance(actor, Sensor) and actor.is_server_side:
            actor.stream = self.streams.open()
        return actor

    def attach(self, child: Actor, parent: Actor, offset: Pose) -> None:
        """Fix an actor that stands alone to another one, at `offset` in its frame.

        Raises:
          RpcError: it does not stand alone, or too many are attached to one another.
        """
        _check_depth(parent)
        if child.parent is not None or child is parent or any(other.parent is child for other in self.attached):
            raise RpcError(f"{label(child.id, child.type_id)} is attached already, or something is attached to it")
        self._attach(child, parent, offset)

    def _attach(self, child: Actor, parent: Actor, offset: Pose) -> None:
        child.parent = parent
        self.attached.append(child)
        self.put_attached(child, offset)

    def put_attached(self, child: Actor, offset: Pose) -> None:
        """Let an attached actor be at another place in its parent's frame, from the next tick on."""
        child.offset = ORIGIN if offset == ORIGIN else offset
        self._roster = None

    def _check_room(self, type_id: str) -> None:
        bodies = len(self.vehicles) + len(self.walkers) + len(self.props)
        rooms = (
            (len(self.actors), MAX_ACTORS, "actors"),
            (bodies if type_id.startswith(_BODIES) else 0, MAX_BODIES, "vehicles, walkers and props"),
            (len(self.sensors) if self._sensor_factory.makes(type_id) else 0, MAX_SENSORS, "sensors"),
            (
                len(self.friction_triggers) if type_id == FRICTION_TRIGGER else 0,
                MAX_FRICTION_TRIGGERS,
                "friction triggers",
            ),
        )
        for count, limit, what in rooms:
            if count >= limit:
                raise RpcError(f"there are {limit} {what} already: destroy some first")

    def _make(
        self, actor_id: int, description: Description, place: Pose, tag: Tag | None, parent: Actor | None
    ) -> Actor:
        kind = description.type_id
        if kind.startswith("vehicle."):
            actor: Vehicle | Walker | Prop = Vehicle(actor_id, description, place, tag)
        elif kind.startswith("walker."):
            actor = Walker(actor_id, description, place)
        elif kind == MESH:
            if description.attributes["mesh_path"]:
                raise ValueError("mesh_path names a mesh of Unreal's, and minicarla has none: take another prop")
            return Actor(actor_id, description, place)  # as on CARLA nothing is to be seen of it
        elif kind == FRICTION_TRIGGER:
            return FrictionTrigger(actor_id, description, place)
        elif kind.startswith("static."):
            actor = Prop(actor_id, description, place)
        elif self._sensor_factory.makes(kind):
            return self._sensor_factory.make(self, actor_id, description, place)
        else:
            return Actor(actor_id, description, place)
        ignored = None if parent is None else parent.id
        solid = _placed(actor.pose, actor.body.box_centre, actor.body.extent)
        if actor.collides and self.collisions.overlaps(solid, self.bodies(), ignored):
            raise RpcError(SPAWN_COLLISION)
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Remove an actor; False if there is none, or it is the town's. What is attached to it stays where it is."""
        actor = self.actors.get(identifier(actor_id))
        if actor is None or actor is self.spectator or isinstance(actor, RoadSignal):
            return False
        if isinstance(actor, Sensor):
            self._close_sensor(actor)
        del self.actors[actor_id]
        for group in self._groups(actor):
            group.remove(actor)
        if isinstance(actor, FrictionTrigger):
            friction.update(self.vehicles, self.friction_triggers)
        for child in [child for child in self.attached if child.parent is actor]:
            child.parent = child.offset = None
        self.attached = [other for other in self.attached if other is not actor and other.parent is not None]
        actor.leave()
        self._roster = None
        return True

    def _close_sensor(self, sensor: Sensor) -> None:
        sensor.close()
        if sensor.stream is not None:
            self.streams.close(sensor.stream)


def _check_depth(parent: Actor | None) -> None:
    depth = 0
    while parent is not None:
        parent, depth = parent.parent, depth + 1
    if depth >= MAX_ATTACHMENT_DEPTH:
        raise RpcError(f"actors can be attached {MAX_ATTACHMENT_DEPTH} deep, not deeper")


def world_box(actor: Actor) -> OrientedBox:
    """The actor's box in the world (m, deg)."""
    return _placed(actor.pose, actor.box_centre, actor.extent)


def _placed(pose: Pose, box_centre: tuple[float, float], extent: tuple[float, float, float]) -> OrientedBox:
    (x, z), (ex, ey, ez) = box_centre, extent
    yaw_rad = math.radians(pose.yaw)
    centre = (pose.x + x * math.cos(yaw_rad), pose.y + x * math.sin(yaw_rad), pose.z + z)
    return OrientedBox(*centre, pose.yaw, ex, ey, ez)


def described(blueprint: Blueprint, sent: Description) -> Description:
    """What a client has sent, checked against the blueprint and with its defaults filled in.

    Other clients get this array: it must not contain anything that they cannot decode.
    """
    unknown = sent.attributes.keys() - blueprint.defaults().keys()
    if unknown:
        raise RpcError(f"'{blueprint.id}' has no attribute {min(unknown)!r}")
    values = blueprint.defaults() | sent.attributes
    for attribute in blueprint.attributes:
        try:
            attribute.check(values[attribute.id], sent.types.get(attribute.id, attribute.type))
        except ValueError as error:
            raise RpcError(f"'{blueprint.id}' has an attribute that cannot be: {error}") from None
    array = [[attribute.id, int(attribute.type), values[attribute.id]] for attribute in blueprint.attributes]
    return Description(blueprint.id, values, [sent.uid, blueprint.id, array], sent.uid)


def _described(type_id: str) -> Description:
    return Description(type_id, {}, [0, type_id, []])
