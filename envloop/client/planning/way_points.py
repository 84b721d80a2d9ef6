"""From pieces of lanes to the points of a route: joined without steps, and never more than 2 m apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envloop.client.planning.errors import RouteGapError
from envloop.client.planning.lane_network import Lane
from envloop.client.planning.lane_segments import GAP_MAX_M, TURN_BACK, LaneKey, lane_text
from envloop.client.planning.steps import SAME_POINT_M, FloatArray, gaps_m, spread


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a lane, from `begin_m` to `end_m`; it is entered from the lane beside within `change_m`, if not 0."""

    lane: Lane
    begin_m: float
    end_m: float
    change_m: float = 0.0

    def points(self) -> FloatArray:
        """[N, 3] points of the lane's centre, both ends included."""
        driven_m = self.lane.driven_m
        return np.stack([np.interp(self._places_m(), driven_m, column) for column in self.lane.points.T], axis=1)

    def width_m(self) -> FloatArray:
        """[N] of the lane at these points."""
        return np.interp(self._places_m(), self.lane.driven_m, self.lane.width_m)

    def count(self, up_to_m: float) -> int:
        """How many of its points lie up to there."""
        return int(np.searchsorted(self._places_m(), up_to_m, side="right"))

    def _places_m(self) -> FloatArray:
        driven_m = self.lane.driven_m
        inside = driven_m[(driven_m > self.begin_m) & (driven_m < self.end_m)]
        return np.concatenate([[self.begin_m], inside, [self.end_m]])


@dataclass(frozen=True)
class WayPoints:
    """[N, 3] points; [N] whether a point lies in a junction, in a change of lane; [N] width of its lane, m."""

    points: FloatArray
    in_junction: NDArray[np.bool_]
    in_change: NDArray[np.bool_]
    width_m: FloatArray


def way_points(pieces: Sequence[Piece]) -> WayPoints:
    """The points along these pieces.

    Raises:
      RouteGapError: two of them are more than 2 m apart.
    """
    parts = [piece.points() for piece in pieces]
    points = np.concatenate(parts)
    in_change = np.zeros(len(points), dtype=bool)
    moved = points.copy()
    for piece, joint in zip(pieces[1:], np.cumsum([len(part) for part in parts])[:-1], strict=True):
        end = len(points)  # a step of the map may take long
        if piece.change_m > 0.0:
            end = joint + piece.count(piece.begin_m + piece.change_m)
        shift = spread(points[joint:end], points[joint - 1] - points[joint])
        moved[joint:end] += shift
        if piece.change_m > 0.0:
            in_change[joint:end] = (shift != 0.0).any(axis=1)
    points = moved
    width_m = np.concatenate([piece.width_m() for piece in pieces])
    in_junction = np.concatenate(
        [np.full(len(part), piece.lane.is_junction) for part, piece in zip(parts, pieces, strict=True)]
    )
    kept = _onwards(points, np.flatnonzero(_without_repeats(points)))
    lanes = np.repeat(np.arange(len(parts)), [len(part) for part in parts])[kept]
    _check_gaps(points[kept], [pieces[i].lane.key for i in lanes])
    return WayPoints(points[kept], in_junction[kept], in_change[kept], width_m[kept])


def _without_repeats(points: FloatArray) -> NDArray[np.bool_]:
    """[N] which points to keep: not a lane's first one where it repeats the end of the lane before, but the goal."""
    step = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1)
    keep: NDArray[np.bool_] = np.concatenate([[True], step > SAME_POINT_M])
    keep[-1] = True
    if len(points) > 2 and step[-1] <= SAME_POINT_M:
        keep[-2] = False
    return keep


def _onwards(points: FloatArray, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the points to keep, those that do not turn back.

    In other people's maps a lane's geometry or the next lane may begin a little behind where the last one ends, and the
    inner lane of a tight bend may run in a loop.
    """
    steps = np.diff(points[kept, :2], axis=0)
    if len(kept) < 3 or not _turns_back(steps[:-1], steps[1:]).any():
        return kept
    onwards = [int(kept[0]), int(kept[1])]
    for i in kept[2:]:
        before, last = points[onwards[-2:], :2]
        if not _turns_back(last - before, points[i, :2] - last):
            onwards.append(int(i))
    return np.array(onwards)


def _turns_back(step: FloatArray, following: FloatArray) -> NDArray[np.bool_]:
    """[...] whether `following` [..., 2] points more than 100 degrees away from `step`."""
    size = np.hypot(*np.moveaxis(step, -1, 0)) * np.hypot(*np.moveaxis(following, -1, 0))
    turned: NDArray[np.bool_] = (step * following).sum(axis=-1) < TURN_BACK * size
    return turned


def _check_gaps(points: FloatArray, lanes: Sequence[LaneKey]) -> None:
    gaps = gaps_m(points)
    if (gaps > GAP_MAX_M).any():
        i = int(gaps.argmax())
        (x0, y0, _), (x1, y1, _) = points[[0, -1]]
        raise RouteGapError(
            f"The route from ({x0:.2f}, {y0:.2f}) to ({x1:.2f}, {y1:.2f}) jumps by {gaps[i]:.1f} m at "
            f"({points[i, 0]:.2f}, {points[i, 1]:.2f}), from {lane_text(lanes[i])} to {lane_text(lanes[i + 1])}; mend "
            "the map there, or choose other ends."
        )
