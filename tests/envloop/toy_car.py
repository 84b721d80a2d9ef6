"""A kinematic car on a route, and drivers good and bad: enough of a world to judge rewards without a simulator."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from settings_of_record import BASIS, REWARD, TERMINATION, TICK_S

from envloop.baselines.route_follower import RouteFollower
from envloop.task.metrics import EpisodeMetrics, TickFacts, jerk
from envloop.task.observation import EgoState, heading_error_deg
from envloop.task.reward import RewardBasis, RewardConfig, StepFacts, reward_terms
from envloop.task.route import Projection, Route, SpeedProfile
from envloop.task.termination import BlockedTimer, Outcome, TerminationConfig, outcome

THROTTLE, BRAKE, ROLLING = 4.2, 7.5, 0.3  # m/s^2: 0-30 km/h in 2 s, a Model 3's brakes, a gentle roll-out
WHEELBASE_M, MAX_STEER_RAD, STEER_LAG_S = 3.0, math.radians(70.0), 0.1


@dataclass
class ToyCar:
    """A bicycle model at its rear axle's kinematics, with steering lag; CARLA's frame."""

    x: float
    y: float
    yaw_rad: float
    speed: float = 0.0
    steer_rad: float = 0.0
    ax: float = 0.0
    ay: float = 0.0

    def step(self, steer: float, accel: float, dt: float = TICK_S) -> None:
        vx, vy = self.speed * math.cos(self.yaw_rad), self.speed * math.sin(self.yaw_rad)
        self.steer_rad += (steer * MAX_STEER_RAD - self.steer_rad) * min(1.0, dt / STEER_LAG_S)
        push = THROTTLE * accel if accel > 0.0 else BRAKE * accel
        self.speed = max(0.0, self.speed + (push - ROLLING) * dt)
        self.yaw_rad += self.speed / WHEELBASE_M * math.tan(self.steer_rad) * dt
        new_vx, new_vy = self.speed * math.cos(self.yaw_rad), self.speed * math.sin(self.yaw_rad)
        self.x += new_vx * dt
        self.y += new_vy * dt
        self.ax, self.ay = (new_vx - vx) / dt, (new_vy - vy) / dt

    def ego(self) -> EgoState:
        return EgoState(
            x=self.x,
            y=self.y,
            yaw_deg=math.degrees(self.yaw_rad),
            vx=self.speed * math.cos(self.yaw_rad),
            vy=self.speed * math.sin(self.yaw_rad),
            ax=self.ax,
            ay=self.ay,
        )


@dataclass(frozen=True)
class View:
    """What a scripted driver may look at."""

    ego: EgoState
    route: Route
    projection: Projection
    legal_mps: float
    elapsed_s: float


Driver = Callable[[View], tuple[float, float]]


def follower(speed_of: Callable[[View], float]) -> Driver:
    """Keeps to the route at the speed that `speed_of` names."""
    pilot = RouteFollower()

    def drive(view: View) -> tuple[float, float]:
        steer, accel = pilot.act(view.ego, view.route, view.projection, speed_of(view), TICK_S)
        return float(steer), float(accel)

    return drive


def parked(_: View) -> tuple[float, float]:
    return 0.0, -1.0


def crash(_: View) -> tuple[float, float]:
    """Turns off the road to the left, away from the bend, at full throttle."""
    return -0.6, 1.0


def crawl(mps: float) -> Driver:
    """Exactly `mps` at most, without the follower's overshoot."""
    steer_of = follower(lambda _: mps)

    def drive(view: View) -> tuple[float, float]:
        push = (mps - view.ego.speed_mps) / TICK_S + ROLLING
        return steer_of(view)[0], max(-1.0, min(1.0, push / THROTTLE))

    return drive


def slow() -> Driver:
    return follower(lambda view: min(3.0, view.legal_mps))


def fast() -> Driver:
    return follower(lambda view: view.legal_mps)


def speeding(factor: float) -> Driver:
    return follower(lambda view: factor * view.legal_mps)


@dataclass
class Drive:
    """A driven episode: one reward (and its terms) a decision."""

    rewards: list[float]
    terms: list[dict[str, float]]
    end: Outcome
    metrics: dict[str, float | int | str | None]
    path: list[tuple[float, float]]
    laterals: list[float]

    def discounted(self, gamma: float = 0.99) -> float:
        total = 0.0
        for reward in reversed(self.rewards):
            total = reward + gamma * total
        return total


def drive(
    driver: Driver,
    route: Route,
    *,
    start_s: float = 0.0,
    start_mps: float = 0.0,
    reward: RewardConfig = REWARD,
    basis: RewardBasis = BASIS,
    termination: TerminationConfig = TERMINATION,
    limit_s: float = 50.0,
    repeat: int = 1,
) -> Drive:
    """One episode of `driver`, ended by `termination`'s rules and `limit_s`."""
    x, y, _ = route.point_at(start_s)
    car = ToyCar(x, y, math.radians(route.heading_at(start_s)), start_mps)
    profile, timer = SpeedProfile(route), BlockedTimer(termination, start_s)
    metrics = EpisodeMetrics(route.length, start_s)
    projection, elapsed, end = route.project(x, y), 0.0, Outcome()
    result = Drive([], [], end, {}, [], [])
    while not end.ended:
        before_s, roughness, ticks = projection.s, 0.0, 0
        while ticks < repeat and not end.ended:
            last = car.ego()
            car.step(*driver(View(last, route, projection, profile.at(projection.s), elapsed)))
            ego, elapsed, ticks = car.ego(), elapsed + TICK_S, ticks + 1
            projection = route.project(car.x, car.y, projection.s)
            roughness += jerk(last, ego, TICK_S)
            end = outcome(
                remaining_m=route.length - projection.s,
                lateral_m=projection.lateral,
                collided=False,
                elapsed_s=elapsed,
                limit_s=limit_s,
                blocked_s=timer.update(projection.s, TICK_S),
                config=termination,
            )
            metrics.update(
                TickFacts(
                    TICK_S,
                    projection.s,
                    car.speed,
                    projection.lateral,
                    heading_error_deg(ego, projection),
                    jerk(last, ego, TICK_S),
                    ego.lateral_accel,
                )
            )
            result.path.append((car.x, car.y))
            result.laterals.append(projection.lateral)
        facts = StepFacts(
            advance_m=projection.s - before_s,
            dt_s=ticks * TICK_S,
            speed_mps=car.speed,
            legal_mps=profile.at(before_s),
            lateral_m=projection.lateral,
            jerk=roughness / ticks,
            reason=end.reason,
        )
        terms = reward_terms(facts, reward, basis)
        result.terms.append(terms)
        result.rewards.append(sum(terms.values()))
    result.end = end
    result.metrics = metrics.result(end)
    return result
