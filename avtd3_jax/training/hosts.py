"""Several hosts that compute each update together, and so have to make the same updates: they begin and stop as one.

What they all call is called in the same order on each: the updates, and between them `stop_together`.
"""

import atexit
import dataclasses
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from avtd3_jax.agent.interface import TrainState
from avtd3_jax.agent.placement import Placement, put
from avtd3_jax.errors import HostLostError, RuntimeSetupError
from avtd3_jax.settings.schema import HostsConfig
from avtd3_jax.training.interfaces import Environments
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.stop_signal import StopSignal
from avtd3_jax.training.trainer import Trainer

_EVERY = 50  # updates from one look at the other hosts' signals to the next
_LEAVING_S = 3600  # a host may wait for the first one's last evaluation
_LOOK_S = 1.0
# Collectives fail without a type or a status of their own: Gloo's as a ValueError, which begins with "UNKNOWN".
_LOST = re.compile(r"\bGloo .+ failed|\bNCCL (operation|error)|^(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED)\b")


class StoppedTogetherError(Exception):
    """Some host was told to stop, and all of them have made the same updates."""


def join(hosts: HostsConfig) -> None:
    """Waits until all hosts are there. Call it before JAX looks for devices; nothing for one host.

    Where the first one waits for others in vain JAX ends the process, with a message of its own: see `host_process`.

    Raises:
      RuntimeSetupError: the first one is not there.
    """
    if hosts.count == 1:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take the run's SIGTERM
    if hosts.number > 0:
        _wait_for_the_first(hosts)
    jax.distributed.initialize(
        hosts.coordinator,
        hosts.count,
        hosts.number,
        initialization_timeout=round(hosts.start_timeout_s),
        shutdown_timeout_seconds=_LEAVING_S,
    )


def _wait_for_the_first(hosts: HostsConfig) -> None:
    """JAX would end the process where this raises RuntimeSetupError."""
    host, _, port = hosts.coordinator.rpartition(":")
    deadline = time.monotonic() + hosts.start_timeout_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=_LOOK_S).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise RuntimeSetupError(
                    f"The first host is not there: config.hosts.coordinator={hosts.coordinator} did not answer within "
                    f"{hosts.start_timeout_s:g} s ({error.strerror or error}). Start it, and see that it is reached by "
                    "this name and port."
                ) from error
            time.sleep(_LOOK_S)


def greet(hosts: HostsConfig) -> None:
    """Connects all hosts, once JAX has its devices; nothing for one host. Raises HostLostError.

    At their first exchange Gloo waits 30 s for the others, and one of them may take longer to read its checkpoint.
    """
    if hosts.count > 1:
        with _others_there():
            multihost_utils.sync_global_devices("greeting")


@contextmanager
def _others_there() -> Iterator[None]:
    """Turns the error of an exchange with a lost host into a HostLostError."""
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if not _LOST.search(str(error)):
            raise
        atexit.register(_leave)
        why = str(error).splitlines()[0]
        raise HostLostError(f"Another host is lost ({why}): resume all with --resume.") from error


def _leave() -> None:
    """Ends the process without the goodbye that JAX waits for all hosts to say."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may have been closed before the process began
            stream.flush()
    os._exit(1)


class JointLearner(Learner):
    """A learner whose updates are those of all hosts."""

    def __init__(self, stop: StopSignal, *arguments: Any) -> None:
        """`stop` is this host's; the others are the learner's."""
        super().__init__(*arguments)
        self._stop = stop
        self._looked = -1

    def update(self, number: int) -> None:
        """As the learner's. Raises StoppedTogetherError where a host has been told to stop, and HostLostError."""
        if number // _EVERY > self._looked:
            self._looked = number // _EVERY
            self.stop_together()
        with _others_there():
            super().update(number)

    def settle(self) -> None:
        """As the learner's. Raises HostLostError."""
        with _others_there():
            super().settle()

    def stop_together(self) -> None:
        """Waits for all hosts to ask. Raises StoppedTogetherError where one of them has been told to stop."""
        self.settle()
        with _others_there():
            told = np.asarray(multihost_utils.process_allgather(np.array(self._stop())))
        if told.any():
            raise StoppedTogetherError


def train_together(trainer: Trainer, learner: JointLearner, envs: Environments, stop: StopSignal) -> None:
    """Trains, up to a stop that all hosts make together; each has been told to stop then, or one of the others."""
    try:
        trainer.run(envs, lambda: stop() and not trainer.counters.update)
        if stop() and not trainer.counters.update:  # nobody waits for an update yet, but for this look they do
            learner.stop_together()
    except StoppedTogetherError:
        stop.received = stop.received or signal.SIGTERM


def as_the_first_host(state: TrainState, updates: int, placement: Placement) -> tuple[TrainState, int]:
    """The first host's state and number of updates, on all of them: each was saved at the end of its own episode."""
    plain = dataclasses.replace(state, key=jax.random.key_data(state.key))
    with _others_there():
        told = multihost_utils.broadcast_one_to_all((jax.tree.map(np.asarray, plain), np.array(updates)))
    plain, count = jax.tree.map(np.asarray, told)
    plain = jax.tree.map(lambda leaf: put(leaf, placement.whole), plain)
    return dataclasses.replace(plain, key=jax.random.wrap_key_data(plain.key)), int(count)
