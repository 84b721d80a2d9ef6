"""The ordering of the reward: crash < parked < creeping < slow < fast < done, in whole episodes and discounted."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
from settings_of_record import BASIS, REWARD, TERMINATION, TICK_S, of_record
from toy_car import Drive, Driver, crash, crawl, drive, fast, follower, parked, slow, speeding

from envloop.config import EnvConfig
from envloop.errors import TaskError
from envloop.task.reward import (
    TERMS,
    RewardBasis,
    RewardConfig,
    StepFacts,
    check_ordering,
    goal_value,
    is_waiting,
    reward_terms,
)
from envloop.task.route import ROUTE_0, Route, SpeedProfile
from envloop.task.termination import TerminationConfig

LIMIT = BASIS.limit_mps
CRUISE = StepFacts(advance_m=LIMIT * TICK_S, dt_s=TICK_S, speed_mps=LIMIT, legal_mps=LIMIT)
NEVER_BLOCKED = TerminationConfig(blocked_s=0.0)
SPACING = ROUTE_0.length / (len(ROUTE_0.points) - 1)
# Route 0, point for point, without a goal within reach: who drives here drives for ever.
ENDLESS = Route([*ROUTE_0.points[:, :2], (92.34, 86.73 - 1000 * SPACING)], SPACING)
# Along the straight, then closely through the run-up, the turn and the way out.
POINTS = [*np.arange(0.0, 200.0, 16.0).tolist(), *np.arange(206.0, 230.0, 2.5).tolist(), 240.0]


@dataclass(frozen=True)
class Setting:
    """What a configuration says about worth: the reward, what it rests on, and when an episode ends."""

    reward: RewardConfig
    basis: RewardBasis
    termination: TerminationConfig
    repeat: int

    def value(self, driver: Driver, s: float, mps: float, *, route: Route = ENDLESS) -> float:
        """Discounted return from `s`, as a learner that bootstraps through truncations sees it."""
        episode = drive(
            driver,
            route,
            start_s=s,
            start_mps=mps,
            reward=self.reward,
            basis=self.basis,
            termination=NEVER_BLOCKED,
            limit_s=40.0 * self.repeat,
            repeat=self.repeat,
        )
        return episode.discounted(self.basis.discount)

    def drive(self, driver: Driver) -> Drive:
        """A whole episode on route 0."""
        return drive(
            driver,
            ROUTE_0,
            reward=self.reward,
            basis=self.basis,
            termination=self.termination,
            repeat=self.repeat,
        )


def setting_of(env: EnvConfig) -> Setting:
    return Setting(env.reward, env.reward_basis, env.termination, env.action_repeat)


OF_RECORD = setting_of(of_record())
SETTINGS = {"default": setting_of(EnvConfig()), "of record": OF_RECORD}
for_each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def terms_of(facts: StepFacts, config: RewardConfig = REWARD, basis: RewardBasis = BASIS) -> dict[str, float]:
    return reward_terms(facts, config, basis)


def total(facts: StepFacts, config: RewardConfig = REWARD, basis: RewardBasis = BASIS) -> float:
    return sum(reward_terms(facts, config, basis).values())


def assert_rising(values: dict[str, float]) -> None:
    for (low, low_value), (high, high_value) in pairwise(values.items()):
        # Far from the goal a fast driver and one who will get there differ by their distant future only.
        margin = 0.0 if high == "done" else 0.1
        assert low_value < high_value - margin, f"{low} {low_value:.2f} is not worth less than {high} {high_value:.2f}"


# --- the ordering ---------------------------------------------------------------------------------------------------


@for_each_setting
def test_whole_episodes_are_ordered(setting):
    stops_short = follower(lambda view: view.legal_mps if view.projection.s < 230.0 else 0.0)
    drivers = {"crash": crash, "parked": parked, "creeping": crawl(0.2), "slow": slow(), "fast": stops_short}
    episodes = {name: setting.drive(driver) for name, driver in (drivers | {"done": fast()}).items()}
    assert [episode.end.reason for episode in episodes.values()] == [
        "off_route",
        "blocked",
        "blocked",
        "time_limit",
        "blocked",
        "route_done",
    ]
    assert_rising({name: sum(episode.rewards) for name, episode in episodes.items()})


def assert_ordered_from(s: float, mps: float, setting: Setting) -> None:
    drivers = {"crash": crash, "parked": parked, "creeping": crawl(0.2), "slow": slow(), "fast": fast()}
    values = {name: setting.value(driver, s, mps) for name, driver in drivers.items()}
    assert_rising(values | {"done": setting.value(fast(), s, mps, route=ROUTE_0)})


@pytest.mark.parametrize("rolling", [False, True], ids=["from rest", "at the legal speed"])
@pytest.mark.parametrize("s", POINTS)
@for_each_setting
def test_discounted_returns_are_ordered_from_everywhere(setting, s, rolling):
    assert_ordered_from(s, SpeedProfile(ROUTE_0).at(s) if rolling else 0.0, setting)


@pytest.mark.parametrize("repeat", [2, 4])
@pytest.mark.parametrize("s", [0.0, 216.0, 224.0])
def test_the_ordering_of_record_holds_under_action_repeat(s, repeat):
    setting = replace(OF_RECORD, repeat=repeat, basis=replace(BASIS, decision_s=repeat * TICK_S))
    assert_ordered_from(s, 0.0, setting)
    episodes = [setting.drive(driver) for driver in (crash, parked, crawl(0.2), slow())]
    assert_rising({str(i): sum(episode.rewards) for i, episode in enumerate(episodes)})


@pytest.mark.parametrize("gamma", [0.98, 0.99, 0.997])
def test_parking_is_worth_the_configured_value_at_any_discount(gamma):
    basis = replace(BASIS, discount=gamma)
    standing = total(StepFacts(advance_m=0.0, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT), basis=basis)
    assert standing / (1.0 - gamma) == pytest.approx(REWARD.parked_value)


def brave(metres: float) -> Driver:
    """Keeps to the route for some metres from s = 214, then turns off it."""
    pilot = fast()

    def act(view):
        return pilot(view) if view.projection.s < 214.0 + metres else crash(view)

    return act


@for_each_setting
def test_a_brave_try_at_the_turn_is_better_than_parking_before_it(setting):
    # Where parking for ever beat a late crash, a policy stopped before the turn and stayed.
    waited = setting.value(parked, 214.0, 0.0)
    assert setting.value(crash, 214.0, 0.0) < waited
    assert setting.value(brave(5.0), 214.0, 0.0) > waited
    assert setting.value(brave(10.0), 214.0, 0.0) > setting.value(brave(5.0), 214.0, 0.0)


@for_each_setting
def test_an_early_crash_is_worse_than_a_late_one_in_a_whole_episode(setting):
    early, late = setting.drive(crash), setting.drive(brave(0.0))
    assert sum(early.rewards) < sum(late.rewards)


@pytest.mark.parametrize("factor", [1.1, 1.3, 1.6])
@pytest.mark.parametrize("s", [0.0, 120.0, 190.0, 206.0, 214.0, 220.0, 223.0, 227.0, 235.0])
@for_each_setting
def test_speeding_does_not_pay(setting, factor, s):
    legal = SpeedProfile(ROUTE_0).at(s)
    assert setting.value(speeding(factor), s, legal) < setting.value(fast(), s, legal)


@for_each_setting
def test_speeding_does_not_pay_over_a_whole_episode(setting):
    assert sum(setting.drive(speeding(1.1)).rewards) < sum(setting.drive(fast()).rewards)


@for_each_setting
def test_slowness_costs_even_where_every_metre_is_driven(setting):
    calm = setting.drive(speeding(0.75))
    assert calm.end.reason == "route_done"
    assert sum(calm.rewards) < sum(setting.drive(fast()).rewards)


# --- no term without metres -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("advance", [0.0, -0.01, -0.4])
@pytest.mark.parametrize("kind", ["five_terms", "progress"])
def test_no_term_is_earned_without_metres(advance, kind):
    config = RewardConfig(kind=kind)
    for facts in (
        StepFacts(advance_m=advance, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT),
        StepFacts(advance_m=advance, dt_s=TICK_S, speed_mps=LIMIT, legal_mps=LIMIT, jerk=0.0),
        StepFacts(advance_m=advance, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT, gap_m=1.0),
    ):
        assert all(term <= 0.0 for term in terms_of(facts, config).values())


def test_creeping_a_centimetre_a_step_earns_nothing_net():
    # The original paid a bonus for every such step.
    assert -0.1 < total(StepFacts(advance_m=0.01, dt_s=TICK_S, speed_mps=0.2, legal_mps=LIMIT)) < 0.0


def test_to_and_fro_loses():
    forth = total(CRUISE)
    back = total(replace(CRUISE, advance_m=-CRUISE.advance_m))
    assert forth + back < 0.0


def test_a_jump_along_the_route_pays_no_more_than_the_legal_speed():
    assert total(replace(CRUISE, advance_m=30.0)) <= total(CRUISE)


def test_driving_at_the_legal_speed_on_the_centre_earns_one_a_metre():
    terms = terms_of(CRUISE)
    assert sum(terms.values()) == pytest.approx(LIMIT * TICK_S)
    assert tuple(terms) == TERMS
    in_the_bend = StepFacts(advance_m=3.8 * TICK_S, dt_s=TICK_S, speed_mps=3.8, legal_mps=3.8)
    assert total(in_the_bend) == pytest.approx(3.8 * TICK_S)


# --- single terms -----------------------------------------------------------------------------------------------------


@for_each_setting
def test_a_crash_costs_a_few_seconds_of_driving(setting):
    crashed = -total(replace(CRUISE, reason="collision"), setting.reward, setting.basis)
    a_second = total(CRUISE, setting.reward, setting.basis) / TICK_S
    assert 1.5 * a_second < crashed < 5.0 * a_second


def test_leaving_the_route_counts_like_a_crash():
    assert terms_of(replace(CRUISE, reason="off_route")) == terms_of(replace(CRUISE, reason="collision"))


def test_a_faster_crash_costs_more_although_the_car_stands_after_it():
    slow_hit = StepFacts(advance_m=0.05, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT, reason="collision")
    fast_hit = replace(slow_hit, advance_m=0.4)
    assert terms_of(fast_hit)["safety"] < terms_of(slow_hit)["safety"] < -REWARD.crash


@pytest.mark.parametrize("reason", ["time_limit", "blocked"])
def test_running_out_of_time_changes_nothing(reason):
    assert terms_of(replace(CRUISE, reason=reason)) == terms_of(CRUISE)


def test_the_goal_is_worth_more_than_driving_on_for_ever():
    for_ever = total(CRUISE) / (1.0 - BASIS.discount)
    assert total(replace(CRUISE, reason="route_done")) - total(CRUISE) == pytest.approx(1.2 * for_ever)
    # A decision that the goal cuts short is paid in full.
    cut = StepFacts(advance_m=0.4, dt_s=TICK_S, speed_mps=LIMIT, legal_mps=LIMIT, reason="route_done")
    repeated = replace(BASIS, decision_s=4 * TICK_S)
    longer, shorter = goal_value(REWARD, repeated), goal_value(REWARD, BASIS)
    assert terms_of(cut, basis=repeated)["progress"] > longer == pytest.approx(4 * shorter)


def test_lane_keeping_falls_with_the_deviation_to_both_sides():
    lane = [terms_of(replace(CRUISE, lateral_m=d))["lane"] for d in (0.0, 0.5, 1.25, 2.5)]
    assert lane == sorted(lane, reverse=True)
    assert lane[2] == pytest.approx(0.0)
    assert terms_of(replace(CRUISE, lateral_m=-0.5))["lane"] == lane[1]


def test_invading_a_lane_costs_that_decision_more_than_its_lane_term():
    terms = terms_of(replace(CRUISE, lane_invasion=True))
    assert terms["lane"] == pytest.approx(-0.35 * CRUISE.advance_m)


def test_jerk_costs_only_above_its_threshold_and_is_bounded():
    comfort = [terms_of(replace(CRUISE, jerk=j))["comfort"] for j in (0.0, 5.0, 12.0, 20.0, 1e4)]
    assert comfort[:2] == [0.0, 0.0]
    assert 0.0 > comfort[2] > comfort[3] == comfort[4]


def test_rough_driving_in_a_foreign_lane_is_still_better_than_standing():
    for mps in (0.1, 0.5, 2.0, LIMIT):
        rough = StepFacts(
            advance_m=mps * TICK_S, dt_s=TICK_S, speed_mps=mps, legal_mps=LIMIT, jerk=1e4, lane_invasion=True
        )
        assert total(rough) > total(StepFacts(advance_m=0.0, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT))


def test_closing_in_on_a_car_stops_paying():
    free, far = total(CRUISE), total(replace(CRUISE, gap_m=30.0, ttc_s=3.5))
    near, about_to_hit = total(replace(CRUISE, gap_m=12.0, ttc_s=1.5)), total(replace(CRUISE, gap_m=0.5, ttc_s=0.1))
    assert free == far > near > about_to_hit
    assert about_to_hit < 0.05


def test_waiting_behind_a_car_is_free_and_earns_nothing():
    waiting = StepFacts(advance_m=0.0, dt_s=TICK_S, speed_mps=0.0, legal_mps=LIMIT, gap_m=4.0)
    assert total(waiting) == 0.0
    assert is_waiting(4.0, REWARD)
    assert not is_waiting(inf, REWARD)


def test_progress_only_pays_metres_and_the_goal():
    config = RewardConfig(kind="progress")
    terms = terms_of(replace(CRUISE, lateral_m=2.0, jerk=50.0, reason="collision"), config)
    assert terms == {**dict.fromkeys(TERMS, 0.0), "progress": CRUISE.advance_m}
    assert total(replace(CRUISE, reason="route_done"), config) == pytest.approx(
        CRUISE.advance_m + goal_value(config, BASIS)
    )


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"advance_m": nan}, {"speed_mps": inf}, {"jerk": nan}, {"dt_s": 0.0}, {"legal_mps": 0.0}, {"lateral_m": nan}],
)
def test_facts_that_are_no_numbers_are_refused(change):
    with pytest.raises(ValueError, match="finite facts"):
        terms_of(replace(CRUISE, **change))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "sparse"}, "five_terms, progress"),
        ({"crash": 3.0}, "reward.crash is 3 and reward.parked_value -4; a crash must cost more"),
        ({"parked_value": 0.0}, "worth less than nothing"),
        ({"invasion": 0.5}, "worse than standing"),
        ({"jerk_max": 5.0}, "jerk_max"),
        ({"wait_gap_m": -1.0}, "positive"),
    ],
)
def test_a_config_that_breaks_the_ordering_is_refused(change, complaint):
    with pytest.raises(TaskError, match=complaint):
        RewardConfig(**change)


def test_a_parked_episode_may_not_cost_more_than_a_crash():
    check_ordering(REWARD, TERMINATION, BASIS)
    with pytest.raises(TaskError, match="crashing would pay"):
        check_ordering(REWARD, TerminationConfig(blocked_s=10.0), BASIS)
    check_ordering(RewardConfig(kind="progress"), TerminationConfig(blocked_s=10.0), BASIS)


@pytest.mark.parametrize("wait_decisions", [0, 1, 20, 100, 1000])
def test_to_wait_at_red_is_worth_more_than_to_run_it(wait_decisions: int):
    """Discounted and not, whatever comes after the wait, if it is worth anything."""
    run = sum(reward_terms(replace(CRUISE, reason="red_light"), REWARD, BASIS).values())
    wait = sum(reward_terms(replace(CRUISE, advance_m=0.0, speed_mps=0.0, held=True), REWARD, BASIS).values())
    assert wait == 0.0
    assert run < REWARD.parked_value < wait * wait_decisions
    assert run == pytest.approx(sum(reward_terms(CRUISE, REWARD, BASIS).values()) - REWARD.crash)


def test_a_change_of_action_costs_what_is_set_and_only_while_driving():
    config = replace(REWARD, action_change=0.05)
    costs = [
        -reward_terms(replace(CRUISE, action_change=change), config, BASIS)["comfort"] for change in (0.0, 1.0, 4.0)
    ]
    assert costs == pytest.approx([0.0, 0.05 * CRUISE.advance_m, 0.2 * CRUISE.advance_m])
    assert reward_terms(replace(CRUISE, advance_m=0.0, action_change=4.0), config, BASIS)["comfort"] == 0.0
    assert sum(reward_terms(replace(CRUISE, action_change=4.0, jerk=1e9), config, BASIS).values()) > 0.0


def test_a_change_of_action_must_not_cost_more_than_the_lane_earns():
    with pytest.raises(TaskError, match=r"action_change is 0\.06"):
        RewardConfig(action_change=0.06)
