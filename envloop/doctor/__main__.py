"""Asks a CARLA, or minicarla, for what the driving task relies on, and says what to do where it is not right."""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.doctor.examination import Row, config_of, endpoint_of, examine
from envloop.doctor.finding import Verdict
from envloop.doctor.subject import QUICK, Effort
from envloop.errors import EnvLoopError
from envloop.terminal import is_watched

_EXAMPLE = """examples:
  python -m envloop.doctor                                        a minicarla of its own
  python -m envloop.doctor --endpoint 127.0.0.1:2000 --json carla.json

The exit code is 0 where nothing fails, 1 where something does. The server must be free: the checks load the town,
change the weather, and leave the world empty.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return _examined(args)
    except EnvLoopError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("doctor: interrupted; nothing was written.", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m envloop.doctor",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoint", help="HOST:PORT of a running CARLA 0.9.16 (default: start a minicarla)")
    parser.add_argument("--town", default=SimulatorConfig().town, help="map to drive on (default: %(default)s)")
    parser.add_argument("--json", type=_writable, help="write what was measured to this file")
    parser.add_argument("--quick", action="store_true", help="look less long: 20 resets instead of 200")
    return parser


def _writable(name: str) -> Path:
    path = Path(name)
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{name} cannot be written: name a file in a folder that exists")
    return path


def _examined(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    print(f"doctor     asks {args.endpoint or 'a minicarla that it starts'}, {args.town}", flush=True)
    with endpoint_of(args.endpoint, args.town) as endpoint, Screen() as screen:
        rows = []
        found = examine(config_of(endpoint, args.town), QUICK if args.quick else Effort(), screen.tell, screen.started)
        with contextlib.closing(found):
            for row in found:
                rows.append(row)
                screen.show(row)
        told = record(rows, endpoint, screen.identity)
    counts = ", ".join(f"{sum(row.finding.verdict is verdict for row in rows)} {verdict}" for verdict in Verdict)
    print(f"{counts}, in {time.perf_counter() - start:.0f} s")
    if args.json is not None:
        args.json.write_text(json.dumps(told, indent=2) + "\n")
        print(f"written to {args.json}")
    return int(any(row.finding.verdict is Verdict.FAIL for row in rows))


class Screen:
    """One line for each check, and on a terminal how far the one under way is."""

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        self._bar: tqdm[Any] | None = None
        self._is_terminal = is_watched()

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bar()

    def started(self, simulator: Simulator) -> None:
        """The simulator has said what it is."""
        self.identity = simulator.identity()

    def tell(self, done: int, total: int) -> None:
        """Part of a check is done."""
        if not self._is_terminal:
            return
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            self._end_bar()
            self._bar = tqdm(total=total, file=sys.stderr, leave=False, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def show(self, row: Row) -> None:
        """A check is done."""
        self._end_bar()
        print(f"{row.finding.verdict:<5} {row.check:<17} {row.finding.measured}", flush=True)
        if row.finding.advice:
            print(f"{'':23} what to do: {row.finding.advice}", flush=True)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def record(rows: Sequence[Row], endpoint: str, identity: dict[str, Any]) -> dict[str, Any]:
    """What `--json` writes: which simulator, where, when, and every row with its numbers."""
    return {
        "endpoint": endpoint,
        "simulator": identity,
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        },
        "time": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "checks": [
            {
                "check": row.check,
                "verdict": row.finding.verdict.value,
                "measured": row.finding.measured,
                "advice": row.finding.advice,
                "seconds": round(row.seconds, 3),
                "values": dict(row.finding.values),
            }
            for row in rows
        ],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
