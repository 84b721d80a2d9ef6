"""A log that no client can flood."""

import logging
import time

from minicarla.limits import LINES_PERIOD_S, MAX_LINES


class Throttle(logging.Filter):
    """Lets `MAX_LINES` records pass in `LINES_PERIOD_S` seconds; the next one then says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._began = -LINES_PERIOD_S
        self._passed = self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Part of `logging.Filter`."""
        now = time.monotonic()
        if now - self._began >= LINES_PERIOD_S:
            if self._left_out:
                record.msg = f"({self._left_out} lines left out) {record.msg}"
            self._began, self._passed, self._left_out = now, 0, 0
        if self._passed >= MAX_LINES:
            self._left_out += 1
            return False
        self._passed += 1
        return True
