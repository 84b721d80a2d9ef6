"""python -m robustness.faults: injects faults into real trainings and prints what became of them.

python -m robustness.faults [--faults NAME ...] [--times 5] [--kills 20] [--json FILE]
python -m robustness.faults soak [--minutes 30] [--every 20] [--environments 1] [--json FILE]

Everything is real: processes, sockets, files, limits, the stock client, minicarla. The trainings are small ones.
"""

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from avtd3_jax import runtime
from reporting.machine import machine
from reporting.publish import chosen, parser, publish
from robustness.faults import rows
from robustness.faults.endings import ENDINGS
from robustness.faults.injections import FAULTS
from robustness.faults.rows import Row

_NAN_RATES = ("1e30", "1e12", "1e6")


def main() -> int:
    """The command; its exit code is 1 when something was not survived."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves no training behind
    if sys.argv[1:2] == ["soak"]:
        from robustness.faults import soak

        return soak.main(sys.argv[2:])
    options = parser(__doc__)
    options.add_argument("--faults", nargs="+", metavar="NAME", help="these alone: parts of their names")
    options.add_argument("--times", type=int, default=5, help="injections of each fault")
    options.add_argument("--kills", type=int, default=20, help="of trainers, which are then resumed")
    options.add_argument("--seed", type=int, default=0, help="of moments and trainings")
    args = options.parse_args()
    makers = _rows(args.times, args.kills, args.seed)
    wanted = {name: make for name, make in makers.items() if chosen(name, args.faults)}
    if not wanted:
        options.error(f"no fault has such a name; there are: {', '.join(makers)}")
    runtime.setup("cpu")
    where, found = machine(), []
    try:
        for name, make in wanted.items():
            print(f"{name} ...", flush=True)
            with tempfile.TemporaryDirectory(prefix="faults-") as folder:
                found.append(make(Path(folder)))
            print(f"    {found[-1]}", flush=True)
    finally:  # what has been measured is told, whatever ends it
        if found:
            print()
            publish(found, where, args.json)
    return int(any(row["survived"] != row["injected"] for row in found if isinstance(row["survived"], int)))


def _rows(times: int, kills: int, seed: int) -> dict[str, Callable[[Path], Row]]:
    """Row's name -> how to make it in a folder."""
    made: dict[str, Callable[[Path], Row]] = {
        kind.name: lambda folder, kind=kind: rows.of_fault(kind(), times, folder, seed)  # type: ignore[misc]
        for kind in FAULTS
    }
    for ending in ENDINGS:
        made[ending.name] = lambda folder, ending=ending: rows.of_ending(ending(), times, folder, seed)  # type: ignore[misc]
    made["learner NaN"] = lambda folder: rows.of_nan(_NAN_RATES, folder, seed)
    made["trainer killed"] = lambda folder: rows.of_trainer_killed(kills, folder, seed)
    return made


if __name__ == "__main__":
    sys.exit(main())
