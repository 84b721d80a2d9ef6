"""Routes by name or by coordinates, and how many other vehicles share the road."""

import re
from dataclasses import dataclass

from envloop.errors import TaskError
from envloop.suites import suite_names, suite_route

# CARLA's NoCrash-like densities of the task: scenario name -> NPC vehicles.
NPC_VEHICLES = {"empty": 0, "0": 20, "1": 50, "2": 100}


@dataclass(frozen=True)
class RouteEnds:
    """Start and goal (x, y) or (x, y, z), m, CARLA frame; `town` is the only map that they lie on, "" for any."""

    start: tuple[float, ...]
    goal: tuple[float, ...]
    town: str = ""


ROUTE_OF_RECORD = "town01-0"
ROUTES = {ROUTE_OF_RECORD: RouteEnds(start=(317.74, 129.49), goal=(92.34, 86.73), town="Town01")}
RANDOM = "random"  # instead of a route: another one in every episode

_NUMBER = r"\s*([-+]?\d+(?:\.\d*)?|[-+]?\.\d+)\s*"
_PLACE = rf"{_NUMBER},{_NUMBER}(?:,{_NUMBER})?"
_COORDINATES = re.compile(rf"{_PLACE}->{_PLACE}")


def route_ends(route: str) -> RouteEnds:
    """Start and goal of a route's name, a suite's route NAME/i, or a text "X,Y -> X,Y"; TaskError for any other.

    Where roads lie above each other a place is written X,Y,Z.
    """
    if route in ROUTES:
        return ROUTES[route]
    if "/" in route:
        try:
            suite, found = suite_route(route)
        except TaskError as error:
            raise TaskError(f"route is {route!r}, but {error}") from error
        return RouteEnds(found.start, found.goal, suite.town)
    numbers = _COORDINATES.fullmatch(route)
    if numbers is None:
        raise TaskError(
            f"route is {route!r}; give one of {', '.join(ROUTES)}, a suite's route such as {suite_names()[-1]}/0, "
            "or start and goal in metres as '317.74,129.49 -> 92.34,86.73'."
        )
    places = numbers.groups()[:3], numbers.groups()[3:]
    start, goal = (tuple(float(number) for number in place if number is not None) for place in places)
    return RouteEnds(start, goal)


def npc_vehicles(scenario: str) -> int:
    """NPC vehicles of a scenario. Raises TaskError for an unknown name."""
    if scenario not in NPC_VEHICLES:
        raise TaskError(f"scenario is {scenario!r}; choose one of {', '.join(NPC_VEHICLES)}.")
    return NPC_VEHICLES[scenario]
