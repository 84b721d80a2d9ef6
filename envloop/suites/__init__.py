"""Suites: fixed routes to evaluate on, held out from training. Data, read without a simulator.

Each is a JSON file beside this one: start and goal coordinates on the map of one town, or of several, between which the
planner finds the way. `python -m envloop.suites make NAME` wrote them.

Held out means: on a suite's town no randomly drawn training route drives along more than half (`SHARED_MAX`) of any
of its routes, counted in metres of the same lane. So none contains one, has the ends of one, or differs from one by its
ends alone. The lanes themselves are known from training: that is what navigation in a known town means.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from envloop.errors import TaskError

Kind = Literal["straight", "left", "right", "several"]

FOLDER = Path(__file__).parent
SHARED_MAX = 0.5
_TURN_DEG = 35.0  # junctions and corners turn by 90, the winding streets of the generated towns by at most 32


@dataclass(frozen=True, slots=True)
class SuiteRoute:
    """Start and goal (x, y) in metres, CARLA frame; length in metres; what turns it has."""

    start: tuple[float, float]
    goal: tuple[float, float]
    length_m: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class SuiteTown:
    """The routes of a suite that lie in one town.

    Attributes:
      suite: its name.
      town: the town's.
      routes: in order.
      first: number of the first of them in the suite.
    """

    suite: str
    town: str
    routes: tuple[SuiteRoute, ...]
    first: int = 0

    def route_names(self) -> list[str]:
        """Names of its routes, in order."""
        return [f"{self.suite}/{self.first + i}" for i in range(len(self.routes))]


@dataclass(frozen=True, slots=True)
class Suite:
    """The routes of one town, or of several one after the other; the i-th is called NAME/i everywhere."""

    name: str
    towns: tuple[SuiteTown, ...]

    @property
    def routes(self) -> tuple[SuiteRoute, ...]:
        """Of all towns, in order."""
        return tuple(route for part in self.towns for route in part.routes)


def suite_names() -> list[str]:
    """Names of all suites."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load_suite(name: str) -> Suite:
    """The suite of that name. Raises TaskError when there is none."""
    if name not in suite_names():
        raise TaskError(f"there is no suite {name!r}; choose one of {', '.join(suite_names())}.")
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    parts: list[SuiteTown] = []
    for part in data["towns"]:
        routes = tuple(
            SuiteRoute(tuple(route["start"]), tuple(route["goal"]), route["length_m"], route["kind"])
            for route in part["routes"]
        )
        parts.append(SuiteTown(name, part["town"], routes, sum(len(before.routes) for before in parts)))
    return Suite(name, tuple(parts))


def suite_route(route: str) -> tuple[str, SuiteRoute]:
    """The town and the route that a text "NAME/i" names. Raises TaskError for any other text."""
    name, _, number = route.rpartition("/")
    suite = load_suite(name)
    if not (number.isdecimal() and int(number) < len(suite.routes)):
        raise TaskError(f"suite {name} has no route {number!r}; its routes are {name}/0 to {len(suite.routes) - 1}.")
    part = next(each for each in reversed(suite.towns) if each.first <= int(number))
    return part.town, part.routes[int(number) - part.first]


def kind_of(turns_deg: Sequence[float]) -> Kind:
    """What a way is whose lanes turn by these angles (degrees, right positive)."""
    turns = [turn for turn in turns_deg if abs(turn) >= _TURN_DEG]
    if len(turns) > 1:
        return "several"
    if not turns:
        return "straight"
    return "right" if turns[0] > 0.0 else "left"
