"""When an asynchronous simulation ticks, and the answers that wait for its ticks.

A client reads positions from the last snapshot that it has received, so the answer to a call that changes what a
snapshot shows (a spawn, for one) is held until the client has taken in the snapshot with the change. Snapshots and
answers travel on two connections, so it does not help to send them in that order. But the stock client reads a snapshot
only when it is done with the one before (LibCarla's streaming/detail/tcp/Client.cpp, `ReadData`): so the change is
known when the snapshot after it has been read, and that can be asked (`protocol.peer_queue`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from minicarla.limits import MAX_REAL_DELTA_S, MIN_DELTA_S

PERIOD_S = 0.05  # between the ticks of a simulation that keeps to real time
# Between two ticks of any asynchronous simulation. It leaves a part of the core for the clients' calls, and no client
# has to read more than 1000 snapshots a second.
PAUSE_S = 0.001
PATIENCE_S = 0.2  # with a client that does not read; it is not waited for again until it has read everything
_ROUNDING_S = 0.001  # of the loop's timers

T = TypeVar("T")
log = logging.getLogger(__name__)


class Ticking(Protocol):
    """What the clock needs of the simulation."""

    @property
    def frame(self) -> int:
        """Of the last tick."""

    def step(self, real_s: float) -> None:
        """Make a tick, `real_s` after the last one."""

    def hurries(self) -> bool:
        """Whether ticks shall come as fast as they can: each is of a fixed length, and somebody is there to see."""

    def has_been_read(self) -> bool:
        """Whether the clients have read all snapshots, as far as that can be known."""

    def give_up(self) -> None:
        """Leave the clients that have not read all snapshots out of `has_been_read` until they have."""


class Clock:
    """Ticks by itself while it runs.

    Real time is kept at `1 / PERIOD_S` ticks a second. Sooner ticks come when the simulation hurries, and when answers
    wait for them. Behind its time the simulation slows down: it neither hurries nor starves its clients.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, simulation: Ticking) -> None:
        self._loop = loop
        self._simulation = simulation
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._last = 0.0  # of real time's next tick, and of the last tick of all; the loop's time
        self._stepped_at = 0.0  # the same, by a finer clock
        self._waiting: list[Callable[[int], None]] = []  # called with the frame of the coming tick
        # Answers whose changes no snapshot has, the last snapshot has, the one before has.
        self._changed: list[Callable[[], None]] = []
        self._shown: list[Callable[[], None]] = []
        self._followed: list[Callable[[], None]] = []

    @property
    def runs(self) -> bool:
        """Whether the simulation is asynchronous."""
        return self._timer is not None

    def start(self, delay_s: float = 0.0) -> None:
        """Begin to tick, for the first time in `delay_s`; a running clock begins anew."""
        self._due = self._last = self._loop.time() + delay_s
        self._stepped_at = time.monotonic() + delay_s - PERIOD_S
        self._wake_at(self._due)

    def stop(self) -> None:
        """Stop ticking; nothing waits for a tick any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._followed += self._shown + self._changed
            self._shown, self._changed = [], []
            self._release_waiting()
            self._release_followed()

    def at_next_tick(self, answer: Callable[[int], T]) -> "asyncio.Future[T]":
        """`answer(frame)` as soon as the coming tick's snapshot has been sent."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(lambda frame: _resolve(future, answer(frame)))
        return future

    def when_known(self, value: T) -> "asyncio.Future[T]":
        """`value`, when the clients know of what has just changed. Ticks come soon for it."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._changed.append(lambda: _resolve(future, value))
        self._wake_at(max(self._last + PAUSE_S, self._loop.time()))
        return future

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        now = self._loop.time()
        if (self._followed or self._simulation.hurries()) and not self._simulation.has_been_read():
            if now < self._last + PATIENCE_S:
                self._wake_at(now + PAUSE_S)
                return
            self._simulation.give_up()
        self._release_followed()
        if self._changed or self._shown or self._simulation.hurries() or now >= self._due - _ROUNDING_S:
            self._tick(now)
        if self._shown or self._changed:
            self._wake_at(now)
        elif self._followed or self._simulation.hurries():
            self._wake_at(self._loop.time() + PAUSE_S)
        else:
            self._wake_at(self._due)

    def _tick(self, now: float) -> None:
        if now >= self._due - _ROUNDING_S:
            self._due = max(self._due + PERIOD_S, now + 0.2 * PERIOD_S)
        stepped_at = time.monotonic()
        elapsed, self._stepped_at = stepped_at - self._stepped_at, stepped_at
        try:
            self._simulation.step(min(max(elapsed, MIN_DELTA_S), MAX_REAL_DELTA_S))
        except Exception:
            log.exception("a tick has failed; the simulation goes on")
        self._last = self._loop.time()
        self._followed, self._shown, self._changed = self._followed + self._shown, self._changed, []
        self._release_waiting()

    def _release_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ticked in waiting:
            ticked(self._simulation.frame)

    def _release_followed(self) -> None:
        followed, self._followed = self._followed, []
        for known in followed:
            known()


def _resolve(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)
