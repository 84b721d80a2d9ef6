"""From two pictures to the events of a camera that sees changes only. Compiled by numba."""

import numpy as np
from numba import njit

from minicarla.numba_cache import CACHE

_UNCHANGED = 1e-6  # what CARLA takes for no change
NEVER = -1  # time of the last event of a pixel that has had none


@njit(cache=CACHE)
def find_events(
    before: np.ndarray, now: np.ndarray, begin_ns: int, passed_ns: int, brighter: np.ndarray, darker: np.ndarray,
    refractory_ns: int, reference: np.ndarray, last_ns: np.ndarray, at: np.ndarray, time_ns: np.ndarray,
    polarity: np.ndarray,
) -> int:  # fmt: skip
    """Finds the events of all pixels, one pixel after the other; how many there are.

    CARLA's ADVSCamera::Simulation: the brightness goes from one picture to the next in a straight line, and each time
    that it has gone a threshold away from the reference there is an event, and the reference is moved there.

    Args:
      before, now: [N] float32, brightness of the pixels of the two pictures, which are `passed_ns` apart.
      brighter, darker: [N] or [1] float32 above 0, the thresholds of each pixel.
      refractory_ns: for so long after an event a pixel has no other.
      reference: [N] float32, last_ns: [N] int64: of each pixel, brought up to date.
      at: [M] int64, time_ns: [M] int64, polarity: [M] bool, written: pixel, time, whether it became brighter. No more
        than M thresholds are looked at; the changes of the pixels behind them are lost.
    """
    count, room = 0, at.size
    for i in range(now.size):
        change = now[i] - before[i]
        if abs(change) <= _UNCHANGED:
            continue
        if room == 0:
            reference[i] = now[i]
            continue
        up = change > 0.0
        thresholds = brighter if up else darker
        threshold = thresholds[i if thresholds.size > 1 else 0]
        step = threshold if up else -threshold
        level = reference[i] + step
        while room > 0 and (before[i] < level <= now[i] if up else now[i] <= level < before[i]):
            room -= 1
            moment = begin_ns + np.int64((level - before[i]) / change * passed_ns)
            if last_ns[i] == NEVER or moment - last_ns[i] >= refractory_ns:
                at[count], time_ns[count], polarity[count] = i, moment, up
                last_ns[i] = moment
                count += 1
            reference[i] = level
            level += step
    return count
