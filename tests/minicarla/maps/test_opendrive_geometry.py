"""The reference-line geometry that every town is built of."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicarla.maps.opendrive import Point, Segment, advance, end_of, fillet, turn_between

headings = st.floats(-10.0, 10.0)


@given(headings, headings)
def test_the_turn_is_the_shortest_way_round(first: float, second: float) -> None:
    turn = turn_between(first, second)
    assert -math.pi <= turn <= math.pi
    assert math.isclose(math.cos(first + turn), math.cos(second), abs_tol=1e-9)
    assert math.isclose(math.sin(first + turn), math.sin(second), abs_tol=1e-9)


def test_left_turns_are_positive() -> None:
    assert turn_between(0.0, 0.5) == pytest.approx(0.5)
    assert turn_between(math.pi - 0.1, -math.pi + 0.1) == pytest.approx(0.2)


def test_an_arc_ends_where_a_circle_does() -> None:
    quarter = advance(Point(1.0, 2.0, 0.0), Segment(math.pi / 2 * 5.0, 1 / 5.0))
    assert (quarter.x, quarter.y, quarter.heading) == pytest.approx((6.0, 7.0, math.pi / 2))


@given(
    heading=headings,
    turn=st.floats(0.05, 2.8) | st.floats(-2.8, -0.05),
    before=st.floats(2.0, 40.0),
    after=st.floats(2.0, 40.0),
    radius=st.floats(0.5, 30.0),
)
def test_a_fillet_leads_from_one_pose_to_the_other(
    heading: float, turn: float, before: float, after: float, radius: float
) -> None:
    start = Point(3.0, -7.0, heading)
    corner = start.forward(before)
    end = Point(corner.x, corner.y, heading + turn).forward(after)
    segments = fillet(start, end, radius)
    reached = end_of(start, segments)
    assert (reached.x, reached.y) == pytest.approx((end.x, end.y), abs=1e-6)
    assert turn_between(reached.heading, end.heading) == pytest.approx(0.0, abs=1e-9)
    assert all(segment.length > 0.0 for segment in segments)
    sharpest = max(abs(segment.curvature) for segment in segments)
    assert sharpest >= 1.0 / radius - 1e-9, "the arc is never wider than asked"


def test_a_fillet_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="move the road ends apart"):
        fillet(Point(0.0, 0.0, 0.0), Point(-5.0, 5.0, math.pi / 2), 3.0)
