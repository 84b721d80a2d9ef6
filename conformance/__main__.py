"""Runs CARLA's own code against minicarla, one server each, and prints a table.

python -m conformance PYTHONAPI [--maps DIR] [--suites smoke scripts agents] [--only PART ...] [--json FILE]

PYTHONAPI is the folder of that name in a copy of CARLA 0.9.16's repository. Nothing in it is changed.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from conformance import agents, scripts, smoke
from conformance.child import Ending
from conformance.job import Job
from conformance.server import ServerError, running
from reporting.machine import machine
from reporting.publish import chosen, parser, publish

SUITES = {"smoke": smoke.jobs, "scripts": scripts.jobs, "agents": agents.jobs}


def main() -> int:
    """The command; its exit code is 1 when something has failed."""
    options = parser(__doc__)
    options.add_argument("python_api", type=Path, metavar="PYTHONAPI")
    options.add_argument("--maps", type=Path, metavar="DIR", help="folder with CARLA's maps (Town02.xodr, ...)")
    options.add_argument("--suites", nargs="+", choices=tuple(SUITES), default=list(SUITES))
    options.add_argument("--only", nargs="+", metavar="PART", help="these alone: parts of their names")
    args = options.parse_args()
    if not (args.python_api / "examples").is_dir():
        options.error(f"{args.python_api} has no folder 'examples': give the PythonAPI folder of CARLA's repository")
    python_api = args.python_api.resolve()
    maps = args.maps.resolve() if args.maps else None
    jobs = [job for suite in args.suites for job in SUITES[suite](python_api) if chosen(job.name, args.only)]
    if not jobs:
        options.error("nothing of that name is there: leave out --only")
    where, rows = machine(), []
    try:
        for number, job in enumerate(jobs, start=1):
            print(f"{number}/{len(jobs)} {job.name} ...", flush=True)
            rows.append(_row(job, maps))
            print(f"    {rows[-1]['verdict']} {rows[-1]['why']}", flush=True)
    finally:  # what has been seen is told, whatever ends it
        if rows:
            print()
            publish(rows, where, args.json)
            print()
            print(_summary(rows))
    return int(any(row["verdict"] == "failed" for row in rows))


def _row(job: Job, maps: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        scratch = Path(folder)
        log = scratch / "minicarla.log"
        try:
            with running(job.port, maps, log, scratch) as server:
                ending = job.run(scratch)
                if server.poll() is not None:
                    ending = Ending("failed", ending.seconds, f"the server ended with {server.returncode}")
        except ServerError as failure:
            ending = Ending("failed", 0.0, str(failure))
    return {"what": job.name, "verdict": ending.verdict, "seconds": round(ending.seconds), "why": ending.reason}


def _summary(rows: list[dict[str, Any]]) -> str:
    """Passed, failed and skipped, by kind."""
    kinds = dict.fromkeys(_kind(row["what"]) for row in rows)
    counts = {kind: Counter(row["verdict"] for row in rows if _kind(row["what"]) == kind) for kind in kinds}
    return "\n".join(
        f"{kind}: {count['passed']} of {count.total()} passed, {count['failed']} failed, {count['skipped']} skipped"
        for kind, count in counts.items()
    )


def _kind(what: str) -> str:
    return what.replace("/", " ").split()[0]


if __name__ == "__main__":
    sys.exit(main())
