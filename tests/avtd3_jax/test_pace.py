"""The time that is left, against a made-up training whose end is known."""

import re

import pytest
from tqdm import tqdm

from avtd3_jax.console import Progress
from avtd3_jax.pace import Pace


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def training(total=10_000, every=2_000, explored=1_000, began_at=0, step_s=0.1, evaluation_s=50.0):
    """Yields (steps, seconds of the clock, estimate) after every tenth step of a run with evaluations."""
    clock = Clock()
    pace = Pace(clock, total, every, explored)
    for step in range(began_at, total + 1):
        if step > began_at:
            clock.now += step_s if step > explored else step_s / 5
        if step % 10 == 0:
            pace.saw(step)
            yield step, clock.now, pace.left_s(step)
        if step and step % every == 0 and step > began_at:
            with pace.interruption(step):
                clock.now += evaluation_s
    yield total, clock.now, (0.0, True)


def test_from_the_first_evaluation_on_the_estimate_is_what_it_takes():
    *told, (_, end, _) = training()
    known = [(step, left_s, end - now) for step, now, (left_s, is_all) in told if is_all]
    assert known[0][0] == 2_010
    for step, left_s, took_s in known:
        assert left_s == pytest.approx(took_s, rel=0.01, abs=0.5), step


def test_before_it_is_the_least_and_says_so():
    *told, (_, end, _) = training()
    for step, now, (left_s, is_all) in told:
        if step <= 2_000:
            assert not is_all
            assert left_s is None or left_s <= end - now


def test_a_run_without_evaluations_is_known_when_it_learns():
    clock = Clock()
    pace = Pace(clock, 100, steady_from=10)
    for step in range(21):
        pace.saw(step)
        clock.now += 1.0
    assert pace.left_s(20) == (80.0, True)


@pytest.mark.parametrize("every", [0, 1])
def test_when_all_is_done_nothing_is_left(every):
    """One item, as an evaluation of one episode has it, tells no rate."""
    pace = Pace(Clock(), 1, interrupted_every=every)
    with pace.interruption(1):
        pass
    assert pace.left_s(1) == (0.0, True)


def test_a_resumed_run_counts_only_what_is_to_come():
    *told, (_, end, _) = training(began_at=5_000)
    _, now, (left_s, is_all) = told[-50]
    assert is_all
    assert left_s == pytest.approx(end - now, rel=0.01, abs=0.5)


def test_what_slows_down_is_noticed_within_two_minutes():
    clock = Clock()
    pace = Pace(clock, 100_000)
    for step in range(5_000):
        clock.now += 0.1 if step < 2_000 else 1.0
        pace.saw(step)
        if step == 2_120:
            assert pace.rate == pytest.approx(1.0, rel=0.05)


def test_the_bar_shows_it(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("avtd3_jax.console.time.monotonic", clock)
    with Progress(total=100, unit="step", interrupted_every=50) as bar:
        for _ in range(50):
            clock.now += 1.0
            bar.update()
        before = str(bar)
        with bar.interruption():
            clock.now += 30.0
        tqdm.write("evaluated")
        for _ in range(10):
            clock.now += 1.0
            bar.update()
        after = str(bar)
    assert re.search(r"<00:50\+, ", before)
    assert re.search(r"<01:10, +1\.00step/s", after)
