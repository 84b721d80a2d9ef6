"""Which bodies are so close that they may touch, and whether any do: compiled, for nearly every step ends here."""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from minicarla.geometry.boxes import Box, first_touch, place_box
from minicarla.geometry.cells import Grid
from minicarla.numba_cache import CACHE
from minicarla.physics.rows import Motion

CELL = 8.0  # m, of both spatial hashes
BOX = np.dtype([(name, "<f8") for name in Box.__slots__])


def records_of(boxes: list[Box]) -> np.ndarray:
    """[N] of type `BOX`."""
    values = [tuple(getattr(box, name) for name in Box.__slots__) for box in boxes]
    return np.array(values, BOX) if values else np.zeros(0, BOX)


@register_jitable
def moves(state: Motion) -> bool:
    """Whether a body has any speed."""
    return state.vx != 0.0 or state.vy != 0.0 or state.yaw_rate != 0.0


@njit(cache=CACHE)
def find_pairs(rows: np.ndarray, which: np.ndarray, dt: float, pairs: np.ndarray) -> int:
    """Pairs of which one moves and whose circles, grown by the step's motion, overlap.

    Args:
      rows: of type `rows.BODIES`. which: [N] int64, numbers of the bodies; those that do not collide are left out.
      pairs: [P, 2] int64, written: places in `which`. Of more than P pairs the last are left out.

    Returns:
      How many there are. Their order depends on that of `which` alone.
    """
    count = which.size
    reaches = np.zeros(count)
    longest = 0.0
    for i in range(count):
        state, solid = rows[which[i]].state, rows[which[i]].solid
        if solid.collides:
            reaches[i] = solid.radius + (abs(state.vx) + abs(state.vy)) * dt
            longest = max(longest, reaches[i])
    size = max(CELL, 2.0 * longest)
    columns, lines, start, members = _sorted_into_cells(rows, which, size)
    near = np.empty(count, np.int64)
    found = 0
    for cell in range(columns.size):
        begin, end = start[cell], start[cell + 1]
        here = end - begin
        total = 0
        for member in members[begin:end]:
            near[total] = member
            total += 1
        # Half of the neighbouring cells: the other half finds this cell as its own neighbour.
        for east, north in ((1, 0), (-1, 1), (0, 1), (1, 1)):
            other = _place_of(columns, lines, columns[cell] + east, lines[cell] + north)
            if other >= 0:
                for member in members[start[other] : start[other + 1]]:
                    near[total] = member
                    total += 1
        for rank in range(here):
            i = near[rank]
            a = rows[which[i]].state
            for j in near[rank + 1 : total]:
                b = rows[which[j]].state
                limit, dx, dy = reaches[i] + reaches[j], a.x - b.x, a.y - b.y
                if dx * dx + dy * dy <= limit * limit and (moves(a) or moves(b)):
                    pairs[found, 0], pairs[found, 1] = i, j
                    found += 1
                    if found == pairs.shape[0]:
                        return found
    return found


@njit(cache=CACHE)
def _sorted_into_cells(
    rows: np.ndarray, which: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns and lines of the cells that have members, by their first ones; where each begins; the members."""
    count = which.size
    columns, lines = np.empty(count, np.int64), np.empty(count, np.int64)
    cell_of = np.full(count, -1)
    sizes = np.zeros(count + 1, np.int64)
    slots = 4
    while slots < 4 * count:
        slots *= 2
    table = np.full(slots, -1)
    cells = 0
    for i in range(count):
        if not rows[which[i]].solid.collides:
            continue
        state = rows[which[i]].state
        column, line = math.floor(state.x / size), math.floor(state.y / size)
        slot = (column * 73856093 ^ line * 19349663) & (slots - 1)
        while table[slot] >= 0 and (columns[table[slot]] != column or lines[table[slot]] != line):
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot], columns[cells], lines[cells] = cells, column, line
            cells += 1
        cell_of[i] = table[slot]
        sizes[table[slot] + 1] += 1
    start = np.cumsum(sizes[: cells + 1])
    filled = start[:-1].copy()
    members = np.empty(start[-1], np.int64)
    for i in range(count):
        if cell_of[i] >= 0:
            members[filled[cell_of[i]]] = i
            filled[cell_of[i]] += 1
    return columns[:cells], lines[:cells], start, members


@register_jitable
def _place_of(columns: np.ndarray, lines: np.ndarray, column: int, line: int) -> int:
    for cell in range(columns.size):
        if columns[cell] == column and lines[cell] == line:
            return cell
    return -1


@njit(cache=CACHE)
def find_static_pairs(
    rows: np.ndarray, which: np.ndarray, dt: float, grid: Grid, static: np.ndarray, gone: np.ndarray, pairs: np.ndarray
) -> int:
    """Moving bodies and static boxes within their reach, as `find_pairs`; the boxes of a body by rising numbers.

    Args:
      grid: of the static boxes. static: [S] of type `BOX`. gone: [S] bool, those that are not there.
    """
    size, column0, row0, columns, lines, start, members = grid
    found = 0
    for i in range(which.size):
        state, solid = rows[which[i]].state, rows[which[i]].solid
        if not (solid.collides and moves(state)):
            continue
        reach = solid.radius + max(abs(state.vx), abs(state.vy)) * dt
        first = found
        for line in range(
            max(math.floor((state.y - reach) / size) - row0, 0),
            min(math.floor((state.y + reach) / size) - row0, lines - 1) + 1,
        ):
            for column in range(
                max(math.floor((state.x - reach) / size) - column0, 0),
                min(math.floor((state.x + reach) / size) - column0, columns - 1) + 1,
            ):
                for number in members[start[line * columns + column] : start[line * columns + column + 1]]:
                    box = static[number]
                    dx, dy = state.x - box.x, state.y - box.y
                    along = abs(dx * box.cos + dy * box.sin) - box.ex
                    across = abs(dy * box.cos - dx * box.sin) - box.ey
                    if along > reach or across > reach or gone[number]:
                        continue
                    place = found
                    while place > first and pairs[place - 1, 1] > number:
                        place -= 1
                    if place > first and pairs[place - 1, 1] == number:  # another cell had it
                        continue
                    for later in range(found, place, -1):
                        pairs[later, 1] = pairs[later - 1, 1]
                    pairs[found, 0], pairs[place, 1] = i, number
                    found += 1
                    if found == pairs.shape[0]:
                        return found
    return found


@njit(cache=CACHE)
def any_touches(
    rows: np.ndarray, which: np.ndarray, dt: float, static: np.ndarray, pairs: np.ndarray, static_pairs: np.ndarray
) -> bool:
    """Whether the bodies of any pair have met on their way; see `find_pairs` and `find_static_pairs`."""
    boxes = np.empty(which.size, BOX)
    for i in range(which.size):
        state, solid = rows[which[i]].state, rows[which[i]].solid
        place_box(boxes[i], state, solid.ex, solid.ey, solid.ez, solid.centre_x, solid.centre_z)
    for i, j in pairs:
        a, b = rows[which[i]].state, rows[which[j]].state
        if first_touch(boxes[i], boxes[j], (a.vx - b.vx) * dt, (a.vy - b.vy) * dt) is not None:
            return True
    for i, number in static_pairs:
        a = rows[which[i]].state
        if first_touch(boxes[i], static[number], a.vx * dt, a.vy * dt) is not None:
            return True
    return False
