"""Routes by name or by coordinates, and how many others share the road."""

import re
from dataclasses import dataclass, replace

from envloop.errors import TaskError
from envloop.seeding import EpisodeStream, generator
from envloop.suites import suite_names, suite_route

TOWN01_LANES_M = 5012.0  # of driving lanes, without junctions; of CARLA's map and of the project's own


@dataclass(frozen=True, slots=True)
class Density:
    """How many others share the road.

    Attributes:
      vehicles: led by the Traffic Manager.
      walkers: pedestrians, led by the client's crowd.
      scaled: both are numbers of Town01; other towns have as many for each metre of driving lane, as far as there is
        room.
    """

    vehicles: int
    walkers: int = 0
    scaled: bool = False

    def on(self, lanes_m: float) -> "Density":
        """The density on a map with so many metres of driving lanes outside junctions."""
        if not self.scaled:
            return self
        share = lanes_m / TOWN01_LANES_M
        return replace(self, vehicles=round(share * self.vehicles), walkers=round(share * self.walkers))


# "regular" and "dense" are NoCrash's in Town01 (Codevilla et al. 2019, arXiv:1904.08980, table 1).
DENSITIES = {
    "empty": Density(0),
    "regular": Density(20, 50, scaled=True),
    "dense": Density(100, 250, scaled=True),
    "0": Density(20),
    "1": Density(50),
    "2": Density(100),
}
MIXED = "mixed"  # every episode has one of these, by its seed
MIXED_SCENARIOS = ("empty", "regular", "dense")
SCENARIOS = (*DENSITIES, MIXED)


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
            town, found = suite_route(route)
        except TaskError as error:
            raise TaskError(f"route is {route!r}, but {error}") from error
        return RouteEnds(found.start, found.goal, town)
    numbers = _COORDINATES.fullmatch(route)
    if numbers is None:
        raise TaskError(
            f"route is {route!r}; give one of {', '.join(ROUTES)}, a suite's route such as {suite_names()[-1]}/0, "
            "or start and goal in metres as '317.74,129.49 -> 92.34,86.73'."
        )
    places = numbers.groups()[:3], numbers.groups()[3:]
    start, goal = (tuple(float(number) for number in place if number is not None) for place in places)
    return RouteEnds(start, goal)


def check_scenario(scenario: str) -> None:
    """Raises TaskError for an unknown name."""
    if scenario not in SCENARIOS:
        raise TaskError(f"scenario is {scenario!r}; choose one of {', '.join(SCENARIOS)}.")


def drawn_scenario(scenario: str, seed: int) -> str:
    """The scenario of the episode of `seed`: itself, or for "mixed" the one that the seed draws."""
    if scenario != MIXED:
        return scenario
    return MIXED_SCENARIOS[generator(seed, EpisodeStream.SCENARIO).integers(len(MIXED_SCENARIOS))]


def drawn_weather(weather: str, seed: int) -> str:
    """The weather of the episode of `seed`: one of the names that commas separate, drawn by the seed."""
    names = weather_names(weather)
    return names[generator(seed, EpisodeStream.WEATHER).integers(len(names))]


def weather_names(weather: str) -> tuple[str, ...]:
    """The names that commas separate."""
    return tuple(name.strip() for name in weather.split(","))
