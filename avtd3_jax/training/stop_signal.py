"""Ctrl-C and SIGTERM end a run in order."""

import signal
import sys
from types import FrameType

from tqdm import tqdm

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Remembers the first SIGINT or SIGTERM, so that the run can end in order; a second one ends it at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def release(self) -> None:
        """There is no run any more: a signal ends what is left of the process, without a word."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        return self.received is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        tqdm.write(
            f"{self.received.name}: finishing this step, then ending. Once more to stop at once.", file=sys.stderr
        )
