import pytest
from settings_of_record import TERMINATION

from envloop.errors import TaskError
from envloop.task.termination import (
    RUNNING,
    BlockedTimer,
    Outcome,
    TerminationConfig,
    nocrash_budget_s,
    outcome,
    time_limit_s,
)

CONFIG = TERMINATION
DRIVING = {
    "remaining_m": 100.0,
    "lateral_m": 0.0,
    "collided": False,
    "elapsed_s": 10.0,
    "limit_s": 50.0,
    "blocked_s": 0.0,
    "config": CONFIG,
}


def after(**facts) -> Outcome:
    return outcome(**{**DRIVING, **facts})


def test_driving_goes_on():
    assert after() == RUNNING
    assert not RUNNING.ended


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"collided": True}, "collision"),
        ({"lateral_m": 2.51}, "off_route"),
        ({"lateral_m": -2.51}, "off_route"),
        ({"remaining_m": 3.0}, "route_done"),
    ],
)
def test_terminations(facts, reason):
    assert after(**facts) == Outcome(terminated=True, reason=reason)


@pytest.mark.parametrize(
    ("facts", "reason"), [({"elapsed_s": 50.0}, "time_limit"), ({"blocked_s": 5.0}, "blocked")], ids=["time", "blocked"]
)
def test_time_ends_are_truncations(facts, reason):
    # A terminated episode has no future; these have one, so their values are bootstrapped.
    assert after(**facts) == Outcome(truncated=True, reason=reason)


def test_just_inside_the_limits_goes_on():
    assert after(lateral_m=2.5, remaining_m=3.01, elapsed_s=49.95, blocked_s=4.95) == RUNNING


def test_a_thousand_ticks_are_the_limit_of_route_0():
    elapsed, ticks = 0.0, 0
    while not after(elapsed_s=elapsed).ended:
        elapsed += 0.05
        ticks += 1
    assert ticks == 1000


def test_only_a_finished_route_without_collision_is_a_success():
    # Having hit nothing is not success.
    assert after(remaining_m=1.0).success
    assert not after(remaining_m=1.0, collided=True).success
    assert not after(remaining_m=1.0, lateral_m=3.0).success
    assert not after(elapsed_s=60.0).success
    assert not RUNNING.success


def test_reaching_the_goal_on_the_last_tick_counts():
    assert after(remaining_m=2.0, elapsed_s=50.0).reason == "route_done"


def test_the_blocked_criterion_can_be_switched_off():
    assert after(blocked_s=1e9, config=TerminationConfig(blocked_s=0.0)) == RUNNING


@pytest.mark.parametrize("field", ["max_lateral_m", "goal_m", "min_time_limit_s", "blocked_m"])
def test_limits_must_be_positive(field):
    with pytest.raises(TaskError, match=field):
        TerminationConfig(**{field: 0.0})


def test_time_limits():
    assert time_limit_s(264.4, CONFIG, of_record=True) == 50.0
    assert nocrash_budget_s(250.0) == pytest.approx(250.0 / (5.0 / 3.6) + 20.0)
    assert time_limit_s(250.0, CONFIG) == pytest.approx(200.0)
    assert time_limit_s(10.0, CONFIG) == 50.0


def drive(timer: BlockedTimer, s: float, mps: float, seconds: float, waiting: bool = False) -> float:
    for _ in range(round(seconds / 0.05)):
        s += mps * 0.05
        timer.update(s, 0.05, waiting=waiting)
    return s


def test_a_parked_car_is_blocked_after_five_seconds():
    timer = BlockedTimer(CONFIG, s=100.0)
    drive(timer, 100.0, 0.0, 5.0)
    assert timer.seconds == pytest.approx(5.0)


def test_a_creeping_car_is_blocked_and_a_slow_one_is_not():
    creeping, slow = BlockedTimer(CONFIG, 0.0), BlockedTimer(CONFIG, 0.0)
    drive(creeping, 0.0, 0.2, 5.0)
    drive(slow, 0.0, 1.1, 60.0)
    assert creeping.seconds == pytest.approx(5.0)
    assert slow.seconds < 5.0


def test_going_to_and_fro_is_no_advance():
    timer = BlockedTimer(CONFIG, 0.0)
    s = 0.0
    for _ in range(10):
        s = drive(timer, s, 4.0, 0.5)
        s = drive(timer, s, -4.0, 0.5)
    assert timer.seconds == pytest.approx(10.0)


def test_the_clock_begins_anew_when_the_waiting_is_over():
    timer = BlockedTimer(CONFIG, 0.0)
    drive(timer, 0.0, 0.0, 2.0)
    drive(timer, 0.0, 0.0, 60.0, waiting=True)
    drive(timer, 0.0, 0.0, 1.0)
    assert timer.seconds == pytest.approx(1.0)
