"""The five-term reward, balanced so that no way of not driving pays.

Earnings. Everything earned is earned by metres along the route: `credit` = signed advance, capped at what the legal
speed allows in the decision. Of each metre at the legal speed on the lane's centre, 0.4 is progress, 0.4 efficiency
and 0.2 lane keeping, in all 1. So driving at 8.33 m/s earns 0.833 in a decision of 0.1 s, 16.7 discounted for ever
(gamma 0.95), and a metre backwards costs what a metre forwards earns.

Values instead of costs. With gamma = 0.95 a decision, a cost of c for ever is worth -20 c: a parked car at -0.2 a
decision is worth -4. That number, not c, decides whether the policy parks, so the config holds discounted values and
the per-decision numbers follow from gamma and the duration of a decision (see RewardBasis):
  parked for ever     -4    (-0.2 a decision)
  crash, off route    -10, down to -13 at the limit: 1.6 s of driving at the limit, 3 s of driving through a bend
  goal                1.2 x driving at the limit for ever (20): the goal ends the episode, and an end must never be
                      worth less than going on, or the policy dawdles in front of it.
At 20 Hz with gamma 0.99, as in configs/town01_of_record.py, driving at the limit for ever is worth 41.7, and a crash
ahead is discounted slower (0.99^30 = 0.74 for that of inequality 1, not 0.95^15 = 0.46), so there parking is worth -10
and a crash -15 to -18. The inequalities, with the numbers of the defaults, hold for both.

The inequalities behind these numbers, g = 0.95^T for an event T decisions ahead (test_reward.py checks each):
  1. crash < parked. Turning off the road at full throttle from rest takes about 15 decisions to get 2.5 m away, hits
     at 6 m/s and makes 1.2 m: -12.2 g + 1.2 = -4.4 < -4. (A crash at -8 would be worth -3.5, more than parking.)
  2. parked < a brave try. Through a bend at 4 m/s, 0.4 a decision is worth 8 (1 - g) - 11.4 g when it ends in a crash;
     that exceeds -4 from T = 10 decisions, 4 m, on. The gap between crash and parked is the price of courage, kept as
     small as 1 allows: where parking was -5 and a crash -10 with gamma 0.99, a policy stopped before the turn for good.
  3. crash < parked over whole episodes, undiscounted. 50 s of -0.2 would be -100, and no cost can be large enough for
     2 yet add up to less than a crash. So termination.py truncates a car that gains less than 3 m in 3 s: 30 x -0.2 =
     -6 > -10, and as truncation bootstraps, the discounted value stays -4. `check_ordering` ties the two configs.
  4. parked < creeping < nothing. The standing cost fades linearly up to 1 m/s: 2 cm a decision (0.2 m/s) costs 0.160
     and earns 0.012, a net loss, but less of it than standing.
  5. slow < fast. Efficiency is 0.4 v / v_legal a metre, so speed pays even undiscounted, where the metres are the same.
  6. legal > speeding. Credit is capped and efficiency falls by 4 x 0.4 per v_legal above v_legal, so each second and
     each metre above the legal speed earns less, also where speeding would end a slow bend sooner.
  7. Dirty driving stays driving. Comfort (to -0.05), a lane invasion (-0.35 instead of the lane's 0.2) and closing in
     on a vehicle (to -1) are charged per credited metre. Comfort and invasions together take no more than progress
     gives.
  8. red light run < waiting at red, however long it takes (with `EnvConfig.rules`). A run that went on would be worth
     16.7 of driving at once, and the wait of T decisions 16.7 g: no cost below 16.7 would hold for every T. So a run
     ends the episode, as an infraction does in CaRL (Jaeger et al. 2025), and costs what a crash at rest does: -10 < 0,
     which the wait costs. To stop in the middle of the road for good is worth -4, and to creep over the line -10.
  9. An action's change costs no more than the lane earns, so that a rough drive stays a drive.
  10. With the rules a person on the road or about to step on it is closed in on at the price of a vehicle. A person who
     is hit is a collision. Who stands without a reason, in the way of others, is parked.

A car that waits behind another (gap under `wait_gap_m`), or that the rules of the road hold up (right_of_way.py), pays
nothing for standing. Time limits carry no reward of
their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal

from envloop.errors import TaskError
from envloop.task.termination import Reason, TerminationConfig

# Loss of efficiency per legal speed above the legal speed. In a bend at 3.8 m/s, every second saved by speeding is
# worth 2.2 times what the bend itself pays; 1 + 0.4 x 4 outweighs that (inequality 6).
SPEEDING = 4.0

MOST_CHANGE = 4.0  # of an action: from one end to the other in both numbers

_POSITIVE = ("goal_factor", "creep_mps", "lane_half_m", "ttc_s", "min_gap_m", "wait_gap_m")

TERMS = ("efficiency", "lane", "comfort", "safety", "progress")


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Numbers of the reward; the module docstring derives them. Per-metre weights, discounted values, thresholds.

    Attributes:
      kind: "five_terms", or "progress": metres along the route and the goal, nothing else, to compare with.
      progress: earned per credited metre.
      efficiency: earned per credited metre at the legal speed, less of it at any other.
      lane: earned per credited metre on the centre line, less of it beside.
      invasion: cost per metre, in place of what the lane earns, in a decision that crosses a lane marking.
      comfort: cost per metre at a jerk of `jerk_max` or more; none up to `jerk_free`.
      action_change: cost per metre for each unit by which the action differs from the last one, both numbers added up.
        It is not saturated where jerk is: a policy that chatters jerks at twice `jerk_max`.
      proximity: cost per metre when about to hit the vehicle ahead.
      parked_value: discounted value of standing for ever.
      crash: cost of a collision or of leaving the route, at rest.
      crash_speed: so much more a crash costs at the speed limit, proportionally less below it.
      goal_factor: worth of the goal, in values of driving at the limit for ever.
      creep_mps: speed at which the standing cost has faded out, m/s.
      lane_half_m: lateral deviation at which the lane term is zero, m; at twice that it is as much below.
      jerk_free: jerk up to which comfort costs nothing, m/s^3.
      jerk_max: jerk from which comfort costs all, m/s^3.
      ttc_s: time to collision below which closing in is charged, s.
      headway_s: a gap below `min_gap_m` + `headway_s` * speed is charged too, s.
      min_gap_m: see `headway_s`, m.
      wait_gap_m: a car standing this close behind another, m, is waiting, not parked. At 8 m one that stopped 9 m
        behind a queue was "blocked".

    Raises:
      TaskError: a value is not allowed, or the values break the order of the module docstring.
    """

    kind: Literal["five_terms", "progress"] = "five_terms"
    progress: float = 0.4
    efficiency: float = 0.4
    lane: float = 0.2
    invasion: float = 0.35
    comfort: float = 0.05
    action_change: float = field(default=0.0, metadata={"before": 0.0})
    proximity: float = 1.0
    parked_value: float = -4.0
    crash: float = 10.0
    crash_speed: float = 3.0
    goal_factor: float = 1.2
    creep_mps: float = 1.0
    lane_half_m: float = 1.25
    jerk_free: float = 5.0
    jerk_max: float = 20.0
    ttc_s: float = 3.0
    headway_s: float = 0.5
    min_gap_m: float = 2.0
    wait_gap_m: float = 15.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise TaskError(f"reward.kind is {self.kind!r}; choose one of {', '.join(_KINDS)}.")
        if self.parked_value >= 0.0 or self.crash <= -self.parked_value:
            raise TaskError(
                f"reward.crash is {self.crash:g} and reward.parked_value {self.parked_value:g}; a crash must cost more "
                "than parking is worth, and parking be worth less than nothing."
            )
        if self.invasion + self.comfort > self.progress:
            raise TaskError(
                f"reward.invasion + reward.comfort is {self.invasion + self.comfort:g} and reward.progress "
                f"{self.progress:g}; it must not be exceeded, or driving badly is worse than standing."
            )
        if not 0.0 <= MOST_CHANGE * self.action_change <= self.lane:
            raise TaskError(
                f"reward.action_change is {self.action_change:g} and reward.lane {self.lane:g}; {MOST_CHANGE:g} times "
                "the first must not exceed the second, or the smoothest way to drive is to stand."
            )
        if self.jerk_max <= self.jerk_free:
            raise TaskError(
                f"reward.jerk_max is {self.jerk_max:g}; it must exceed reward.jerk_free, {self.jerk_free:g}."
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0.0:
                raise TaskError(f"reward.{name} is {getattr(self, name):g}; it must be positive.")


@dataclass(frozen=True, slots=True)
class RewardBasis:
    """What the reward's numbers rest on; it follows from other settings and is set nowhere itself.

    Attributes:
      discount: gamma per decision of the learner, 0 <= gamma < 1; turns values into per-decision numbers.
      decision_s: simulated duration of a full decision, s.
      limit_mps: speed limit, m/s.
    """

    discount: float
    decision_s: float
    limit_mps: float


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is known about one decision (one or more ticks).

    Attributes:
      advance_m: arc length at the end minus arc length at the beginning, m, signed.
      dt_s: simulated duration of the decision, s.
      speed_mps: ground speed at the end, m/s.
      legal_mps: legal speed where the decision began, m/s (route.SpeedProfile).
      lateral_m: signed distance from the route at the end, m.
      jerk: magnitude of the change of acceleration per second, mean over the decision, m/s^3.
      lane_invasion: whether a lane marking was crossed in this decision.
      gap_m: free distance to the vehicle ahead on the route, m; inf if none; by the rules, also to a person.
      ttc_s: time to collision with it, s; inf if it is not being approached.
      action_change: |change of steer| + |change of accel| since the last decision.
      held: whether it stands where the rules of the road make it wait.
      reason: why the episode ends with this decision, or None.
    """

    advance_m: float
    dt_s: float
    speed_mps: float
    legal_mps: float
    lateral_m: float = 0.0
    jerk: float = 0.0
    lane_invasion: bool = False
    gap_m: float = inf
    ttc_s: float = inf
    action_change: float = 0.0
    held: bool = False
    reason: Reason | None = None


def reward_terms(facts: StepFacts, config: RewardConfig, basis: RewardBasis) -> dict[str, float]:
    """The five named terms of one decision; their sum is the reward. The kind "progress" has zeros for four of them.

    Raises:
      ValueError: a fact is not a number, or the decision has no duration.
    """
    numbers = (facts.advance_m, facts.speed_mps, facts.lateral_m, facts.jerk)
    if not (all(map(isfinite, numbers)) and facts.dt_s > 0.0 and facts.legal_mps > 0.0):
        raise ValueError(f"The reward needs finite facts, a positive duration and a positive legal speed: {facts}.")
    return _KINDS[config.kind](facts, config, basis)


def is_waiting(gap_m: float, config: RewardConfig) -> bool:
    """Whether a car with `gap_m` free in front of it may stand without being charged."""
    return gap_m <= config.wait_gap_m


def goal_value(config: RewardConfig, basis: RewardBasis) -> float:
    """Worth of the goal: `goal_factor` times what driving at the limit for ever is worth, discounted per decision."""
    per_metre = config.progress + config.efficiency + config.lane
    return config.goal_factor * per_metre * basis.limit_mps * basis.decision_s / (1.0 - basis.discount)


def check_ordering(reward: RewardConfig, termination: TerminationConfig, basis: RewardBasis) -> None:
    """Inequality 3 of the module docstring: a whole parked episode must cost less than a crash.

    Raises:
      TaskError: parking until truncated costs more than a crash, so a policy would rather crash.
    """
    if reward.kind != "five_terms" or termination.blocked_s == 0.0:
        return
    parked = reward.parked_value * (1.0 - basis.discount) * termination.blocked_s / basis.decision_s
    if -parked >= reward.crash:
        raise TaskError(
            f"reward.crash is {reward.crash:g}, but an episode parked until termination.blocked_s "
            f"({termination.blocked_s:g} s) costs {-parked:.1f} with a discount of {basis.discount:g} per decision of "
            f"{basis.decision_s:g} s, so crashing would pay; raise reward.crash or the discount, or lower "
            "termination.blocked_s."
        )


def _five_terms(facts: StepFacts, config: RewardConfig, basis: RewardBasis) -> dict[str, float]:
    credit = _credit(facts)
    return {
        "efficiency": _efficiency(facts, config, basis, credit),
        "lane": _lane(facts, config, credit),
        "comfort": _comfort(facts, config, credit),
        "safety": _safety(facts, config, basis, credit),
        "progress": config.progress * credit + _goal(facts, config, basis),
    }


def _progress_only(facts: StepFacts, config: RewardConfig, basis: RewardBasis) -> dict[str, float]:
    return {**dict.fromkeys(TERMS, 0.0), "progress": _credit(facts) + _goal(facts, config, basis)}


_KINDS: dict[str, Callable[[StepFacts, RewardConfig, RewardBasis], dict[str, float]]] = {
    "five_terms": _five_terms,
    "progress": _progress_only,
}


def _credit(facts: StepFacts) -> float:
    """Metres that count: at most what the legal speed allows; backwards in full, so that to and fro earns nothing."""
    return min(facts.advance_m, facts.legal_mps * facts.dt_s)


def _efficiency(facts: StepFacts, config: RewardConfig, basis: RewardBasis, credit: float) -> float:
    """Paid by speed along the route relative to the legal speed; charged for standing still and for speeding."""
    if credit <= 0.0:
        return config.efficiency * credit + _standing(facts, config, basis, 0.0)
    along = facts.advance_m / facts.dt_s
    share = min(along / facts.legal_mps, 1.0)
    excess = max(facts.speed_mps / facts.legal_mps - 1.0, 0.0)
    return config.efficiency * credit * max(share - SPEEDING * excess, -1.5) + _standing(facts, config, basis, along)


def _standing(facts: StepFacts, config: RewardConfig, basis: RewardBasis, along_mps: float) -> float:
    if facts.held or is_waiting(facts.gap_m, config):
        return 0.0
    return config.parked_value * (1.0 - basis.discount) * max(0.0, 1.0 - along_mps / config.creep_mps)


def _lane(facts: StepFacts, config: RewardConfig, credit: float) -> float:
    if credit <= 0.0:
        return config.lane * credit
    if facts.lane_invasion:
        return -config.invasion * credit
    return config.lane * credit * max(-1.0, 1.0 - abs(facts.lateral_m) / config.lane_half_m)


def _comfort(facts: StepFacts, config: RewardConfig, credit: float) -> float:
    roughness = (facts.jerk - config.jerk_free) / (config.jerk_max - config.jerk_free)
    cost = config.comfort * min(max(roughness, 0.0), 1.0) + config.action_change * facts.action_change
    return -max(credit, 0.0) * cost


def _safety(facts: StepFacts, config: RewardConfig, basis: RewardBasis, credit: float) -> float:
    """Charged for closing in on the vehicle ahead, per metre, and for a collision or leaving the route, once."""
    if facts.reason == "red_light":
        return -config.crash
    if facts.reason in ("collision", "off_route"):
        # After the impact the car stands; what it advanced in this decision tells how fast it came.
        impact_mps = max(facts.speed_mps, facts.advance_m / facts.dt_s)
        return -config.crash - config.crash_speed * min(impact_mps / basis.limit_mps, 1.0)
    safe_gap = config.min_gap_m + config.headway_s * facts.speed_mps
    risk = max(1.0 - facts.ttc_s / config.ttc_s, 1.0 - facts.gap_m / safe_gap, 0.0)
    return -config.proximity * max(credit, 0.0) * risk


def _goal(facts: StepFacts, config: RewardConfig, basis: RewardBasis) -> float:
    return goal_value(config, basis) if facts.reason == "route_done" else 0.0
