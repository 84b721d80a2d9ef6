import json
import math
from dataclasses import replace

import numpy as np
import pytest
from toy_car import crash, drive, fast, parked

from envloop.task.metrics import (
    EpisodeMetrics,
    TickFacts,
    driving_score,
    driving_score_21,
    jerk,
    pooled_rate,
    student,
    summarise,
    t_quantile,
    wilson,
)
from envloop.task.observation import EgoState
from envloop.task.route import ROUTE_0
from envloop.task.termination import Outcome

DONE = Outcome(terminated=True, reason="route_done")
CRASHED = Outcome(terminated=True, reason="collision")
LATE = Outcome(truncated=True, reason="time_limit")


def cruise(metrics: EpisodeMetrics, start_s: float, metres: float, mps: float = 5.0, **facts) -> None:
    """Drive `metres` along the route at `mps` in ticks of 0.05 s."""
    for tick in range(1, round(metres / mps / 0.05) + 1):
        metrics.update(TickFacts(dt_s=0.05, s=start_s + tick * mps * 0.05, speed_mps=mps, **facts))


def test_a_finished_episode():
    metrics = EpisodeMetrics(route_length_m=203.0)
    cruise(metrics, 0.0, 200.0)
    result = metrics.result(DONE)
    expected = {
        "success": 1,
        "nocrash_success": 1,
        "reason": "route_done",
        "route_completion": 1.0,
        "distance_km": 0.2,
        "duration_s": 40.0,
        "completion_time_s": 40.0,
        "mean_speed_kmh": 18.0,
        "collisions": 0,
        "collisions_per_km": 0.0,
        "lane_invasions_per_km": 0.0,
        "min_ttc_s": None,
        "off_lane": 0.0,
        "driving_score": 100.0,
        "driving_score_21": 100.0,
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected)


def test_an_early_collision_stays_counted():
    # Counts are over the whole episode, not of its last step.
    metrics = EpisodeMetrics(203.0)
    cruise(metrics, 0.0, 50.0)
    metrics.event("vehicle", other_id=7)
    metrics.event("lane_invasion")
    cruise(metrics, 50.0, 150.0)
    result = metrics.result(DONE)
    assert result["vehicle_collisions"] == result["collisions"] == 1
    assert result["collisions_per_km"] == pytest.approx(5.0)
    assert result["vehicle_collisions_per_km"] == pytest.approx(5.0)
    assert result["static_collisions_per_km"] == 0.0
    assert result["lane_invasions_per_km"] == pytest.approx(5.0)
    assert result["success"] == result["nocrash_success"] == 0
    assert result["completion_time_s"] is None
    assert result["driving_score"] == pytest.approx(60.0)
    assert result["driving_score_21"] == pytest.approx(100.0 / 1.7)


def test_no_collision_is_not_success():
    # A car that stands still until the time is up hits nothing.
    metrics = EpisodeMetrics(200.0)
    cruise(metrics, 0.0, 50.0)
    result = metrics.result(LATE)
    assert result["collisions"] == 0
    assert result["success"] == 0
    assert result["completion_time_s"] is None
    assert result["route_completion"] == pytest.approx(0.25)
    assert result["driving_score"] == pytest.approx(25.0)


def test_one_contact_is_one_collision():
    metrics = EpisodeMetrics(200.0)
    assert metrics.event("vehicle", other_id=7)
    cruise(metrics, 0.0, 20.0)
    assert not metrics.event("vehicle", other_id=7)
    assert metrics.event("vehicle", other_id=8)
    cruise(metrics, 20.0, 50.0)
    assert metrics.event("vehicle", other_id=7)
    assert metrics.result(CRASHED)["vehicle_collisions"] == 3


def test_means_are_over_time_and_absolute():
    metrics = EpisodeMetrics(200.0)
    left = {"lateral_m": -1.0, "heading_error_deg": -10.0, "jerk": 2.0, "lateral_accel": -1.0, "ttc_s": 4.0}
    right = {"lateral_m": 0.5, "heading_error_deg": 4.0, "jerk": 6.0, "lateral_accel": 2.0, "ttc_s": 1.5}
    cruise(metrics, 0.0, 50.0, **left)
    cruise(metrics, 50.0, 50.0, **right)
    result = metrics.result(LATE)
    assert result["mean_lateral_error_m"] == pytest.approx(0.75)
    assert result["mean_heading_error_deg"] == pytest.approx(7.0)
    assert result["mean_jerk"] == pytest.approx(4.0)
    assert result["mean_lateral_accel"] == pytest.approx(1.5)
    assert result["min_ttc_s"] == 1.5


def test_off_lane_and_off_road_are_shares_of_the_distance():
    metrics = EpisodeMetrics(200.0)
    cruise(metrics, 0.0, 75.0)
    cruise(metrics, 75.0, 25.0, mps=2.5, off_lane=True)
    for _ in range(200):  # standing outside adds no distance
        metrics.update(TickFacts(dt_s=0.05, s=100.0, speed_mps=0.0, off_lane=True, off_road=True))
    result = metrics.result(LATE)
    assert result["off_lane"] == pytest.approx(0.25)
    assert result["off_road"] == 0.0
    assert result["driving_score"] == pytest.approx(50.0 * 0.75)


def test_completion_counts_from_the_start_and_does_not_fall():
    metrics = EpisodeMetrics(200.0, start_s=100.0)
    cruise(metrics, 100.0, 50.0)
    metrics.update(TickFacts(dt_s=0.05, s=120.0, speed_mps=0.0))
    assert metrics.route_completion == pytest.approx(0.5)


def test_nocrash_has_its_own_time_budget():
    metrics = EpisodeMetrics(20.0)  # 34.4 s
    cruise(metrics, 0.0, 20.0, mps=0.5)
    result = metrics.result(DONE)
    assert result["success"] == 1
    assert result["nocrash_success"] == 0


def test_an_episode_without_a_tick_has_no_rates():
    result = EpisodeMetrics(200.0).result(CRASHED)
    assert result["collisions_per_km"] is None
    assert result["mean_speed_kmh"] == 0.0


def test_returns_add_up():
    metrics = EpisodeMetrics(200.0)
    for reward in (1.0, -0.25, 0.5):
        metrics.update(TickFacts(dt_s=0.05, s=0.0, speed_mps=0.0), reward)
    assert metrics.result(LATE)["return"] == pytest.approx(1.25)
    assert metrics.elapsed_s == pytest.approx(0.15)


def test_jerk_is_the_change_of_acceleration():
    before = EgoState(x=0.0, y=0.0, ax=1.0, ay=0.0)
    assert jerk(before, replace(before, ax=1.3, ay=0.4), 0.05) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("events", "off_lane", "score_20", "score_21"),
    [
        ({}, 0.0, 80.0, 80.0),
        ({"pedestrian": 1}, 0.0, 40.0, 40.0),
        ({"vehicle": 2}, 0.0, 80.0 * 0.36, 80.0 / 2.4),
        ({"static": 1, "red_light": 1}, 0.0, 80.0 * 0.65 * 0.7, 80.0 / 2.0),
        ({"stop_sign": 1}, 0.25, 80.0 * 0.8 * 0.75, 80.0 * 0.75 / 1.25),
        ({"lane_invasion": 9}, 0.0, 80.0, 80.0),
    ],
)
def test_driving_scores(events, off_lane, score_20, score_21):
    assert driving_score(0.8, events, off_lane) == pytest.approx(score_20)
    assert driving_score_21(0.8, events, off_lane) == pytest.approx(score_21)


def test_a_driven_episode_from_end_to_end():
    result = drive(fast(), ROUTE_0).metrics
    assert result["success"] == 1
    assert result["completion_time_s"] == result["duration_s"] < 50.0
    assert result["distance_km"] == pytest.approx((ROUTE_0.length - 3.0) / 1000.0, rel=0.01)
    assert drive(parked, ROUTE_0).metrics["route_completion"] == 0.0
    assert json.loads(json.dumps(result)) == result


def test_unknown_events_and_starts_off_the_route_are_refused():
    with pytest.raises(ValueError, match="bicycle"):
        EpisodeMetrics(200.0).event("bicycle")
    with pytest.raises(ValueError, match="on its route"):
        EpisodeMetrics(200.0, start_s=200.0)


# --- summaries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (20, 20, 0.8389, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_agrees_with_published_intervals(successes, n, low, high):
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)
    assert interval.mean == successes / n


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (19, 2.093), (29, 2.045), (120, 1.980)]
)
def test_t_quantiles_agree_with_the_table(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_students_interval_covers_the_mean_95_times_in_100():
    rng = np.random.default_rng(0)
    intervals = [student(rng.normal(3.0, 2.0, 5).tolist()) for _ in range(2000)]
    covered = sum(i.low <= 3.0 <= i.high for i in intervals) / len(intervals)
    assert covered == pytest.approx(0.95, abs=0.015)


def test_a_single_episode_has_no_interval():
    assert student([4.0]).low is None
    assert pooled_rate([(1.0, 2.0)], seed=0).high is None


def test_rates_are_pooled_over_kilometres():
    # A crash after 10 m is 100 per km by itself; over all kilometres it is one collision more.
    short, long = (1.0, 0.01), (2.0, 0.99)
    rate = pooled_rate([short, long], seed=0)
    assert rate.mean == pytest.approx(3.0)
    assert rate == pooled_rate([short, long], seed=0)


def test_the_reference_rate_of_the_original_is_a_pooled_one():
    # 6 episodes, 50 % success: 3 collisions in 1.0764 km are the 2.787 per km of record.
    pairs = [(0.0, 0.2614)] * 3 + [(1.0, 0.0974)] * 3
    rate = pooled_rate(pairs, seed=1)
    assert rate.mean == pytest.approx(2.787, abs=0.001)
    assert rate.low < rate.mean < rate.high


def test_summary_of_driven_episodes():
    episodes = [drive(driver, ROUTE_0).metrics for driver in (fast(), fast(), crash)]
    summary = summarise(episodes)
    assert summary["success"].mean == pytest.approx(2 / 3)
    assert summary["success"].n == 3
    assert summary["completion_time_s"].n == 2
    assert "min_ttc_s" not in summary
    assert summary["mean_jerk"].low < summary["mean_jerk"].mean < summary["mean_jerk"].high
    assert all(math.isfinite(s.mean) for s in summary.values())
    assert summarise(episodes) == summary


def test_no_interval_leaves_what_a_metric_can_be():
    """Two episodes: Student's t has 12.7 times their spread to either side."""
    summary = summarise([drive(driver, ROUTE_0).metrics for driver in (fast(), crash)])
    assert (summary["route_completion"].low, summary["route_completion"].high) == (0.0, 1.0)
    assert (summary["driving_score"].low, summary["driving_score"].high) == (0.0, 100.0)
    assert summary["mean_speed_kmh"].low == 0.0
    assert summary["mean_speed_kmh"].high > 100.0
    returns = summarise([{**drive(fast(), ROUTE_0).metrics, "return": value} for value in (0.0, 2.0)])["return"]
    assert (returns.low, returns.high) == pytest.approx((1.0 - 12.706, 1.0 + 12.706), abs=0.01)


def test_a_summary_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one episode"):
        summarise([])
