"""Why there is no route."""

from envloop.errors import TaskError


class PlannerError(TaskError):
    """No route leads from the start to the goal, or the map cannot be planned on."""


class RouteGapError(PlannerError):
    """A route has two points that follow each other more than 2 m apart; its place is named."""


class NoWayOfThatLength(PlannerError):  # noqa: N818 (it says what is missing)
    """A map holds no way of the wanted lengths; `longest_m` is the length of the longest one that could be drawn."""

    def __init__(self, message: str, longest_m: float) -> None:
        super().__init__(message)
        self.longest_m = longest_m
