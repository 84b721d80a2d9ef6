"""What a command shows while it works: a bar on a terminal, a line now and then in a file or a pipe."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from tqdm import tqdm

from avtd3_jax.pace import Pace

_BAR_EVERY_S, _LINE_EVERY_S = 0.1, 10.0
_TIMES = "[{elapsed}<{left}, {rate_fmt}{postfix}]"
_LINE = "{percentage:3.0f}% {n_fmt}/{total_fmt} {unit} " + _TIMES
_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} " + _TIMES


class Progress(tqdm):
    """Progress on standard error; on one that is no terminal, whole lines, at most one every 10 s and one at the end.

    `tqdm.write` goes with it, as with any bar of tqdm's. Where there is no standard error it shows nothing. The time
    that is left counts interruptions to come; with a "+" it is the least, where one cannot know yet.

    Args:
      iterable: what to count the items of; without one, call `update`.
      total: how many there will be.
      unit: the name of one.
      initial: how many there are already.
      interrupted_every, steady_from: see `Pace`.
    """

    # tqdm goes by the time of day: set back, it would stop the bar until it has caught up.
    _time = property(lambda self: time.monotonic, lambda self, clock: None)

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        *,
        total: int,
        unit: str,
        initial: int = 0,
        interrupted_every: int = 0,
        steady_from: int = 0,
    ) -> None:
        self._pace = Pace(time.monotonic, total, interrupted_every, steady_from)
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next_line_s = time.monotonic() + _LINE_EVERY_S
        super().__init__(
            iterable,
            total=total,
            unit=unit,
            initial=initial,
            file=sys.stderr,
            disable=sys.stderr is None,
            mininterval=_BAR_EVERY_S if self._on_terminal else _LINE_EVERY_S,
            dynamic_ncols=self._on_terminal,
            bar_format=_BAR if self._on_terminal else _LINE,
        )

    def interruption(self) -> AbstractContextManager[None]:
        """What is done in the block is no item, such as an evaluation."""
        return self._pace.interruption(self.n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """Part of tqdm: what is shown."""
        self._pace.saw(self.n)
        left_s, is_all = self._pace.left_s(self.n)
        left = "?" if left_s is None else f"{self.format_interval(left_s)}{'' if is_all else '+'}"
        return {**super().format_dict, "rate": self._pace.rate, "left": left}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Part of tqdm: shows the state."""
        if self._on_terminal:
            return bool(super().display(msg, pos))
        closing = self.disable  # tqdm ends the last line itself
        if closing or time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _LINE_EVERY_S
            self.fp.write(str(self) + ("" if closing else "\n"))
            self.fp.flush()
        return True

    def clear(self, nolock: bool = False) -> None:
        """Part of tqdm: makes room for a message."""
        if self._on_terminal:
            super().clear(nolock)


def reader_gone() -> int:
    """Exit code of a command whose output nobody reads any more (`| head`); Python's own complaint goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return 128 + signal.SIGPIPE
