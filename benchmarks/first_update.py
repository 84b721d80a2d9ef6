"""How long from the start of a process to its first update? The machine's own doings, then the compiler's.

python -m benchmarks.first_update [--repetitions 3] [--json FILE]

The first row begins with an empty compile cache, the others find it. The renderer's machine code lies beside the
package and is there after any earlier start.

The columns are moments, in seconds from the process's start:
  settings imported: the command can read its configuration, and starts the simulator.
  jax imported: JAX, Flax and the learner's modules are there.
  jax ready: JAX has its device.
  learner built: networks are initialised, and the updates begin to compile on a thread.
  simulator ready: the environment is open, on a thread too.
  first step: the loop asks for its first action.
  updates compiled: that thread is done.
  first update due, first update done: after 256 exploration steps.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import OF_RECORD, since_start
from reporting.machine import machine
from reporting.publish import Spread, parser, publish

_EXPLORATION = 256  # steps, as many as a batch has transitions


def main() -> None:
    """The command."""
    options = parser(__doc__)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--batch", type=int, default=256)
    options.add_argument("--marks", action="store_true", help="be the run that is measured: print its moments")
    args = options.parse_args()
    if args.marks:
        train_and_mark(args.batch)
        return
    with tempfile.TemporaryDirectory() as cache:
        runs = [marks(args.batch, Path(cache)) for _ in range(1 + args.repetitions)]
    names = list(runs[0])
    rows = [{"start": "first, nothing compiled", **{name: Spread.of([runs[0][name]]) for name in names}}]
    rows.append({"start": "second", **{name: Spread.of([run[name] for run in runs[1:]]) for name in names}})
    publish(rows, machine(), args.json)


def marks(batch: int, cache: Path) -> dict[str, float]:
    """Seconds from the start of one run's process to its moments, with the compile cache in `cache`."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_update", "--marks", "--batch", str(batch)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"The run that was to be measured failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def train_and_mark(batch: int) -> None:
    """A run of the training command that ends with its first update; prints its moments."""
    found: dict[str, float] = {}

    def mark(name: str) -> None:
        found.setdefault(f"{name} s", since_start())

    def marked(home: Any, function: str, name: str) -> None:
        """Lets `home.function` mark when it has returned for the first time."""
        inner: Callable[..., Any] = getattr(home, function)

        @functools.wraps(inner)
        def outer(*args: Any, **kwargs: Any) -> Any:
            returned = inner(*args, **kwargs)
            mark(name)
            return returned

        setattr(home, function, outer)

    from avtd3_jax import train
    from avtd3_jax.settings.config_file import load
    from avtd3_jax.settings.run_config import file_values

    mark("settings imported")
    values = file_values(load(OF_RECORD))
    values |= {"exploration_steps": _EXPLORATION, "total_steps": _EXPLORATION + 2, "batch_size": batch, "eval_every": 0}
    marked(train, "EnvPool", "simulator ready")

    inner = train._opening

    @contextmanager
    def opening(*args: Any) -> Iterator[Any]:
        with inner(*args) as found:
            from avtd3_jax import session  # the command's next step

            mark("jax imported")
            marked(session.runtime, "setup", "jax ready")
            marked(session, "build_learner", "learner built")
            _mark_the_loop(marked, mark)
            yield found

    train._opening = opening  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        train.train(values, Path(folder) / "run", resume=False, stop=train.StopSignal())
    print(json.dumps(dict(sorted(found.items(), key=lambda moment: moment[1]))))


def _mark_the_loop(marked: Callable[[Any, str, str], None], mark: Callable[[str], None]) -> None:
    from avtd3_jax.agent.td3 import TD3
    from avtd3_jax.training.learner import Learner
    from avtd3_jax.training.trainer import Trainer

    marked(TD3, "compile", "updates compiled")
    begin_act, settle = Trainer._begin_act, Learner.settle

    def marked_begin_act(self: Trainer, observations: Any) -> Any:
        mark("first step")
        if self.counters.step == _EXPLORATION + 1:
            mark("first update due")
        return begin_act(self, observations)

    def marked_settle(self: Learner) -> None:
        done = self._in_flight is not None
        settle(self)
        if done:
            mark("first update done")

    Trainer._begin_act, Learner.settle = marked_begin_act, marked_settle  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
