"""What does the live page cost training? Figures are minicarla's, never CARLA's.

python -m benchmarks.monitor [--scenarios empty 0] [--seconds 8] [--pairs 10] [--json FILE]

One training goes on, with one browser's worth of requests, and the page is there in every other window: without it no
picture is made, and the page's process and the browser stand still. "x without" is steps/s with the page over those
without it, in two windows that follow each other, and every other pair runs in the reverse order. The spread is that of
the machine; the median is the cost.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr
from functools import partial
from typing import Any, cast

import psutil

from avtd3_jax import runtime
from avtd3_jax.monitor.station import live_page, url
from avtd3_jax.monitor.watched import WatchedEnvironments
from avtd3_jax.training.build import build_learner
from avtd3_jax.training.trainer import Trainer
from benchmarks.bare_training import bare_training, configured
from envloop.env import CarlaEnv
from envloop.free_ports import free_ports
from envloop.workers.local import LocalEnv
from envloop.workers.pool import EnvPool
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

_WARM_UP_S = 1.0  # of a window
_BROWSER = """
import sys, time, urllib.request
while True:
    for path in ("state.json", "picture/0.jpg"):
        try:
            urllib.request.urlopen(sys.argv[1] + path, timeout=5).read()
        except OSError:
            pass
    time.sleep(0.5)
"""


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--scenarios", nargs="*", default=["empty", "0"], help="of the task")
    options.add_argument("--seconds", type=float, default=8.0, help="of a window")
    options.add_argument("--pairs", type=int, default=10)
    args = options.parse_args()
    info = runtime.setup("auto")
    rows = [{"scenario": scenario, **measured(scenario, args.seconds, args.pairs)} for scenario in args.scenarios]
    publish(rows, machine() | {"device": f"{info.device} ({info.device_kind})"}, args.json)


def measured(scenario: str, seconds: float, pairs: int) -> dict[str, Any]:
    """Steps per second with and without the page, and their ratio in pairs of windows."""
    run = configured({"scenario": scenario, "monitor.port": free_ports(), "log_every": 100, "batch_size": 64})
    with ExitStack() as stack:
        page = stack.enter_context(live_page(run.monitor))
        browser = subprocess.Popen([sys.executable, "-c", _BROWSER, url(run.monitor)])
        stack.callback(browser.kill)
        training = bare_training(run, partial(build_learner, run), stack, page.point)
        trainer, pool = training.trainer, training.pool
        lookers = [psutil.Process(browser.pid), *filter(_is_page, psutil.Process().children())]
        windows = Windows(trainer, pool, lookers, seconds, pairs)
        watched = WatchedEnvironments(pool, pool.description, page, run.monitor.pictures_per_s)
        with redirect_stderr(None):  # no bar: how many steps there will be is what is measured
            trainer.run(watched, windows.over)
        windows.look(True)  # a stopped process does not end
    return windows.result()


class Windows:
    """Measures a training window by window, each time that its loop comes around."""

    def __init__(
        self, trainer: Trainer, pool: EnvPool, lookers: list[psutil.Process], seconds: float, pairs: int
    ) -> None:
        self._trainer = trainer
        self._pool = pool
        self._lookers = lookers
        self._seconds = seconds
        self._pairs = pairs
        self._rates: list[dict[bool, float]] = []
        self._course = self._measuring()

    def over(self) -> bool:
        """Asked once a turn of the loop."""
        return next(self._course, True)

    def look(self, on: bool) -> None:
        """The page is there, or it is not."""
        environment = cast(LocalEnv, self._pool.members[0].backend).env
        assert isinstance(environment, CarlaEnv)
        environment.spectator.paused = not on
        for one in self._lookers:
            one.resume() if on else one.suspend()

    def result(self) -> dict[str, Spread]:
        """Spreads over the pairs."""
        return {
            "steps/s with": Spread.of([pair[True] for pair in self._rates]),
            "steps/s without": Spread.of([pair[False] for pair in self._rates]),
            "x without": Spread.of([pair[True] / pair[False] for pair in self._rates]),
        }

    def _measuring(self) -> Iterator[bool]:
        counters = self._trainer.counters
        while counters.update < 50:
            yield False
        for number in range(self._pairs):
            rates: dict[bool, float] = {}
            for on in (True, False)[:: -1 if number % 2 else 1]:
                self.look(on)
                yield from _for(_WARM_UP_S)
                began, steps = time.perf_counter(), counters.step
                yield from _for(self._seconds)
                rates[on] = (counters.step - steps) / (time.perf_counter() - began)
            self._rates.append(rates)
            left_s = 2 * (_WARM_UP_S + self._seconds) * (self._pairs - number - 1)
            found = f"{rates[True]:.1f} and {rates[False]:.1f} steps/s"
            print(f"pair {number + 1} of {self._pairs}: {found}; {left_s:.0f} s left", flush=True)


def _for(seconds: float) -> Iterator[bool]:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield False


def _is_page(process: psutil.Process) -> bool:
    return "avtd3_jax.monitor.server" in process.cmdline()


if __name__ == "__main__":
    main()
