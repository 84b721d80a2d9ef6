"""Box geometry against polygon clipping and against answers that can be read off a sketch."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minicarla.geometry.boxes import Box, contact_point, first_touch, penetration, ray_entry
from minicarla.geometry.types import OrientedBox

place = st.floats(-6.0, 6.0)
angle = st.floats(-180.0, 180.0)
half = st.floats(0.2, 4.0)


def box(x: float, y: float, yaw: float, ex: float, ey: float, z: float = 0.0, ez: float = 1.0) -> Box:
    return Box.of(OrientedBox(x, y, z, yaw, ex, ey, ez))


way = st.floats(-12.0, 12.0)


def moved(item: Box, dx: float, dy: float) -> Box:
    return Box(item.x + dx, item.y + dy, math.atan2(item.sin, item.cos), item.ex, item.ey, item.low, item.high)


boxes = st.builds(box, place, place, angle, half, half)


def corners(item: Box) -> list[tuple[float, float]]:
    """Counter-clockwise in the (x, y) plane."""
    return [
        (item.x + dx * item.cos - dy * item.sin, item.y + dx * item.sin + dy * item.cos)
        for dx, dy in (
            (item.ex, item.ey),
            (-item.ex, item.ey),
            (-item.ex, -item.ey),
            (item.ex, -item.ey),
        )
    ]


def shared_area(a: Box, b: Box) -> float:
    """Sutherland-Hodgman clipping, then the shoelace formula."""
    polygon = corners(a)
    edges = corners(b)
    for (x0, y0), (x1, y1) in zip(edges, edges[1:] + edges[:1], strict=True):
        sides = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in polygon]
        clipped = []
        for number, (point, side) in enumerate(zip(polygon, sides, strict=True)):
            last, last_side = polygon[number - 1], sides[number - 1]
            if (side >= 0.0) != (last_side >= 0.0):
                part = last_side / (last_side - side)
                clipped.append((last[0] + part * (point[0] - last[0]), last[1] + part * (point[1] - last[1])))
            if side >= 0.0:
                clipped.append(point)
        polygon = clipped
        if not polygon:
            return 0.0
    turned = polygon[1:] + polygon[:1]
    return 0.5 * sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, turned, strict=True))


@settings(deadline=None)
@given(a=boxes, b=boxes)
def test_overlap_agrees_with_polygon_clipping(a: Box, b: Box) -> None:
    area = shared_area(a, b)
    assume(not 0.0 < area < 1e-9)
    assert (penetration(a, b) is not None) == (area > 0.0)


@settings(deadline=None)
@given(a=boxes, b=boxes)
def test_moving_out_by_the_depth_is_just_enough(a: Box, b: Box) -> None:
    touch = penetration(a, b)
    assume(touch is not None)
    assert touch is not None
    depth, nx, ny = touch
    assert math.hypot(nx, ny) == pytest.approx(1.0)
    assert penetration(moved(a, nx * (depth + 1e-6), ny * (depth + 1e-6)), b) is None
    if depth > 1e-3:
        assert penetration(moved(a, 0.9 * depth * nx, 0.9 * depth * ny), b) is not None


@settings(deadline=None)
@given(a=boxes, b=boxes)
def test_the_normal_turns_round_when_the_boxes_swap(a: Box, b: Box) -> None:
    one, other = penetration(a, b), penetration(b, a)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one[0] == pytest.approx(other[0])
        assert one[0] == pytest.approx(other[0])


def test_depth_and_normal_of_two_cars_nose_to_tail() -> None:
    assert penetration(box(0, 0, 0, 2.4, 1), box(4.6, 0, 0, 2.4, 1)) == pytest.approx((0.2, -1.0, 0.0))


def test_boxes_above_one_another_do_not_touch() -> None:
    assert penetration(box(0, 0, 0, 2, 1), box(0, 0, 0, 2, 1, z=5.0)) is None


@settings(max_examples=60, deadline=None)
@given(a=boxes, b=boxes, dx=way, dy=way)
def test_the_first_touch_is_where_small_steps_find_it(a: Box, b: Box, dx: float, dy: float) -> None:
    assume(math.hypot(dx, dy) > 0.1)
    parts = [part / 100 for part in range(101)]
    overlapped = [penetration(moved(a, (part - 1.0) * dx, (part - 1.0) * dy), b) for part in parts]
    first = next((number for number, touch in enumerate(overlapped) if touch is not None), None)
    touch = first_touch(a, b, dx, dy)
    if first is None:
        return  # or they have met between two of the steps
    if first == 0:
        parts_to_the_side_it_came_from(a, b, dx, dy)
        return
    assert touch is not None
    found = overlapped[first]
    assert found is not None
    depth, nx, ny = touch
    fall = -(dx * nx + dy * ny)  # m along the normal on the whole way
    assert fall > 0.0
    assert depth == pytest.approx((1.0 - parts[first]) * fall, abs=0.02 * fall)
    back = (depth + 1e-6) / fall
    assert penetration(moved(a, -back * dx, -back * dy), b) is None


def parts_to_the_side_it_came_from(a: Box, b: Box, dx: float, dy: float) -> None:
    touch = first_touch(a, b, dx, dy)
    if touch is None:
        assert penetration(a, b) is None
        return
    depth, nx, ny = touch
    assert (a.x - dx - b.x) * nx + (a.y - dy - b.y) * ny >= -1e-9
    assert penetration(moved(a, (depth + 1e-6) * nx, (depth + 1e-6) * ny), b) is None


def test_what_turns_into_a_thin_wall_parts_on_its_own_side() -> None:
    # It has turned across the wall, and its centre has just gone over to the other side.
    assert first_touch(box(20.1, 0, 0, 1, 0.3), box(20, 0, 0, 0.05, 9), 0.8, 0.0) == pytest.approx((1.15, -1.0, 0.0))


def test_a_corner_is_met_by_the_side_that_runs_into_it() -> None:
    # 0.1 m of its side overlap the corner, and 0.3 m of its front: yet it came from the left.
    assert first_touch(box(0.3, 0, 0, 2, 1), box(4, 1.9, 0, 2, 1), 0.5, 0.0) == pytest.approx((0.3, -1.0, 0.0))


def test_contact_of_two_faces_is_the_middle_of_what_they_share() -> None:
    # Half-offset rear-end crash: faces at x = 2, shared y from 0 to 1.
    assert contact_point(box(0, 0, 0, 2, 1), box(4, 1, 0, 2, 1), -1.0, 0.0) == pytest.approx((2.0, 0.5))


def test_contact_of_a_corner_is_the_corner() -> None:
    diamond = box(2 + math.sqrt(2), 0.3, 45, 1, 1)
    assert contact_point(box(0, 0, 0, 2, 1), diamond, -1.0, 0.0) == pytest.approx((2.0, 0.3))


@settings(deadline=None)
@given(a=boxes, yaw=angle, x=place, y=place)
def test_contact_moves_with_the_boxes(a: Box, yaw: float, x: float, y: float) -> None:
    # The same crash, turned and moved as a whole.
    b = box(a.x + 0.5 * a.ex, a.y + 0.3, 33.0, 1.5, 0.8)
    touch = penetration(a, b)
    assume(touch is not None)
    assert touch is not None
    _, nx, ny = touch
    px, py = contact_point(a, b, nx, ny)
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))

    def turned(item: Box) -> Box:
        heading = math.atan2(item.sin, item.cos) + math.radians(yaw)
        where = (item.x * cos - item.y * sin + x, item.x * sin + item.y * cos + y)
        return Box(*where, heading, item.ex, item.ey, item.low, item.high)

    point = contact_point(turned(a), turned(b), nx * cos - ny * sin, nx * sin + ny * cos)
    assert point == pytest.approx((px * cos - py * sin + x, px * sin + py * cos + y), abs=1e-6)


@settings(deadline=None)
@given(item=boxes, x=place, y=place)
def test_a_point_inside_is_within_the_bounds(item: Box, x: float, y: float) -> None:
    x0, y0, x1, y1 = item.bounds()
    if item.contains(x, y):
        assert x0 - 1e-9 <= x <= x1 + 1e-9
        assert y0 - 1e-9 <= y <= y1 + 1e-9
    assert item.contains(item.x, item.y)


class TestRay:
    def test_a_ray_meets_the_near_face(self) -> None:
        wall = box(10, 0, 0, 1, 5)
        assert ray_entry(wall, 0, 0, 0, 1, 0, 0, 50) == pytest.approx(9.0)

    def test_a_turned_box_is_met_at_its_corner(self) -> None:
        assert ray_entry(box(10, 0, 45, 1, 1), 0, 0, 0, 1, 0, 0, 50) == pytest.approx(10 - math.sqrt(2))

    @pytest.mark.parametrize("ray", [(0, 6, 0, 1, 0, 0), (0, 0, 0, -1, 0, 0), (0, 0, 3, 1, 0, 0), (0, 0, 0, 0, 1, 0)])
    def test_it_misses_beside_behind_above_and_across(self, ray: tuple[float, ...]) -> None:
        assert ray_entry(box(10, 0, 0, 1, 5), *ray, 50) is None

    def test_it_reaches_no_farther_than_its_reach(self) -> None:
        assert ray_entry(box(10, 0, 0, 1, 5), 0, 0, 0, 1, 0, 0, 8.9) is None

    def test_a_swept_sphere_stops_its_radius_earlier_and_catches_more(self) -> None:
        wall = box(10, 0, 0, 1, 5)
        assert ray_entry(wall, 0, 0, 0, 1, 0, 0, 50, radius=0.5) == pytest.approx(8.5)
        assert ray_entry(wall, 0, 5.4, 0, 1, 0, 0, 50, radius=0.5) == pytest.approx(8.5)

    def test_it_starts_inside_at_distance_zero(self) -> None:
        assert ray_entry(box(0, 0, 30, 2, 2), 0.5, 0.5, 0, 1, 0, 0, 5) == 0.0

    @settings(deadline=None)
    @given(item=boxes, x=place, y=place, heading=angle)
    def test_the_entry_lies_on_the_box(self, item: Box, x: float, y: float, heading: float) -> None:
        dx, dy = math.cos(math.radians(heading)), math.sin(math.radians(heading))
        entry = ray_entry(item, x, y, 0, dx, dy, 0, 100)
        assume(entry is not None)
        assert entry is not None
        grown = Box(item.x, item.y, math.atan2(item.sin, item.cos), item.ex + 1e-6, item.ey + 1e-6, -1, 1)
        assert grown.contains(x + dx * entry, y + dy * entry)
        if entry > 1e-3:
            assert not item.contains(x + dx * (entry - 1e-3), y + dy * (entry - 1e-3))
