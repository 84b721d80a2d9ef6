"""Bookkeeping of an episode, from scripted ticks."""

import dataclasses

import numpy as np
import pytest
from settings_of_record import of_record

from envloop.config import StartNoise
from envloop.task.episode import AT_REST, Episode, InitialState, Measurements, RouteTask, collision_kind
from envloop.task.episode import sample_initial_state as sampled
from envloop.task.lane_invasion import BoundingBox, RouteLane
from envloop.task.observation import EgoState
from envloop.task.route import ROUTE_0, Lead, Route, SpeedProfile

STILL = StartNoise(0.0, 0.0, 0.0)
STRAIGHT = Route([(0.0, 0.0), (200.0, 0.0)])
DT = 0.05


def route_task(route: Route = STRAIGHT) -> RouteTask:
    lane = RouteLane((2.0,), (True,) * len(route.points))
    return RouteTask(name="test", route=route, profile=SpeedProfile(route), limit_s=50.0, lane=lane)


def episode(start: InitialState = AT_REST, **config) -> Episode:
    ego = EgoState(x=start.s, y=0.0, vx=start.speed_mps)
    return Episode(of_record(**config), route_task(), BoundingBox(), start, ego)


def drive(run: Episode, ticks: int, speed: float = 8.0, **view) -> None:
    """Straight on at constant speed."""
    for _ in range(ticks):
        run.tick(Measurements(ego=EgoState(x=run.ego.x + speed * DT, y=0.0, vx=speed), **view))


def test_a_start_comes_from_the_seed_alone():
    places = [sampled(seed, route_task(ROUTE_0), 3.0, STILL, random_fraction=1.0) for seed in range(300)]
    assert places == [sampled(seed, route_task(ROUTE_0), 3.0, STILL, random_fraction=1.0) for seed in range(300)]
    assert len(set(places)) == 300
    profile = SpeedProfile(ROUTE_0)
    assert all(0.0 <= place.speed_mps <= profile.at(place.s) for place in places)
    s = np.array([place.s for place in places])
    counts, _ = np.histogram(s, bins=5, range=(0.0, ROUTE_0.length - 13.0))
    assert counts.sum() == 300  # none in the last metres, where an episode would end at once
    assert counts.min() > 35


def test_the_share_of_random_starts_is_the_configured_one():
    starts = [sampled(seed, route_task(), 3.0, STILL, random_fraction=0.7) for seed in range(1000)]
    assert sum(start != AT_REST for start in starts) / 1000 == pytest.approx(0.7, abs=0.05)
    assert all(sampled(seed, route_task(), 3.0, STILL, random_fraction=0.0) == AT_REST for seed in range(50))


def test_starts_at_the_beginning_differ_by_the_noise_alone():
    noise = StartNoise(along_m=5.0, lateral_m=0.3, heading_deg=3.0)
    starts = [sampled(seed, route_task(), 3.0, noise, random_fraction=0.0) for seed in range(500)]
    assert starts == [sampled(seed, route_task(), 3.0, noise, random_fraction=0.0) for seed in range(500)]
    assert len(set(starts)) == 500
    assert {start.speed_mps for start in starts} == {0.0}
    for name, low, high in (("s", 0.0, 5.0), ("lateral_m", -0.3, 0.3), ("heading_deg", -3.0, 3.0)):
        values = np.array([getattr(start, name) for start in starts])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2.0, abs=0.05 * (high - low))


def test_a_share_of_the_random_starts_is_in_bends_and_their_run_ups():
    profile = SpeedProfile(ROUTE_0)

    def slow_share(bend_fraction: float) -> float:
        starts = [
            sampled(seed, route_task(ROUTE_0), 3.0, STILL, random_fraction=1.0, bend_fraction=bend_fraction)
            for seed in range(400)
        ]
        assert all(start.speed_mps <= profile.at(start.s) for start in starts)
        assert max(start.s for start in starts) <= ROUTE_0.length - 13.0
        return float(np.mean([profile.at(start.s) < profile.rules.limit_mps for start in starts]))

    everywhere = slow_share(0.0)
    assert everywhere < 0.15
    assert slow_share(0.5) == pytest.approx(0.5 + 0.5 * everywhere, abs=0.07)
    assert slow_share(1.0) == 1.0


def test_a_route_without_bends_is_started_anywhere():
    starts = {sampled(seed, route_task(), 3.0, STILL, random_fraction=1.0, bend_fraction=1.0).s for seed in range(20)}
    assert len(starts) == 20


def test_a_route_shorter_than_the_run_up_can_be_started_anyhow():
    short = route_task(Route([(0.0, 0.0), (8.0, 0.0)]))
    assert sampled(1, short, 3.0, STILL, random_fraction=1.0).s == 0.0
    assert sampled(1, short, 3.0, StartNoise(), random_fraction=0.0).s == 0.0


def test_returns_and_times_add_up_over_decisions():
    run = episode(action_repeat=3)
    total = 0.0
    for _ in range(10):
        run.begin_decision()
        drive(run, 3)
        total += sum(run.end_decision().values())
    result = run.result()
    assert result["return"] == pytest.approx(total)
    assert result["duration_s"] == pytest.approx(30 * DT)
    assert result["distance_km"] == pytest.approx(30 * DT * 8.0 / 1000.0)


def test_a_decision_is_paid_for_all_its_ticks():
    one, three = episode(), episode(action_repeat=3)
    drive(one, 1)
    drive(three, 3)
    assert three.end_decision()["progress"] == pytest.approx(3.0 * one.end_decision()["progress"])


def test_a_launch_is_not_counted_as_jerk():
    run = episode(InitialState(s=20.0, speed_mps=8.0))
    run.ego = dataclasses.replace(run.ego, ax=160.0)  # rest to 8 m/s in the tick of the launch
    drive(run, 5)
    run.end_decision()
    assert run.result()["mean_jerk"] == 0.0


def test_completion_counts_from_the_start_of_the_episode():
    run = episode(InitialState(s=100.0, speed_mps=8.0))
    drive(run, 125)
    assert run.route_completion == pytest.approx(0.5, abs=0.02)


def test_a_collision_in_any_tick_of_a_decision_ends_it():
    run = episode(action_repeat=4)
    drive(run, 1)
    drive(run, 1, collisions=(("vehicle.audi.tt", 7),))
    assert run.outcome.reason == "collision"
    drive(run, 1)
    assert run.outcome.reason == "collision"
    assert run.end_decision()["safety"] < 0.0
    result = run.result()
    assert (result["vehicle_collisions"], result["collisions"], result["success"]) == (1, 1, 0)


def test_what_was_hit_is_told_by_its_blueprint():
    assert collision_kind("vehicle.tesla.model3") == "vehicle"
    assert collision_kind("walker.pedestrian.0001") == "pedestrian"
    assert collision_kind("static.building") == "static"
    assert collision_kind("traffic.traffic_light") == "static"


@pytest.mark.parametrize(
    ("views", "red_lights"),
    [
        ([(True, True), (True, True), (False, False)], 1),  # drives on through red
        ([(True, True), (True, False), (False, False)], 0),  # it turned green first
        ([(False, False), (False, False), (False, False)], 0),
        ([(True, True), (True, True), (True, True)], 0),  # waits
    ],
)
def test_a_red_light_is_run_by_leaving_its_zone_while_it_is_red(views, red_lights):
    run = episode()
    for at_light, at_red in views:
        drive(run, 1, at_light=at_light, at_red=at_red)
    run.end_decision()
    assert run.result()["red_lights"] == red_lights


def test_by_the_rules_a_red_light_that_is_run_ends_the_episode():
    """An evaluation goes on, and counts it."""
    for rules, ended in ((True, True), (False, False)):
        run = episode(rules=rules)
        drive(run, 1, at_light=True, at_red=True)
        assert not run.outcome.ended
        drive(run, 1)
        assert run.outcome.terminated == ended
        assert run.outcome.reason == ("red_light" if rules else None)
        assert run.result()["red_lights"] == 1


def test_by_the_rules_a_person_is_kept_away_from_like_a_vehicle():
    terms = []
    for view in ({}, {"lead": Lead(3.0, 8.0)}, {"person": Lead(3.0, 8.0)}):
        run = episode(rules=True)
        run.begin_decision()
        drive(run, 2, **view)
        terms.append(run.end_decision())
    assert terms[1] == terms[2]
    assert terms[1]["safety"] < terms[0]["safety"] == 0.0


def test_a_lane_invasion_in_any_tick_costs_the_decision_its_lane_term():
    clean, invading = episode(action_repeat=3), episode(action_repeat=3)
    drive(clean, 3)
    drive(invading, 1)
    invading.tick(Measurements(ego=EgoState(x=0.8, y=1.1, vx=8.0)))
    invading.tick(Measurements(ego=EgoState(x=1.2, y=0.2, vx=8.0)))
    assert invading.end_decision()["lane"] < 0.0 < clean.end_decision()["lane"]
    assert invading.result()["lane_invasions"] == 1


def test_off_lane_and_off_road_are_shares_of_the_way():
    run = episode()
    drive(run, 10)
    for _ in range(10):
        run.tick(Measurements(ego=EgoState(x=run.ego.x + 0.4, y=2.2, vx=8.0), off_road=True))
    run.end_decision()
    assert run.result()["off_lane"] == pytest.approx(0.5, abs=0.01)
    assert run.result()["off_road"] == pytest.approx(0.5, abs=0.01)


def test_waiting_for_nothing_is_cut_off_but_keeps_its_bootstrap():
    run = episode()
    for _ in range(200):
        run.begin_decision()
        run.tick(Measurements(ego=EgoState(x=0.0, y=0.0)))
        run.end_decision()
        if run.outcome.ended:
            break
    assert (run.outcome.truncated, run.outcome.terminated, run.outcome.reason) == (True, False, "blocked")
