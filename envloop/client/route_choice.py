"""From a route's name, its coordinates or a seed to the task of an episode."""

import math

import carla
import numpy as np
from numpy.typing import NDArray

from envloop.client.planning.errors import NoWayOfThatLength, PlannerError
from envloop.client.planning.planner import Plan, Planner
from envloop.config import SHORTEST_ROUTE_M, EnvConfig
from envloop.errors import TaskError
from envloop.seeding import EpisodeStream, generator
from envloop.suites import SHARED_MAX, load_suite, suite_names
from envloop.task.commands import turns
from envloop.task.episode import RouteTask
from envloop.task.lane_invasion import RouteLane
from envloop.task.route import FloatArray, Route, SpeedProfile
from envloop.task.scenario import RANDOM, ROUTE_OF_RECORD, route_ends
from envloop.task.termination import time_limit_s

_DRAWS = 1000
_HEIGHT_MIN_M = 0.005  # what two digits show


class RouteSelector:
    """Plans the routes of one map; fixed ones are kept.

    Args:
      config: lengths of random routes, speed rules and time limits.
      carla_map: the simulator's.
    """

    def __init__(self, config: EnvConfig, carla_map: carla.Map) -> None:
        self._config = config
        self._planner = Planner(carla_map)
        self._fixed: dict[str, RouteTask] = {}
        town = carla_map.name.split("/")[-1].removesuffix("_Opt")
        parts = [part for name in suite_names() for part in load_suite(name).towns if part.town == town]
        self._suite_routes = [route for part in parts for route in part.routes]
        self._held_out: list[Plan] | None = None

    def of(self, route: str, seed: int) -> RouteTask:
        """The task of a fixed route, or for "random" the one that `seed` draws.

        Raises:
          TaskError: the map has no such route, or it is too short to be driven.
        """
        if route == RANDOM:
            plan = self.draw(generator(seed, EpisodeStream.ROUTE))
            return self._task(" -> ".join(_text(place) for place in plan.points[[0, -1]]), plan)
        if route not in self._fixed:
            ends = route_ends(route)
            self._fixed[route] = self._task(route, self._planner.plan(ends.start, ends.goal))
        return self._fixed[route]

    def draw(self, rng: np.random.Generator) -> Plan:
        """A random way that keeps clear of the town's suites (see suites). Raises TaskError where there is none."""
        lengths = self._config.random_route
        for _ in range(_DRAWS):
            try:
                plan = self._planner.draw(rng, lengths.min_m, lengths.max_m)
            except NoWayOfThatLength as error:
                raise TaskError(f"{error} {_remedy(error.longest_m)}") from error
            if all(held_out.shared_m(plan) <= SHARED_MAX * held_out.length_m for held_out in self.held_out):
                return plan
        raise PlannerError("No random route keeps clear of the suites' routes; choose shorter lengths.")

    @property
    def held_out(self) -> list[Plan]:
        """The ways of the suites of this town."""
        if self._held_out is None:
            self._held_out = [self._planner.plan(route.start, route.goal) for route in self._suite_routes]
        return self._held_out

    def _task(self, name: str, plan: Plan) -> RouteTask:
        config = self._config
        route = Route(plan.points)
        if route.length <= config.termination.goal_m:
            raise TaskError(
                f"Route {name!r} is {route.length:.1f} m long and counts as done with "
                f"{config.termination.goal_m:g} m left; put its start and goal further apart."
            )
        of_record = name == ROUTE_OF_RECORD and config.scenario == "empty"
        return RouteTask(
            name=name,
            route=route,
            profile=SpeedProfile(route, config.speed),
            limit_s=time_limit_s(route.length, config.termination, of_record=of_record),
            lane=_lane(plan, route),
            turns=turns(route, plan.in_junction[_nearest(plan, route)]),
        )


def _remedy(longest_m: float) -> str:
    if longest_m < SHORTEST_ROUTE_M:
        return f"A route takes at least {SHORTEST_ROUTE_M:g} m: drive on a larger map."
    return (
        f"Set random_route.min_m to at most {math.floor(longest_m)}; on the command line, "
        f"--config.env.random_route.min_m={math.floor(longest_m)}."
    )


def _text(place: FloatArray) -> str:
    """A place by its coordinates; the height only where there is any."""
    return ",".join(f"{each:.2f}" for each in (place if abs(place[2]) >= _HEIGHT_MIN_M else place[:2]))


def _lane(plan: Plan, route: Route) -> RouteLane:
    """What the lane is like at each of the route's points; junctions and changes of lane have no markings."""
    nearest = _nearest(plan, route)
    marked = ~(plan.in_junction | plan.in_change)
    return RouteLane(tuple((plan.lane_width_m[nearest] / 2.0).tolist()), tuple(marked[nearest].tolist()))


def _nearest(plan: Plan, route: Route) -> NDArray[np.int64]:
    """[M] for each of the route's points, the plan's point beside it."""
    steps = np.hypot(*np.diff(plan.points[:, :2], axis=0).T)
    nearest = np.searchsorted(np.concatenate([[0.0], np.cumsum(steps)]), route.arc_length - 0.5 * steps.mean())
    return np.minimum(nearest, len(plan.points) - 1)
