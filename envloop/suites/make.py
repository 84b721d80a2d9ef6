"""Draws the routes of a suite from a seed: so many of each kind, lengths spread evenly, no two nearly the same."""

from collections.abc import Callable
from dataclasses import dataclass

import carla
import numpy as np

from envloop.client.planning.errors import PlannerError
from envloop.client.planning.planner import Plan, Planner
from envloop.suites import Kind, Suite, SuiteRoute, SuiteTown, kind_of

_LENGTH_TOLERANCE_M = 20.0
_DRAWS = 20_000  # for one route
_ALIKE = 0.75  # share of the shorter of two routes
_DIGITS = 2  # centimetres


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many routes of a kind, and between which lengths they are spread, m."""

    kind: Kind
    count: int
    shortest_m: float
    longest_m: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a suite is made of: in each of its towns as many routes as are wanted."""

    towns: tuple[str, ...]
    seed: int
    wanted: tuple[Wanted, ...]


# The kinds of CARLA's first benchmark: straight, one turn, navigation (Dosovitskiy et al. 2017, arXiv:1711.03938).
_UP_TO_ONE_TURN = (
    Wanted("straight", 4, 150.0, 300.0),
    Wanted("left", 6, 150.0, 450.0),
    Wanted("right", 6, 150.0, 450.0),
)
# The generated town is smaller: beyond 800 m its shortest ways are all nearly the same.
RECIPES = {
    "town01-nav": Recipe(("Town01",), 1, (*_UP_TO_ONE_TURN, Wanted("several", 9, 300.0, 1000.0))),
    "grid-nav": Recipe(("Grid01",), 1, (*_UP_TO_ONE_TURN, Wanted("several", 9, 300.0, 800.0))),
    # A roundabout is several turns, whichever way one leaves it.
    "rings-nav": Recipe(
        ("Rings01", "Rings02", "Rings03"),
        1,
        (
            Wanted("left", 1, 165.0, 300.0),
            Wanted("right", 1, 165.0, 300.0),
            Wanted("several", 6, 200.0, 650.0),
        ),
    ),
}


def make_suite(name: str, map_of: Callable[[str], carla.Map]) -> Suite:
    """The suite that `RECIPES[name]` describes, on its towns' maps, which `map_of` gives.

    Raises:
      PlannerError: a town has no such routes.
    """
    recipe = RECIPES[name]
    parts: list[SuiteTown] = []
    for town in recipe.towns:
        routes = _routes(recipe, map_of(town))
        parts.append(SuiteTown(name, town, routes, sum(len(before.routes) for before in parts)))
    return Suite(name, tuple(parts))


def _routes(recipe: Recipe, carla_map: carla.Map) -> tuple[SuiteRoute, ...]:
    """Those wanted of one town."""
    planner, rng = Planner(carla_map), np.random.default_rng(recipe.seed)
    chosen: list[Plan] = []
    routes: list[SuiteRoute] = []
    for wanted in recipe.wanted:
        for target_m in np.linspace(wanted.shortest_m, wanted.longest_m, wanted.count):
            route, plan = _draw(planner, rng, wanted, float(target_m), chosen)
            routes.append(route)
            chosen.append(plan)
    return tuple(routes)


def _draw(
    planner: Planner, rng: np.random.Generator, wanted: Wanted, target_m: float, chosen: list[Plan]
) -> tuple[SuiteRoute, Plan]:
    """A route of that kind and about that length, unlike those chosen before."""
    low_m = max(wanted.shortest_m, target_m - _LENGTH_TOLERANCE_M)
    high_m = min(wanted.longest_m, target_m + _LENGTH_TOLERANCE_M)
    for _ in range(_DRAWS):
        drawn = planner.draw(rng, low_m, high_m)
        if not _is_wanted(drawn, wanted.kind):
            continue
        route, plan = _stored(planner, drawn, wanted.kind)
        alike = any(
            max(plan.shared_m(other), other.shared_m(plan)) > _ALIKE * min(plan.length_m, other.length_m)
            for other in chosen
        )
        if not alike and low_m <= plan.length_m <= high_m:
            return route, plan
    raise PlannerError(f"The town has no further {wanted.kind} route of about {target_m:.0f} m; ask for fewer.")


def _is_wanted(plan: Plan, kind: Kind) -> bool:
    """Whether a way is of that kind; a single turn has to be one at a junction, for anybody can follow a bend."""
    if kind_of([stretch.turn_deg for stretch in plan.stretches]) != kind:
        return False
    at_roads = [stretch.turn_deg for stretch in plan.stretches if not stretch.in_junction]
    return kind == "several" or kind_of(at_roads) == "straight"


def _stored(planner: Planner, drawn: Plan, kind: Kind) -> tuple[SuiteRoute, Plan]:
    """The route as it is written down, in centimetres, and the way that the planner finds between those ends."""
    start, goal = ((round(float(x), _DIGITS), round(float(y), _DIGITS)) for x, y, _ in drawn.points[[0, -1]])
    plan = planner.plan(start, goal)
    return SuiteRoute(start, goal, round(plan.length_m, 1), kind), plan
