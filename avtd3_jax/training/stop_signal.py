"""Ctrl-C and SIGTERM end a run in order."""

import signal
import sys
from types import FrameType

from tqdm import tqdm


class StopSignal:
    """Remembers the first SIGINT or SIGTERM, so that the run can end in order; a second one ends it at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        return self.received is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        tqdm.write(
            f"{self.received.name}: finishing this step, then ending. Once more to stop at once.", file=sys.stderr
        )
