"""Metrics of a driven episode, CARLA's driving scores, and summaries with 95 % intervals.

Everything is counted over every tick of an episode, in simulated time: a collision early in an episode stays counted,
and a completion time is never the wall clock's.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

from envloop.task.observation import EgoState
from envloop.task.termination import Outcome, nocrash_budget_s

Event = Literal["pedestrian", "vehicle", "static", "lane_invasion", "red_light", "stop_sign"]
EVENTS: tuple[Event, ...] = ("pedestrian", "vehicle", "static", "lane_invasion", "red_light", "stop_sign")
COLLISIONS: tuple[Event, ...] = ("pedestrian", "vehicle", "static")

# CARLA leaderboard 1.0/2.0 multiplies these; 2.1 adds these (https://leaderboard.carla.org/evaluation_v2_1).
PENALTY_20: dict[Event, float] = {
    "pedestrian": 0.50,
    "vehicle": 0.60,
    "static": 0.65,
    "red_light": 0.70,
    "stop_sign": 0.80,
}
PENALTY_21: dict[Event, float] = {"pedestrian": 1.0, "vehicle": 0.7, "static": 0.6, "red_light": 0.4, "stop_sign": 0.25}

# One contact is reported tick after tick; as in CARLA's CollisionTest, the same actor within this time counts once.
SAME_CONTACT_S = 5.0

PROPORTIONS = ("success", "nocrash_success")
_SHARES = (*PROPORTIONS, "route_completion", "off_road", "off_lane")
_SCORES = ("driving_score", "driving_score_21")
# Events over kilometres are pooled over episodes: a mean of ratios would be ruled by the shortest, worst episodes.
RATES = {
    "collisions_per_km": "collisions",
    **{f"{kind}_collisions_per_km": f"{kind}_collisions" for kind in COLLISIONS},
    "lane_invasions_per_km": "lane_invasions",
    "red_lights_per_km": "red_lights",
}
MEANS = (
    "route_completion",
    "off_road",
    "off_lane",
    "mean_speed_kmh",
    "completion_time_s",
    "min_ttc_s",
    "mean_jerk",
    "mean_lateral_accel",
    "mean_lateral_error_m",
    "mean_heading_error_deg",
    "driving_score",
    "driving_score_21",
    "return",
)


@dataclass(frozen=True, slots=True)
class TickFacts:
    """What one tick (or one decision) adds to the metrics.

    Attributes:
      dt_s: simulated duration, s.
      s: arc length along the route, m.
      speed_mps: ground speed, m/s.
      lateral_m, heading_error_deg: signed deviations from the route.
      jerk: magnitude, m/s^3 (see `jerk`).
      lateral_accel: signed, m/s^2.
      ttc_s: time to collision with the vehicle ahead, s; inf if none is being approached.
      off_lane: the car's centre is outside the route's lane.
      off_road: the car's centre is outside every driving lane.
    """

    dt_s: float
    s: float
    speed_mps: float
    lateral_m: float = 0.0
    heading_error_deg: float = 0.0
    jerk: float = 0.0
    lateral_accel: float = 0.0
    ttc_s: float = math.inf
    off_lane: bool = False
    off_road: bool = False


def jerk(before: EgoState, after: EgoState, dt_s: float) -> float:
    """Magnitude of the change of acceleration between two ticks, m/s^3."""
    return math.hypot(after.ax - before.ax, after.ay - before.ay) / dt_s


class EpisodeMetrics:
    """Accumulates one episode: `update` every tick, `event` for every collision or infraction, `result` at the end.

    Args:
      route_length_m: length of the route.
      start_s: arc length at which the episode begins; completion is measured over what is left of the route.
    """

    def __init__(self, route_length_m: float, start_s: float = 0.0) -> None:
        if not route_length_m > start_s >= 0.0:
            raise ValueError(f"An episode must start on its route: start_s {start_s}, route length {route_length_m}.")
        self._length = route_length_m
        self._start = start_s
        self._furthest = start_s
        self._events = dict.fromkeys(EVENTS, 0)
        self._contacts: dict[tuple[Event, int], float] = {}
        self._time = 0.0
        self._distance = 0.0
        self._off_lane = 0.0
        self._off_road = 0.0
        self._jerk = 0.0
        self._lateral_accel = 0.0
        self._lateral = 0.0
        self._heading = 0.0
        self._min_ttc = math.inf
        self._return = 0.0

    def update(self, facts: TickFacts, reward: float = 0.0) -> None:
        """Add one tick. Means are over time, off-lane and off-road are shares of the distance driven."""
        distance = facts.speed_mps * facts.dt_s
        self._time += facts.dt_s
        self._distance += distance
        self._off_lane += distance * facts.off_lane
        self._off_road += distance * facts.off_road
        self._jerk += abs(facts.jerk) * facts.dt_s
        self._lateral_accel += abs(facts.lateral_accel) * facts.dt_s
        self._lateral += abs(facts.lateral_m) * facts.dt_s
        self._heading += abs(facts.heading_error_deg) * facts.dt_s
        self._min_ttc = min(self._min_ttc, facts.ttc_s)
        self._furthest = max(self._furthest, facts.s)
        self._return += reward

    def event(self, kind: Event, other_id: int | None = None) -> bool:
        """Count a collision or infraction at the current time.

        A repeated collision with the same `other_id` within 5 s is the same contact. Returns whether it was counted.
        """
        if kind not in self._events:
            raise ValueError(f"An event must be one of {', '.join(EVENTS)}, not {kind!r}.")
        if other_id is not None:
            last = self._contacts.get((kind, other_id))
            self._contacts[kind, other_id] = self._time
            if last is not None and self._time - last < SAME_CONTACT_S:
                return False
        self._events[kind] += 1
        return True

    @property
    def elapsed_s(self) -> float:
        """Simulated time so far, s."""
        return self._time

    @property
    def route_completion(self) -> float:
        """Share of the route from the episode's start that has been reached, 0..1."""
        return min(1.0, (self._furthest - self._start) / (self._length - self._start))

    def result(self, end: Outcome) -> dict[str, float | int | str | None]:
        """The episode as plain JSON values. Shares are 0..1, scores 0..100; None where a metric does not exist.

        `completion_time_s` exists only for a success, `min_ttc_s` only where something was approached.
        """
        collisions = sum(self._events[kind] for kind in COLLISIONS)
        success = end.success and collisions == 0
        completion = 1.0 if end.success else self.route_completion
        off_lane = self._share(self._off_lane)
        km = self._distance / 1000.0
        counts = {**{f"{kind}_collisions": self._events[kind] for kind in COLLISIONS}, "collisions": collisions}
        counts |= {"lane_invasions": self._events["lane_invasion"], "red_lights": self._events["red_light"]}
        return {
            "success": int(success),
            "nocrash_success": int(success and self._time <= nocrash_budget_s(self._length - self._start)),
            "reason": end.reason,
            "return": self._return,
            "duration_s": self._time,
            "distance_km": km,
            "route_completion": completion,
            **counts,
            **{rate: counts[count] / km if km > 0.0 else None for rate, count in RATES.items()},
            "stop_signs": self._events["stop_sign"],
            "off_road": self._share(self._off_road),
            "off_lane": off_lane,
            "mean_speed_kmh": self._mean(self._distance) * 3.6,
            "completion_time_s": self._time if success else None,
            "min_ttc_s": self._min_ttc if math.isfinite(self._min_ttc) else None,
            "mean_jerk": self._mean(self._jerk),
            "mean_lateral_accel": self._mean(self._lateral_accel),
            "mean_lateral_error_m": self._mean(self._lateral),
            "mean_heading_error_deg": self._mean(self._heading),
            "driving_score": driving_score(completion, self._events, off_lane),
            "driving_score_21": driving_score_21(completion, self._events, off_lane),
        }

    def _mean(self, integral: float) -> float:
        return integral / self._time if self._time > 0.0 else 0.0

    def _share(self, distance: float) -> float:
        return distance / self._distance if self._distance > 0.0 else 0.0


def driving_score(completion: float, events: Mapping[Event, int], off_lane: float) -> float:
    """Leaderboard 1.0/2.0 score, 0..100: completion x prod(penalty ^ count) x (1 - share driven off the lane)."""
    penalty = math.prod(factor ** events.get(kind, 0) for kind, factor in PENALTY_20.items())
    return 100.0 * completion * penalty * (1.0 - off_lane)


def driving_score_21(completion: float, events: Mapping[Event, int], off_lane: float) -> float:
    """Leaderboard 2.1 score, 0..100: completion x (1 - off-lane share) / (1 + sum(coefficient x count))."""
    charged = sum(factor * events.get(kind, 0) for kind, factor in PENALTY_21.items())
    return 100.0 * completion * (1.0 - off_lane) / (1.0 + charged)


@dataclass(frozen=True, slots=True)
class Summary:
    """Estimate with its 95 % interval over `n` episodes; the interval is None where one episode cannot give one."""

    mean: float
    low: float | None
    high: float | None
    n: int


def summarise(episodes: Sequence[Mapping[str, float | int | str | None]], seed: int = 0) -> dict[str, Summary]:
    """Summary of every metric over `EpisodeMetrics.result` dicts.

    Proportions get Wilson's interval, means Student's t over the episodes that have the metric, events per kilometre
    the pooled ratio with a seeded percentile bootstrap over episodes. A metric that no episode has is left out.

    Raises:
      ValueError: no episodes.
    """
    if not episodes:
        raise ValueError("A summary needs at least one episode.")
    summary: dict[str, Summary] = {}
    for name in PROPORTIONS:
        summary[name] = wilson(sum(_number(e[name]) for e in episodes), len(episodes))
    for name in MEANS:
        values = [_number(e[name]) for e in episodes if e.get(name) is not None]
        if values:
            summary[name] = student(values, *bounds(name))
    for name, count in RATES.items():
        pairs = [(_number(e[count]), _number(e["distance_km"])) for e in episodes]
        if sum(km for _, km in pairs) > 0.0:
            summary[name] = pooled_rate(pairs, seed)
    return summary


def wilson(successes: float, n: int) -> Summary:
    """Wilson's score interval of a proportion (Wilson 1927), honest at 0, at 1 and for few episodes."""
    z = NormalDist().inv_cdf(0.975)
    p = successes / n
    scale = 1.0 / (1.0 + z * z / n)
    centre = scale * (p + z * z / (2 * n))
    half = scale * z * math.sqrt(p * (1.0 - p) / n + z * z / (4 * n * n))
    # The exact interval holds p, and ends at it for p of 0 and 1; rounding alone would leave a gap.
    return Summary(mean=p, low=min(p, max(0.0, centre - half)), high=max(p, min(1.0, centre + half)), n=n)


def bounds(name: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have."""
    least = -math.inf if name == "return" else 0.0
    return least, 1.0 if name in _SHARES else 100.0 if name in _SCORES else math.inf


def student(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Summary:
    """Mean with Student's t interval, cut to the values that there can be: Student's t knows nothing of them."""
    mean, n = fmean(values), len(values)
    if n == 1:
        return Summary(mean=mean, low=None, high=None, n=1)
    half = t_quantile(n - 1) * stdev(values) / math.sqrt(n)
    return Summary(mean=mean, low=max(mean - half, least), high=min(mean + half, most), n=n)


def pooled_rate(pairs: Sequence[tuple[float, float]], seed: int, resamples: int = 2000) -> Summary:
    """sum(count) / sum(exposure) over (count, exposure) pairs, with a percentile bootstrap over the pairs."""
    n = len(pairs)
    rate = sum(count for count, _ in pairs) / sum(km for _, km in pairs)
    if n == 1:
        return Summary(mean=rate, low=None, high=None, n=1)
    rng = random.Random(seed)
    rates = []
    for _ in range(resamples):
        drawn = rng.choices(pairs, k=n)
        exposure = sum(km for _, km in drawn)
        if exposure > 0.0:
            rates.append(sum(count for count, _ in drawn) / exposure)
    rates.sort()
    return Summary(mean=rate, low=rates[int(0.025 * len(rates))], high=rates[int(0.975 * (len(rates) - 1))], n=n)


# 97.5 % quantiles for 1..10 degrees of freedom; beyond, the expansion below is exact to three digits.
_T_TABLE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t (Abramowitz & Stegun 26.7.5 beyond ten degrees of freedom)."""
    if degrees <= len(_T_TABLE):
        return _T_TABLE[degrees - 1]
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def _number(value: float | int | str | None) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    raise ValueError(f"A metric must be a number to be summarised, not {value!r}.")
