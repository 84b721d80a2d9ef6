"""The gearbox: speeds of its changes by the ratios, engine speed by plain kinematics."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicarla.physics.gearbox import (
    FINAL_RATIO,
    FORWARD_GEARS,
    MAX_RPM,
    NEUTRAL,
    REVERSE,
    Gears,
    automatic,
    hand_share,
)

RADIUS = 0.35
GEARS = Gears.of(FORWARD_GEARS, FINAL_RATIO, MAX_RPM, RADIUS)


def turns_a_minute(speed: float, ratio: float) -> float:
    return speed / (2.0 * math.pi * RADIUS) * 60.0 * ratio * FINAL_RATIO


@pytest.mark.parametrize("gear", [1, 2, 3, 4, 5])
def test_the_engine_turns_as_the_wheels_and_the_ratios_say(gear: int) -> None:
    ratio = FORWARD_GEARS[gear - 1][0]
    assert GEARS.rpm(gear, 5.0, 0.0) == pytest.approx(turns_a_minute(5.0, ratio))
    assert GEARS.rpm(gear, 200.0, 0.0) == MAX_RPM


def test_out_of_gear_it_follows_the_pedal() -> None:
    assert [GEARS.rpm(NEUTRAL, 20.0, pedal) for pedal in (0.0, 0.5, 1.0)] == [0.0, 3000.0, 6000.0]


def test_it_changes_up_and_down_at_the_ratios_speeds() -> None:
    up = 0.65 * MAX_RPM / turns_a_minute(1.0, 4.0)
    assert automatic(GEARS, 1, up - 0.01) == 1
    assert automatic(GEARS, 1, up + 0.01) == 2
    down = 0.5 * MAX_RPM / turns_a_minute(1.0, 4.0)  # of first gear: in second alone it would change up again
    assert automatic(GEARS, 2, down + 0.01) == 2
    assert automatic(GEARS, 2, down - 0.01) == 1
    assert automatic(GEARS, REVERSE, 0.0) == automatic(GEARS, NEUTRAL, 3.0) == 1


@given(speed=st.floats(0.0, 60.0), gear=st.integers(1, 5))
def test_at_a_steady_speed_it_comes_to_rest_in_one_gear(speed: float, gear: int) -> None:
    for _ in range(5):
        gear = automatic(GEARS, gear, speed)
    assert automatic(GEARS, gear, speed) == gear


def test_a_gear_chosen_by_hand_pulls_by_its_ratio_up_to_its_top_speed() -> None:
    shares = [hand_share(GEARS, gear, 1.0) for gear in (REVERSE, NEUTRAL, 1, 2, 3, 4, 5, 9)]
    assert shares == pytest.approx([1.0, 0.0, 1.0, 0.5, 0.375, 0.275, 0.25, 0.25])
    top = MAX_RPM / turns_a_minute(1.0, 4.0)
    assert hand_share(GEARS, 1, top - 0.01) == 1.0
    assert hand_share(GEARS, 1, top + 0.01) == 0.0


@pytest.mark.parametrize(
    ("forward", "final", "most"),
    [([], 4.0, 6e3), ([(0.0, 0.5, 0.6)], 4.0, 6e3), (FORWARD_GEARS, 0.0, 6e3), (FORWARD_GEARS, 4.0, 0.0)],
)
def test_an_engine_that_could_not_turn_is_refused(forward: list, final: float, most: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Gears.of(forward, final, most, RADIUS)
