"""The Ray cluster that a run's environments live in. This module alone and `ray_env` import ray, and only when used."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil

from envloop.errors import SimulatorError, TaskError
from envloop.workers.fleet import FleetConfig

_LOOK_S, _ANSWER_S = 2.0, 5.0  # between two looks after the head, and what it may take to answer one
_GONE_AFTER = 3  # looks in a row that found no head: Ray itself ends the process a minute after it
_OBJECT_STORE = 256 * 2**20  # bytes; what is under way at any time is little
_QUIET = {
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # environments keep the GPUs that their machine shows
    "RAY_DEDUP_LOGS": "0",
}


class RayCluster:
    """A connection to the cluster of `fleet.address`, or a cluster of this machine's own, which ends with `close`.

    Make it on the main thread: Ray takes the handler of SIGTERM, which is given back.

    Raises:
      TaskError: ray is not installed.
      SimulatorError: the cluster cannot be reached.
    """

    def __init__(self, fleet: FleetConfig, environments: int) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        ray = import_ray()
        own = {} if fleet.address else _own(fleet, environments)
        before = set(psutil.Process().children())
        try:
            with _signals_kept():
                ray.init(address=fleet.address or "local", log_to_driver=False, configure_logging=False, **own)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SimulatorError(
                f"The Ray cluster {fleet.address or 'of this machine'} cannot be used: {reason}"
            ) from error
        self._ray = ray
        self._started = set(psutil.Process().children()) - before  # none where the cluster is another's
        self._head = ray.get_runtime_context().gcs_address
        self.lost = ""  # why it cannot be used any more, "" while all is well
        self._left: list[psutil.Process] = []  # of a cluster of the run's own that is lost
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="ray-head", daemon=True).start()

    def __str__(self) -> str:
        alive = sum(bool(node["Alive"]) for node in self._ray.nodes())
        return f"{self._head} ({alive} machine{'s' if alive != 1 else ''})"

    def publish(self, value: Any) -> Any:
        """Puts `value` where every machine can read it; the reference to it, or None while the object store is full."""
        errors = self._ray.exceptions
        try:
            return self._ray.put(value)
        except (errors.ObjectStoreFullError, errors.OutOfDiskError, errors.RaySystemError):
            return None

    def close(self) -> None:
        """Leaves the cluster; ends it where it is the run's own. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        if not self.lost:
            self._ray.shutdown()
            return
        for process in self._left:  # Ray itself would wait for its head
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _watch(self) -> None:
        host, _, port = self._head.rpartition(":")
        missed = 0
        while not self._closed.wait(_LOOK_S):
            try:
                socket.create_connection((host, int(port)), _ANSWER_S).close()
                missed = 0
            except OSError:
                missed += 1
            if missed >= _GONE_AFTER:
                self._left = [member for process in self._started for member in _family(process)]
                self.lost = f"Ray's head at {self._head} is gone: start it again, then go on with --resume."
                return


def import_ray() -> Any:
    """The module. Raises TaskError where it is not installed."""
    try:
        with _signals_kept():
            import ray
    except ImportError as error:
        raise TaskError("fleet.backend is 'ray' and ray is not installed; pip install -e '.[ray]'.") from error
    return ray


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Signal handlers are afterwards what they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _own(fleet: FleetConfig, environments: int) -> dict[str, Any]:
    """What a cluster of this machine offers: what the environments ask for, whatever the machine has."""
    return {
        "num_cpus": max(1, round(fleet.cpus * environments + 0.5)),
        "resources": {name: amount * environments for name, amount in fleet.custom().items()},
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE,
    }
