"""What the simulator knows of what is around the ego: for the rules of the road, for losses and for scripted drivers.

No policy is told of it when it drives.
"""

import math

import numpy as np
from numpy.typing import NDArray

from envloop.client.ego import EgoVehicle
from envloop.client.lookout import Lookout
from envloop.client.simulator import Simulator
from envloop.client.traffic import Traffic
from envloop.config import EnvConfig
from envloop.task.affordances import affordances
from envloop.task.columns import bounds, nearness_in_columns
from envloop.task.episode import Episode, RouteTask
from envloop.task.observation import EgoState
from envloop.task.reward import is_waiting
from envloop.task.right_of_way import PEOPLE, Obstacle, Outlook, lines_ahead
from envloop.task.road_scene import RoadScene
from envloop.task.route import Lead, lead_ahead

_LEAD_RANGE_M = 45.0
_WAITING_MPS = 1.5  # who drives faster does not wait


class Surroundings:
    """Looks around for one ego: `begin` an episode once its actors are there, then ask of the tick just made.

    Raises (all methods):
      SimulatorError: the simulator is lost.
    """

    def __init__(self, config: EnvConfig, simulator: Simulator, car: EgoVehicle, traffic: Traffic) -> None:
        self._config = config
        self._half_length_m = car.half_length_m
        self._traffic = traffic
        self._lookout = Lookout(simulator, car.vehicle.id)
        self._column_bounds = bounds(config.picture, config.camera.fov_deg)
        self._route_task: RouteTask
        self._outlook: Outlook | None = None  # the last one

    def begin(self, route_task: RouteTask) -> None:
        """Finds those who take part in the episode, and what is on its route."""
        self._route_task = route_task
        self._lookout.begin(route_task.route)

    @property
    def stop_signs(self) -> tuple[float, ...]:
        """Arc lengths of the lines in front of the route's stop signs, m, in order."""
        return self._lookout.stop_signs

    def scene(self, episode: Episode, ego: EgoState) -> RoadScene:
        """What is around `ego` and on its route, with the stop signs at which it has yet to stop."""
        seen = self._lookout.look(ego.x, ego.y)
        return RoadScene(seen.users, seen.stop_lines, episode.stop_signs, seen.crossings)

    def outlook(self, episode: Episode, ego: EgoState) -> Outlook:
        """What is ahead of `ego`; one and the same, and so worked out once, until something has changed."""
        outlook = Outlook(ego, episode.projection.s, self._route_task.route, self.scene(episode, ego))
        if self._outlook is None or outlook != self._outlook:
            self._outlook = outlook
        return self._outlook

    def lead(self, episode: Episode, ego: EgoState) -> Lead:
        """The NPC ahead on the route."""
        if not self._traffic.vehicles:
            return Lead()
        others = self._traffic.near(ego.x, ego.y, _LEAD_RANGE_M)
        route, s = self._route_task.route, episode.projection.s
        return lead_ahead(route, s, ego.speed_mps, others, ego_half_length=self._half_length_m)

    def held_up(self, episode: Episode, ego: EgoState, lead: Lead) -> tuple[bool, Lead]:
        """What the rules of the road say of who is there: see `held` and `person` of `Measurements`."""
        may_wait = ego.speed_mps < _WAITING_MPS
        if self._config.rules:
            met = self._met(self.outlook(episode, ego))
            person_m = min((each.gap_m for each in met if each.kind in PEOPLE), default=math.inf)
            return may_wait and self._stops_at(met), Lead(person_m, ego.speed_mps)
        # Behind a car it waits whatever else there is.
        held = may_wait and not is_waiting(lead.gap_m, self._config.reward) and self._is_held(episode, ego)
        return held, Lead()

    def privileged(self, episode: Episode) -> NDArray[np.float32]:
        """[9] float32, the `affordances`; [30] with the nearness in the picture's columns."""
        ego, outlook = episode.ego, self.outlook(episode, episode.ego)
        scene, passed = outlook.scene, outlook.passed
        told = affordances(outlook.s, ego.speed_mps, scene.stop_lines, self._met(outlook), passed)
        if not self._config.columns:
            return told
        beside = [each.user for each in passed]
        near = nearness_in_columns(ego, scene.users, beside, self._config.camera.x, self._column_bounds)
        return np.concatenate([told, near])

    def _met(self, outlook: Outlook) -> list[Obstacle]:
        """What keeps it from driving on at the legal speed."""
        return outlook.obstacles(self._route_task.profile.at)

    def _stops_at(self, met: list[Obstacle]) -> bool:
        """Whether any of them is so near that the car may wait for it."""
        return any(is_waiting(each.gap_m, self._config.reward) for each in met)

    def _is_held(self, episode: Episode, ego: EgoState) -> bool:
        """Whether the car may wait for anything. Lights and signs first: most waiting is there, and to see is cheap."""
        lines = RoadScene(stop_lines=self._lookout.stop_lines(), stop_signs=episode.stop_signs)
        if self._stops_at(lines_ahead(ego, episode.projection.s, lines)):
            return True
        return self._stops_at(self._met(self.outlook(episode, ego)))
