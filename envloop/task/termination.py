"""When an episode ends, and why. Only a finished route without a collision, in time, is a success."""

from dataclasses import dataclass
from typing import Literal

from envloop.errors import TaskError

Reason = Literal["collision", "red_light", "off_route", "route_done", "time_limit", "blocked"]

NOCRASH_SPEED_MPS = 5.0 / 3.6
NOCRASH_EXTRA_S = 20.0


@dataclass(frozen=True, slots=True)
class TerminationConfig:
    """Limits of an episode.

    Attributes:
      max_lateral_m: distance from the route at which the car counts as off it, m.
      goal_m: remaining distance at which the route counts as done, m.
      min_time_limit_s: time limit of the empty route 0, s, and the least that any episode gets.
        All others have NoCrash's budget where that is larger: behind other cars, which wait at red lights, 50 s are
        too short for route 0 whoever drives (its NoCrash budget is 210 s).
      blocked_s: time within which the car must advance `blocked_m` or the episode is truncated as "blocked", s; 0
        switches it off. CARLA's leaderboard has the same criterion (AgentBlockedTest); here it is what bounds the
        price of parking in a whole episode (see reward.py), and it saves the samples of a parked car. Being
        truncated, it keeps its bootstrap.
      blocked_m: see `blocked_s`, m. 3 m in 3 s is 1 m/s, the speed below which reward.py charges for standing.
    """

    max_lateral_m: float = 2.5
    goal_m: float = 3.0
    min_time_limit_s: float = 50.0
    blocked_s: float = 3.0
    blocked_m: float = 3.0

    def __post_init__(self) -> None:
        for name in ("max_lateral_m", "goal_m", "min_time_limit_s", "blocked_m"):
            if not getattr(self, name) > 0.0:
                raise TaskError(f"termination.{name} is {getattr(self, name):g}; it must be positive.")
        if not self.blocked_s >= 0.0:
            raise TaskError(f"termination.blocked_s is {self.blocked_s:g}; it must be positive, or 0 for no such end.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """End of an episode, or no end: `terminated` cuts the bootstrap, `truncated` does not."""

    terminated: bool = False
    truncated: bool = False
    reason: Reason | None = None

    @property
    def success(self) -> bool:
        """Route done with no collision, in time. Nothing else is called success."""
        return self.reason == "route_done"

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


RUNNING = Outcome()


def nocrash_budget_s(route_length_m: float) -> float:
    """Time allowed by NoCrash, s: the route at 5 km/h, and 20 s (Codevilla et al. 2019, arXiv:1904.08980)."""
    return route_length_m / NOCRASH_SPEED_MPS + NOCRASH_EXTRA_S


def time_limit_s(route_length_m: float, config: TerminationConfig, *, of_record: bool = False) -> float:
    """Episode limit, s: `min_time_limit_s` on the empty route of record, else NoCrash's budget where that is larger."""
    if of_record:
        return config.min_time_limit_s
    return max(config.min_time_limit_s, nocrash_budget_s(route_length_m))


def outcome(
    *,
    remaining_m: float,
    lateral_m: float,
    collided: bool,
    ran_red: bool = False,
    elapsed_s: float,
    limit_s: float,
    blocked_s: float,
    config: TerminationConfig,
) -> Outcome:
    """State of the episode after a tick.

    A collision outranks everything, so a goal reached by crashing is no success; a goal reached on the last allowed
    tick counts.

    Args:
      remaining_m: route length minus arc length.
      lateral_m: signed distance from the route.
      collided: a collision happened at any tick of this episode.
      ran_red: a red light was run, and that ends an episode.
      elapsed_s: simulated time since the episode's first tick.
      limit_s: see `time_limit_s`.
      blocked_s: `BlockedTimer.seconds`.
    """
    if collided:
        return Outcome(terminated=True, reason="collision")
    if ran_red:
        return Outcome(terminated=True, reason="red_light")
    if abs(lateral_m) > config.max_lateral_m:
        return Outcome(terminated=True, reason="off_route")
    if remaining_m <= config.goal_m:
        return Outcome(terminated=True, reason="route_done")
    # Half a microsecond of slack: 1000 additions of 0.05 are not 50.
    if elapsed_s >= limit_s - 5e-7:
        return Outcome(truncated=True, reason="time_limit")
    if config.blocked_s > 0.0 and blocked_s >= config.blocked_s - 5e-7:
        return Outcome(truncated=True, reason="blocked")
    return RUNNING


class BlockedTimer:
    """Seconds since the car last gained `blocked_m` along the route, or last had to wait."""

    def __init__(self, config: TerminationConfig, s: float) -> None:
        self._gain = config.blocked_m
        self._anchor = s
        self.seconds = 0.0

    def update(self, s: float, dt_s: float, *, waiting: bool = False) -> float:
        """Advance by one tick with the car at arc length `s`, m; returns the new time, s."""
        if waiting or s >= self._anchor + self._gain:
            self._anchor, self.seconds = s, 0.0
        else:
            self.seconds += dt_s
        return self.seconds
