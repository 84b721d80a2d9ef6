"""Reads from the client what is around the ego: vehicles, people, and the lights and junctions of a route."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.errors import carla_calls
from envloop.client.simulator import Simulator
from envloop.client.traffic import ASIDE_M, ASIDE_TICKS
from envloop.task.road_scene import Crossing, LightState, RoadScene, RoadUser, StopLine
from envloop.task.route import LEVEL_M, Route

_RANGE_M = 60.0
_ON_ROUTE_M = 1.2  # a light's lane is the route's own
_ALONG_DEG = 45.0
_ZONE_MAX_M = 20.0  # from the middle of a light's zone to its junction
_STEP_M = 0.5
_HELD_RANGE_M = 25.0  # vehicles look so far ahead for their own light
_HELD_BESIDE_M = 1.8
_HOLDS_UP_M = 40.0  # at least, from a light's place to the middle of the longest vehicle that it holds up
_INNER, _SAMPLES = 0.8, 5  # of a stop sign's box, in which its lanes are looked for

_STATES: dict[carla.TrafficLightState, LightState] = {
    carla.TrafficLightState.Red: "red",
    carla.TrafficLightState.Yellow: "yellow",
    carla.TrafficLightState.Green: "green",
}


@dataclass(frozen=True)
class _Light:
    """A traffic light and [N, 4] the places x, y, z (m), yaw (rad) at which it holds up traffic."""

    actor: carla.TrafficLight
    places: NDArray[np.float64]

    def distance_m(self, x: float, y: float) -> float:
        """From (x, y) to the nearest place; inf where there is none."""
        return min((math.hypot(px - x, py - y) for px, py in self._xy), default=math.inf)

    @cached_property
    def _xy(self) -> list[tuple[float, float]]:
        return [(px, py) for px, py, *_ in self.places.tolist()]


@dataclass(frozen=True)
class _Body:
    id: int
    half_length: float
    half_width: float
    person: bool


class Lookout:
    """Looks around for one ego: `begin` an episode once its actors are there, then `look`.

    Raises (all methods):
      SimulatorError: the simulator is lost.
    """

    def __init__(self, simulator: Simulator, ego_id: int) -> None:
        self._simulator = simulator
        self._world = simulator.world
        self._map = simulator.map
        self._address = simulator.address
        self._ego_id = ego_id
        self._route: Route | None = None
        with carla_calls(self._address):
            lights = self._world.get_actors().filter("traffic.traffic_light*")
            self._lights = [_light(actor) for actor in lights]
            signs = self._world.get_actors().filter("traffic.stop")
            self._signs = [_sign(actor, self._map) for actor in signs]

    def begin(self, route: Route) -> None:
        """Finds those who take part in the episode, and what is on its route."""
        with carla_calls(self._address):
            actors = self._world.get_actors()
            bodies = [actor for actor in actors.filter("vehicle.*") if actor.id != self._ego_id]
            bodies += actors.filter("walker.*")
            self._bodies = [self._body(actor) for actor in bodies]
            self._near, self._near_until = self._bodies, -1
            self._looked_at: tuple[int, float, float] | None = None  # frame and place of what was `_seen`
            self._seen = RoadScene()
            if route is self._route:
                return
            self._route = route
            lines = ((s, light.actor) for light in self._lights for s in _passes(light.places, route))
            self._lines = sorted(lines, key=lambda line: line[0])
            self.stop_signs = tuple(sorted(s for places in self._signs for s in _passes(places, route)))
            self._crossings: tuple[Crossing, ...] | None = None  # not until somebody looks: it takes a while

    def _body(self, actor: carla.Actor) -> _Body:
        return _Body(actor.id, *self._simulator.half_size(actor), actor.type_id.startswith("walker."))

    def look(self, x: float, y: float) -> RoadScene:
        """What is within 60 m of (x, y) metres in the last snapshot, and on the route; no call to the server."""
        assert self._route is not None
        with carla_calls(self._address):
            if self._crossings is None:
                self._crossings = _crossings(self._map, self._route)
            snapshot = self._world.get_snapshot()
            if (looked_at := (snapshot.frame, x, y)) == self._looked_at:
                return self._seen
            held = [light.places for light in self._lights_near(x, y) if _state(light.actor) in ("red", "yellow")]
            users = self._users(snapshot, x, y)
        lines = self.stop_lines()
        stops = np.concatenate(held) if held else np.empty((0, 4))
        near = (user for user in users if math.hypot(user.x - x, user.y - y) <= _RANGE_M)
        users_near = tuple(_with_light(user, stops) for user in near)
        self._looked_at, self._seen = looked_at, RoadScene(users_near, lines, self.stop_signs, self._crossings)
        return self._seen

    def stop_lines(self) -> tuple[StopLine, ...]:
        """Those of the route's lights, with what they show in the last snapshot; no call to the server."""
        with carla_calls(self._address):
            return tuple(StopLine(s, _state(actor)) for s, actor in self._lines)

    def _lights_near(self, x: float, y: float) -> list[_Light]:
        """Those that can hold up anybody within range of (x, y): each that is asked what it shows costs."""
        return [light for light in self._lights if light.distance_m(x, y) <= _RANGE_M + _HOLDS_UP_M]

    def _users(self, snapshot: carla.WorldSnapshot, x: float, y: float) -> list[RoadUser]:
        """Everybody within range of (x, y), and some who are not.

        To look at hundreds in every tick would cost more than all else that an environment does.
        """
        if snapshot.frame >= self._near_until:
            self._near = [body for body, user in _found(self._bodies, snapshot) if _is_near(user, x, y)]
            self._near_until = snapshot.frame + ASIDE_TICKS
        return [user for _, user in _found(self._near, snapshot)]


def _found(bodies: list[_Body], snapshot: carla.WorldSnapshot) -> list[tuple[_Body, RoadUser]]:
    return [(body, _user(body, state)) for body in bodies if (state := snapshot.find(body.id)) is not None]


def _is_near(user: RoadUser, x: float, y: float) -> bool:
    return math.hypot(user.x - x, user.y - y) <= _RANGE_M + ASIDE_M


def _light(actor: carla.TrafficLight) -> _Light:
    return _Light(actor, _places(actor.get_stop_waypoints()))


def _sign(actor: carla.TrafficSign, carla_map: carla.Map) -> NDArray[np.float64]:
    """[N, 4] the places x, y, z (m), yaw (rad) at which a stop sign holds up traffic, one in each lane of its box."""
    box, pose = actor.trigger_volume, actor.get_transform()
    centre, extent = box.location, box.extent
    shares = np.linspace(-_INNER, _INNER, _SAMPLES)
    lanes: dict[tuple[int, int], carla.Waypoint] = {}
    for along, across in itertools.product(shares * extent.x, shares * extent.y):
        point = pose.transform(carla.Location(centre.x + along, centre.y + across, centre.z))
        waypoint = carla_map.get_waypoint(point, project_to_road=False)
        if waypoint is not None:
            lanes.setdefault((waypoint.road_id, waypoint.lane_id), waypoint)
    return _places(lanes.values())


def _places(waypoints: Iterable[carla.Waypoint]) -> NDArray[np.float64]:
    """[N, 4] x, y, z (m), yaw (rad) of where the lanes at these waypoints end in front of a junction."""
    poses = [_before_junction(waypoint).transform for waypoint in waypoints]
    rows = [(p.location.x, p.location.y, p.location.z, math.radians(p.rotation.yaw)) for p in poses]
    return np.array(rows).reshape(-1, 4)


def _before_junction(waypoint: carla.Waypoint) -> carla.Waypoint:
    """The end of its lane in front of a junction; itself where none is near.

    A light's stop waypoint lies in the middle of its zone, and the lanes that it affects may begin in the junction.
    """
    last = waypoint
    for _ in range(round(_ZONE_MAX_M / _STEP_M)):
        following = last.next(_STEP_M)
        if not following:
            break
        if following[0].is_junction:
            return last
        last = following[0]
    return waypoint


def _state(actor: carla.TrafficLight) -> LightState:
    return _STATES.get(actor.state, "off")


def _user(body: _Body, state: carla.ActorSnapshot) -> RoadUser:
    pose, velocity, acceleration = state.get_transform(), state.get_velocity(), state.get_acceleration()
    yaw = math.radians(pose.rotation.yaw)
    return RoadUser(
        x=pose.location.x,
        y=pose.location.y,
        z=pose.location.z,
        yaw_deg=pose.rotation.yaw,
        yaw_rate_deg=state.get_angular_velocity().z,
        vx=velocity.x,
        vy=velocity.y,
        accel=acceleration.x * math.cos(yaw) + acceleration.y * math.sin(yaw),
        half_length=body.half_length,
        half_width=body.half_width,
        person=body.person,
    )


def _with_light(user: RoadUser, stops: NDArray[np.float64]) -> RoadUser:
    """The vehicle with the distance to the light in front of it, if that holds it up."""
    if user.person or not len(stops):
        return user
    yaw = math.radians(user.yaw_deg)
    dx, dy = stops[:, 0] - user.x, stops[:, 1] - user.y
    ahead = dx * math.cos(yaw) + dy * math.sin(yaw) - user.half_length
    beside = np.abs(dy * math.cos(yaw) - dx * math.sin(yaw))
    mine = (ahead > -1.0) & (ahead < _HELD_RANGE_M) & (beside < _HELD_BESIDE_M) & _along(stops[:, 3], yaw)
    mine &= np.abs(stops[:, 2] - user.z) < LEVEL_M
    if not mine.any():
        return user
    return replace(user, may_drive_m=max(0.0, float(ahead[mine].min())))


def _passes(places: NDArray[np.float64], route: Route) -> list[float]:
    """Arc lengths at which a route passes a light's places in their direction; one for each time it does."""
    headings = np.arctan2(route.tangents[:, 1], route.tangents[:, 0])
    on_route = np.zeros(len(route.points), dtype=bool)
    for x, y, z, yaw in places:
        near = np.hypot(route.points[:, 0] - x, route.points[:, 1] - y) <= _ON_ROUTE_M
        on_route |= near & _along(headings, yaw) & (np.abs(route.points[:, 2] - z) < LEVEL_M)
    return [begin for begin, _ in route.stretches(on_route)]


def _crossings(carla_map: carla.Map, route: Route) -> tuple[Crossing, ...]:
    waypoints = (carla_map.get_waypoint(carla.Location(*point)) for point in route.points)
    inside = np.array([waypoint is not None and waypoint.is_junction for waypoint in waypoints])
    return tuple(Crossing(begin, end) for begin, end in route.stretches(inside))


def _along(yaws: NDArray[np.float64], yaw: float) -> NDArray[np.bool_]:
    return np.asarray(np.cos(yaws - yaw) > math.cos(math.radians(_ALONG_DEG)))
