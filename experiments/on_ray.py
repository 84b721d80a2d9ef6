"""Rows of experiments as tasks of a Ray cluster.

Checkout, results and run directories must lie where all machines see them under the same path. A task whose process or
machine is lost is given to another one, where the row goes on from its last checkpoint.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from envloop.errors import SimulatorError
from envloop.workers.fleet import FleetConfig
from envloop.workers.ray_cluster import RayCluster, import_ray
from experiments.bound import bound
from experiments.processes import ROOT, Stopped
from experiments.rows import Row

LOCAL = "local"  # the address of a cluster of the campaign's own
_LOOK_S = 1.0
_RETRIES = 3  # times that a row whose machine was lost is given to another


def run(rows: Sequence[Row], options: Sequence[str], address: str, cpus: float, gpus: float) -> int:
    """Makes the rows, as many at once as the cluster has room for; the number of those that failed.

    Args:
      options: of `python -m experiments run`, beside what names a row.
      address: "local", "auto", or HOST:PORT.
      cpus, gpus: what a row asks of its machine.

    Raises:
      TaskError: ray is not installed, or `cpus` or `gpus` cannot be.
      SimulatorError: the cluster cannot be used, or is gone.
      Stopped: by a signal. Rows under way hear of it where they are, and save what they have done.
    """
    for row in rows:
        row.config()  # a key that does not exist shows before work starts
    fleet = FleetConfig(backend="ray", address="" if address == LOCAL else address, cpus=cpus, gpus=gpus)
    fleet.validate()
    with closing(RayCluster(fleet, room(len(rows), cpus))) as cluster, _Signals() as stopped:
        print(f"{len(rows)} rows on Ray at {cluster}", flush=True)
        ray = import_ray()
        task = ray.remote(make_row).options(num_cpus=cpus, num_gpus=gpus, max_retries=_RETRIES)
        under_way = {task.remote([*_words(row), *options]): row for row in rows}
        return _gather(ray, cluster, under_way, stopped)


def room(tasks: int, cpus: float) -> int:
    """How many of so many tasks a cluster of this machine's own takes at once."""
    return min(tasks, max(1, int((os.cpu_count() or 1) / max(cpus, 1.0))))


def _gather(ray: Any, cluster: RayCluster, under_way: Mapping[Any, Row], stopped: "_Signals") -> int:
    failed, left = 0, list(under_way)
    while left:
        stopped.check()
        if cluster.lost:
            raise SimulatorError(cluster.lost.replace("with --resume", "with the same command"))
        done, left = ray.wait(left, timeout=_LOOK_S)
        for reference in done:
            where = f"[{len(under_way) - len(left)}/{len(under_way)}] {under_way[reference]}"
            try:
                code, said = ray.get(reference)
            except ray.exceptions.RayError as error:
                code, said = 1, f"lost: {str(error).splitlines()[0]}"
            failed += code != 0
            print(f"{where}: {said}", flush=True)
    return failed


def make_row(arguments: Sequence[str]) -> tuple[int, str]:
    """On a machine of the cluster: the exit code of one row's process, and the last that it said."""
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.call(bound("experiments", list(arguments)), cwd=ROOT, stdout=output, stderr=output)
        output.seek(0)
        last = (output.read().strip().splitlines() or ["it said nothing"])[-1]
    return code, last.partition(": ")[2] or last


def _words(row: Row) -> list[str]:
    """What makes a row alone, as arguments of `python -m experiments`."""
    seeds = [] if row.seed is None else ["--seeds", str(row.seed)]
    changes = [f"--config.{key}={value}" for key, value in row.extra.items()]
    return ["run", row.experiment.name, "--only", row.variant.name, *seeds, *changes]


class _Signals:
    """Remembers SIGINT and SIGTERM while in `with`, on the main thread."""

    def __init__(self) -> None:
        self._received: signal.Signals | None = None

    def __enter__(self) -> "_Signals":
        def handle(number: int, frame: Any) -> None:
            self._received = signal.Signals(number)

        self._before: dict[signal.Signals, Callable[..., Any] | int | None] = {
            number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises Stopped where one has come."""
        if self._received:
            raise Stopped(self._received)
