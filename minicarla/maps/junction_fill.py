"""The area between the connecting lanes of a junction that they enclose: paved, though no lane covers it."""

from collections.abc import Sequence

import cv2
import numpy as np

from minicarla.maps.lane_edges import Lane

CELL_M = 0.5
_LEVEL_M = 1e-3
_RUN_CELLS = 4  # of a face, where a junction is not level
_SMOOTHINGS = 3


def junction_fill(members: Sequence[Lane]) -> np.ndarray:
    """[F, 4, 3] faces over the area that a junction's lanes cover and enclose, less half a metre along its border.

    Args:
      members: the driven lanes of one junction.
    """
    outlines = [np.concatenate([lane.left, lane.right[::-1]]) for lane in members]
    points = np.concatenate(outlines)
    origin = points[:, :2].min(axis=0) - CELL_M
    columns, rows = (int(n) for n in np.ceil((points[:, :2].max(axis=0) + CELL_M - origin) / CELL_M))
    mask = np.zeros((rows, columns), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.rint((outline[:, :2] - origin) / CELL_M - 0.5).astype(np.int32)], 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, contours, -1, 1, thickness=-1)
    # Not beyond the lanes' own smooth borders, which the cells would turn into stairs.
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    is_level = bool(np.ptp(points[:, 2]) <= _LEVEL_M)
    row, begin, end = _runs(inside, columns if is_level else _RUN_CELLS)
    low, high = origin[1] + row * CELL_M, origin[1] + (row + 1) * CELL_M
    left, right = origin[0] + begin * CELL_M, origin[0] + end * CELL_M
    xy = np.stack([np.stack([left, right, right, left], 1), np.stack([low, low, high, high], 1)], axis=2)
    if is_level:
        z = np.full(xy.shape[:2], float(points[:, 2].min()))
    else:
        heights = _node_heights(members, origin, rows, columns)
        z = heights[np.stack([row, row, row + 1, row + 1], 1), np.stack([begin, end, end, begin], 1)]
    return np.concatenate([xy, z[:, :, None]], axis=2)


def _runs(mask: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first and last + 1 column of each horizontal run of set cells, cut to at most `most` cells."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    pieces = -(-(end - begin) // most)
    row, begin, end = (np.repeat(values, pieces) for values in (row, begin, end))
    number = np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return row, begin + number * most, np.minimum(begin + (number + 1) * most, end)


def _node_heights(members: Sequence[Lane], origin: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[rows + 1, columns + 1] z at the corners of the cells: of the nearest lane, eased where two meet."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    points = np.concatenate([lane.left + share * (lane.right - lane.left) for lane in members for share in shares])
    total, count = np.zeros((rows + 1, columns + 1)), np.zeros((rows + 1, columns + 1))
    node = np.rint((points[:, :2] - origin) / CELL_M).astype(int)
    node = np.clip(node, 0, (columns, rows))
    np.add.at(total, (node[:, 1], node[:, 0]), points[:, 2])
    np.add.at(count, (node[:, 1], node[:, 0]), 1.0)
    empty = (count == 0.0).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(label.max() + 1)
    by_label[label[empty == 0]] = total[empty == 0] / count[empty == 0]
    heights = by_label[label]
    for _ in range(_SMOOTHINGS):
        heights = cv2.blur(heights, (5, 5), borderType=cv2.BORDER_REPLICATE)
    return heights


def junctions(lanes: Sequence[Lane], kinds: frozenset[str]) -> list[list[Lane]]:
    """The lanes of these kinds, junction by junction."""
    members: dict[int, list[Lane]] = {}
    for lane in lanes:
        if lane.junction_id is not None and lane.kind in kinds:
            members.setdefault(lane.junction_id, []).append(lane)
    return [members[junction] for junction in sorted(members)]
