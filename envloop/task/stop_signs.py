"""Stop signs: who has not stood still in front of the line has run the sign.

As CARLA's RunningStopTest has it: standing is slower than 0.1 m/s, within the sign's box. Its box reaches from a little
before the line to a little behind it; here that is the place of the car's front bumper.
"""

from collections.abc import Sequence

_STANDING_MPS = 0.1
_BEFORE_M, _PAST_M = 6.0, 2.0


class StopSigns:
    """Those of one route that a car has yet to honour.

    Args:
      lines: arc lengths of the lines in front of them, m, in order.
      front: arc length of the front bumper at the start, m; what it has passed by then is left out.
    """

    def __init__(self, lines: Sequence[float], front: float) -> None:
        self.due: tuple[float, ...] = tuple(line for line in lines if front <= line + _PAST_M)

    def run(self, front: float, speed_mps: float) -> int:
        """How many signs the car has just run. Call it in every tick.

        Args:
          front: arc length of the front bumper, m.
        """
        if speed_mps < _STANDING_MPS:
            self.due = tuple(line for line in self.due if not -_PAST_M <= line - front <= _BEFORE_M)
        ahead = tuple(line for line in self.due if front <= line + _PAST_M)
        run, self.due = len(self.due) - len(ahead), ahead
        return run
