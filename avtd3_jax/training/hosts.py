"""Several hosts that compute each update together, and so have to make the same updates: they begin and stop as one.

What they all call is called in the same order on each: the updates, and between them `stop_together`.
"""

import dataclasses

import jax
import numpy as np
from jax.experimental import multihost_utils

from avtd3_jax.agent.interface import TrainState
from avtd3_jax.agent.placement import Placement
from avtd3_jax.settings.schema import HostsConfig
from avtd3_jax.training.learner import Learner
from avtd3_jax.training.stop_signal import StopSignal

_EVERY = 50  # updates from one look at the other hosts' signals to the next
_MEETING_S, _LEAVING_S = 600, 3600  # a host may start late, and wait for the first one's last evaluation


class StoppedTogetherError(Exception):
    """Some host was told to stop, and all of them have made the same updates."""


def join(hosts: HostsConfig) -> None:
    """Waits until all hosts are there. Call it before JAX looks for devices; nothing for one host."""
    if hosts.count > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_enable_preemption_service", False)  # it would take the run's SIGTERM
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.count,
            hosts.number,
            initialization_timeout=_MEETING_S,
            shutdown_timeout_seconds=_LEAVING_S,
        )


class JointLearner(Learner):
    """A learner whose updates are those of all hosts."""

    stop: StopSignal | None = None  # of this host
    _looked = -1

    def update(self, number: int) -> None:
        """As the learner's. Raises StoppedTogetherError where a host has been told to stop."""
        if number // _EVERY > self._looked:
            self._looked = number // _EVERY
            self.stop_together()
        super().update(number)

    def stop_together(self) -> None:
        """Waits for all hosts to ask. Raises StoppedTogetherError where one of them has been told to stop."""
        self.settle()
        told = self.stop is not None and self.stop()
        if np.asarray(multihost_utils.process_allgather(np.array(told))).any():
            raise StoppedTogetherError


def as_the_first_host(state: TrainState, updates: int, placement: Placement) -> tuple[TrainState, int]:
    """The first host's state and number of updates, on all of them: each was saved at the end of its own episode."""
    plain = dataclasses.replace(state, key=jax.random.key_data(state.key))
    told = multihost_utils.broadcast_one_to_all((jax.tree.map(np.asarray, plain), np.array(updates)))
    plain, count = jax.tree.map(np.asarray, told)
    plain = jax.tree.map(lambda leaf: jax.device_put(leaf, placement.whole), plain)
    return dataclasses.replace(plain, key=jax.random.wrap_key_data(plain.key)), int(count)
