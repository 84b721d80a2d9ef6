"""A grid over the ground that knows which boxes reach into each of its cells, for compiled loops."""

import math

import numpy as np
from numba.extending import register_jitable

_MOST_CELLS = 1 << 22

# size (m), first column, first row, columns, rows, and where the members of each cell begin among the members
Grid = tuple[float, int, int, int, int, np.ndarray, np.ndarray]


def grid_of(bounds: np.ndarray, size: float) -> Grid:
    """The grid of boxes.

    Args:
      bounds: [N, 4] least x, least y, largest x, largest y of each, m.
      size: of a cell, m; it is larger where the boxes lie so far apart that there would be too many cells.
    """
    bounds = np.asarray(bounds, np.float64).reshape(-1, 4)
    if not len(bounds):
        return size, 0, 0, 0, 0, np.zeros(1, np.int64), np.zeros(0, np.int64)
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    while np.prod(np.floor(high / size) - np.floor(low / size) + 1.0) > _MOST_CELLS:
        size *= 2.0
    (column0, row0), (column1, row1) = (np.floor(end / size).astype(int) for end in (low, high))
    columns, rows = int(column1 - column0 + 1), int(row1 - row0 + 1)
    spans = np.floor(bounds / size).astype(np.int64) - (column0, row0, column0, row0)
    cells = [
        row * columns + np.arange(first, last + 1)
        for first, low_row, last, high_row in spans
        for row in range(low_row, high_row + 1)
    ]
    heights = spans[:, 3] - spans[:, 1] + 1
    members = np.repeat(np.repeat(np.arange(len(bounds)), heights), [len(part) for part in cells])
    flat = np.concatenate(cells)
    order = np.argsort(flat, kind="stable")  # within a cell the members keep their order
    start = np.zeros(columns * rows + 1, np.int64)
    np.cumsum(np.bincount(flat, minlength=columns * rows), out=start[1:])
    return size, int(column0), int(row0), columns, rows, start, members[order]


@register_jitable
def members_at(grid: Grid, x: float, y: float) -> np.ndarray:
    """The boxes that reach into the cell of a place, numbers rising."""
    size, column0, row0, columns, rows, start, members = grid
    column, row = math.floor(x / size) - column0, math.floor(y / size) - row0
    if column < 0 or row < 0 or column >= columns or row >= rows:
        return members[:0]
    cell = row * columns + column
    return members[start[cell] : start[cell + 1]]


def members_within(grid: Grid, x0: float, y0: float, x1: float, y1: float) -> list[int]:
    """The boxes that reach into one of the cells that these bounds touch, numbers rising."""
    size, column0, row0, columns, rows, start, members = grid
    first, last = max(math.floor(x0 / size) - column0, 0), min(math.floor(x1 / size) - column0, columns - 1)
    low, high = max(math.floor(y0 / size) - row0, 0), min(math.floor(y1 / size) - row0, rows - 1)
    found: set[int] = set()
    for row in range(low, high + 1 if first <= last else low):
        found.update(members[start[row * columns + first] : start[row * columns + last + 1]].tolist())
    return sorted(found)
