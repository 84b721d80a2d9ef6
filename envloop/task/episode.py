"""Bookkeeping of one episode as plain data: where it starts, what each tick adds, what each decision is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envloop.config import EnvConfig, StartNoise
from envloop.seeding import EpisodeStream, generator
from envloop.task.commands import Turn
from envloop.task.lane_invasion import BoundingBox, RouteLane, over_marking
from envloop.task.metrics import EpisodeMetrics, Event, TickFacts, jerk
from envloop.task.observation import EgoState, heading_error_deg
from envloop.task.reward import StepFacts, is_waiting, reward_terms
from envloop.task.route import Lead, Projection, Route, SpeedProfile
from envloop.task.stop_signs import StopSigns
from envloop.task.termination import RUNNING, BlockedTimer, Outcome, outcome

_RUN_UP_M = 10.0  # a random start leaves at least this much to drive before the goal


@dataclass(frozen=True, slots=True)
class InitialState:
    """Where an episode begins: arc length (m), speed (m/s), offset to the right of the route (m) and of its tangent
    (degrees).
    """

    s: float
    speed_mps: float
    lateral_m: float = 0.0
    heading_deg: float = 0.0


NO_LEAD = Lead()
AT_REST = InitialState(s=0.0, speed_mps=0.0)


@dataclass(frozen=True, slots=True)
class RouteTask:
    """What every episode on one route shares; `name` is what brings it back as `EnvConfig.route`."""

    name: str
    route: Route
    profile: SpeedProfile
    limit_s: float
    lane: RouteLane
    turns: tuple[Turn, ...] = ()

    def is_off_lane(self, projection: Projection) -> bool:
        """Whether the car's centre is outside the route's lane."""
        return abs(projection.lateral) > self.lane.half_width_at(projection.s, self.route)


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the simulator showed after one tick.

    Attributes:
      collisions: blueprint id and actor id of what was hit.
      lead: the vehicle ahead on the route.
      off_road: the car's centre is outside every driving lane.
      at_light, at_red: the car stands in the zone in front of a traffic light; that light is red.
      person: the nearest person on the route or about to step on it, where the rules of the road count.
      held: the car stands, or nearly, where the rules of the road make it wait: for a light, a person, a vehicle. May
        be False where a near `lead` says so itself.
    """

    ego: EgoState
    collisions: tuple[tuple[str, int], ...] = ()
    lead: Lead = NO_LEAD
    off_road: bool = False
    at_light: bool = False
    at_red: bool = False
    held: bool = False
    person: Lead = NO_LEAD


def sample_initial_state(
    seed: int,
    route_task: RouteTask,
    goal_m: float,
    noise: StartNoise,
    *,
    random_fraction: float,
    bend_fraction: float = 0.0,
) -> InitialState:
    """Start drawn from `seed`: with `random_fraction` on the way, at any legal speed.

    That is anywhere on the route, or with `bend_fraction` in a bend or the run-up to one, where the route has any.
    Else it is the route's beginning, at rest, `noise` away from its first point.
    """
    rng = generator(seed, EpisodeStream.START)
    last_s = max(0.0, route_task.route.length - goal_m - _RUN_UP_M)
    if rng.random() < random_fraction:
        s = rng.uniform(0.0, last_s)
        slow = route_task.profile.slow_s
        if slow.size and slow[0] <= last_s and rng.random() < bend_fraction:
            s = float(rng.choice(slow[slow <= last_s]))
        return InitialState(s=s, speed_mps=rng.uniform(0.0, route_task.profile.at(s)))
    return InitialState(
        s=rng.uniform(0.0, min(noise.along_m, last_s)),
        speed_mps=0.0,
        lateral_m=rng.uniform(-noise.lateral_m, noise.lateral_m),
        heading_deg=rng.uniform(-noise.heading_deg, noise.heading_deg),
    )


class Episode:
    """One episode: `begin_decision`, `tick` once or more until it returns an end, `end_decision`; all of it pure."""

    def __init__(
        self,
        config: EnvConfig,
        route_task: RouteTask,
        box: BoundingBox,
        start: InitialState,
        ego: EgoState,
        stop_signs: Sequence[float] = (),
    ) -> None:
        """`stop_signs`: arc lengths of the lines in front of the route's stop signs, m, in order."""
        self._config = config
        self._route_task = route_task
        self._box = box
        self._dt = config.simulator.fixed_delta_s
        self._basis = config.reward_basis
        self.ego = ego
        # The first tick may have moved a launched car on, so the hint is the start and the search is local.
        self.projection: Projection = route_task.route.project(ego.x, ego.y, start.s)
        self.outcome: Outcome = RUNNING
        self.lead = NO_LEAD
        self._metrics = EpisodeMetrics(route_task.route.length, min(start.s, route_task.route.length - 1e-6))
        self._blocked = BlockedTimer(config.termination, self.projection.s)
        self._collided = False
        self._at_red = False
        self._stop_signs = StopSigns(stop_signs, self.projection.s + box.half_length_m)
        self._held = False
        self._ran_red = False
        self._nearest = NO_LEAD
        self._over_marking = over_marking(ego, self.projection, route_task.route, route_task.lane, box)
        self._ticks = 0
        self._pending: TickFacts | None = None
        self.begin_decision()

    def begin_decision(self, action_change: float = 0.0) -> None:
        """Marks where the next decision begins; see `StepFacts.action_change`."""
        self._action_change = action_change
        self._from = self.projection
        self._decision_ticks = 0
        self._jerk_sum = 0.0
        self._invaded = False

    def tick(self, measured: Measurements) -> Outcome:
        """Adds one tick; the state of the episode after it."""
        # A launched car's acceleration in its first tick is the launch's, not the driver's.
        rough = jerk(self.ego, measured.ego, self._dt) if self._ticks else 0.0
        self.ego, self.lead = measured.ego, measured.lead
        self.projection = self._route_task.route.project(measured.ego.x, measured.ego.y, self.projection.s)
        self._ticks += 1
        self._decision_ticks += 1
        self._jerk_sum += rough
        self._flush()
        self._count_events(measured)
        self._pending = self._facts(measured, rough)
        waiting = measured.held or is_waiting(measured.lead.gap_m, self._config.reward)
        self._held = measured.held
        self._nearest = min(measured.lead, measured.person, key=lambda lead: lead.gap_m)
        self.outcome = outcome(
            remaining_m=self._route_task.route.length - self.projection.s,
            lateral_m=self.projection.lateral,
            collided=self._collided,
            ran_red=self._ran_red and self._config.rules,
            elapsed_s=self._ticks * self._dt,
            limit_s=self._route_task.limit_s,
            blocked_s=self._blocked.update(self.projection.s, self._dt, waiting=waiting),
            config=self._config.termination,
        )
        return self.outcome

    def end_decision(self) -> dict[str, float]:
        """The reward's terms for the ticks since `begin_decision`."""
        terms = reward_terms(
            StepFacts(
                advance_m=self.projection.s - self._from.s,
                dt_s=self._decision_ticks * self._dt,
                speed_mps=self.ego.speed_mps,
                legal_mps=self._route_task.profile.at(self._from.s),
                lateral_m=self.projection.lateral,
                jerk=self._jerk_sum / self._decision_ticks,
                lane_invasion=self._invaded,
                gap_m=self._nearest.gap_m,
                ttc_s=self._nearest.time_to_collision_s,
                action_change=self._action_change,
                held=self._held,
                reason=self.outcome.reason,
            ),
            self._config.reward,
            self._basis,
        )
        self._flush(sum(terms.values()))
        return terms

    @property
    def stop_signs(self) -> tuple[float, ...]:
        """Arc lengths, m, of the lines ahead at which the car has yet to stop."""
        return self._stop_signs.due

    @property
    def route_completion(self) -> float:
        """Share of the route from the episode's start that has been reached, 0..1."""
        return self._metrics.route_completion

    def result(self) -> dict[str, Any]:
        """The finished episode: what was driven, and its metrics; plain values for JSON."""
        route_task = self._route_task
        driven = {"route": route_task.name, "route_m": route_task.route.length, "time_limit_s": route_task.limit_s}
        return {**driven, **self._metrics.result(self.outcome)}

    def _facts(self, measured: Measurements, rough: float) -> TickFacts:
        return TickFacts(
            dt_s=self._dt,
            s=self.projection.s,
            speed_mps=measured.ego.speed_mps,
            lateral_m=self.projection.lateral,
            heading_error_deg=heading_error_deg(measured.ego, self.projection),
            jerk=rough,
            lateral_accel=measured.ego.lateral_accel,
            ttc_s=measured.lead.time_to_collision_s,
            off_lane=self._route_task.is_off_lane(self.projection),
            off_road=measured.off_road,
        )

    def _flush(self, reward: float = 0.0) -> None:
        """Hands the last tick to the metrics; a decision's reward goes with its last tick."""
        if self._pending is not None:
            self._metrics.update(self._pending, reward)
            self._pending = None

    def _count_events(self, measured: Measurements) -> None:
        for type_id, actor_id in measured.collisions:
            self._metrics.event(collision_kind(type_id), actor_id)
            self._collided = True
        over = over_marking(measured.ego, self.projection, self._route_task.route, self._route_task.lane, self._box)
        if over and not self._over_marking:
            self._metrics.event("lane_invasion")
            self._invaded = True
        self._over_marking = over
        # Leaving the zone in front of a light that was red a tick ago, forwards, is driving through it.
        if self._at_red and not measured.at_light and measured.ego.speed_mps > 0.0:
            self._metrics.event("red_light")
            self._ran_red = True
        self._at_red = measured.at_red
        for _ in range(self._stop_signs.run(self.projection.s + self._box.half_length_m, measured.ego.speed_mps)):
            self._metrics.event("stop_sign")


def collision_kind(type_id: str) -> Event:
    """Which kind of collision it is to hit an actor of this blueprint id."""
    family = type_id.partition(".")[0]
    return "vehicle" if family == "vehicle" else "pedestrian" if family == "walker" else "static"


def ego_info(episode: Episode) -> dict[str, float]:
    """The ego for the info dict: world frame in m, deg, m/s; position along and across the route and gap ahead in m
    (inf where nothing is ahead)."""
    ego, projection, lead = episode.ego, episode.projection, episode.lead
    return {
        "x": ego.x,
        "y": ego.y,
        "z": ego.z,
        "yaw_deg": ego.yaw_deg,
        "speed_mps": ego.speed_mps,
        "s": projection.s,
        "lateral_m": projection.lateral,
        "heading_deg": projection.heading_deg,
        "gap_m": lead.gap_m,
    }
