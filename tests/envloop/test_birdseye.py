"""A thinned track still shows where the car was."""

import itertools

import numpy as np
import pytest

from envloop.drawing.birdseye import thin_track


def distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Of each of `points` to the polyline `line`, m."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(line):
        along = np.clip((points - a) @ (b - a) / max((b - a) @ (b - a), 1e-9), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return best


def weaving(n: int, width_m: float, wave_m: float) -> np.ndarray:
    x = np.linspace(0.0, n * 0.4, n)
    return np.column_stack([x, 129.5 + width_m * np.sin(2.0 * np.pi * x / wave_m)])


def test_a_straight_drive_is_its_two_ends():
    assert thin_track([(300.0 - 0.4 * i, 129.49) for i in range(500)]) == [(300.0, 129.49), (100.4, 129.49)]


def test_no_position_lies_far_from_the_thinned_line():
    track = weaving(700, width_m=1.0, wave_m=50.0)
    thin = np.array(thin_track(track.tolist()))
    assert len(thin) <= 100
    np.testing.assert_allclose(thin[[0, -1]], track[[0, -1]], atol=0.005)
    assert distance_to_line(track, thin).max() < 0.21


def test_a_long_wild_drive_keeps_to_the_limit_and_gets_coarser():
    track = weaving(9000, width_m=20.0, wave_m=100.0)
    thin = np.array(thin_track(track.tolist(), most=100))
    assert 50 <= len(thin) <= 100
    assert distance_to_line(track, thin).max() < 10.0


def test_a_car_that_never_moved_is_one_point():
    assert thin_track([(1.0, 2.0)] * 7) == [(1.0, 2.0)]


def test_nothing_is_no_track():
    with pytest.raises(ValueError, match="at least one position"):
        thin_track([])
