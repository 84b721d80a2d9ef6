"""Several TD3 updates as one executable: on an accelerator, dispatching one costs as much as its arithmetic."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from avtd3_jax.agent.interface import TrainState
from avtd3_jax.agent.placement import Placement, lying_whole, tracing
from avtd3_jax.errors import InputError
from avtd3_jax.replay.batch import Batch


class _Agent(Protocol):
    """What is repeated: an update that trains the actor every `config.policy_delay`-th time."""

    config: Any
    placement: Placement | None

    def traced_update(self, state: TrainState, batch: Batch, *, update_actor: bool) -> tuple[TrainState, jax.Array]: ...
    def metric_names(self, update_actor: bool) -> tuple[str, ...]: ...


class FusedUpdates:
    """`count` updates of `agent` in one call, the policy delay included; the parameters are those of single updates.

    One policy delay's cycle is compiled. A GPU scans over the cycles; on a CPU they are laid out one after the other,
    because XLA:CPU computes a convolution's gradient 8 to 30 times slower within a loop
    (https://github.com/jax-ml/jax/issues/12868).
    """

    def __init__(self, agent: _Agent, count: int) -> None:
        """`count` updates a call.

        Raises:
          InputError: `count` is not a whole number of policy delays.
        """
        delay = agent.config.policy_delay
        if count < 1 or count % delay:
            raise InputError(
                f"updates_per_dispatch is {count}: it must be 1 or a multiple of agent.policy_delay, which is {delay}."
            )
        self.count = count
        self.trace_count = 0
        self._agent = agent
        self._jit = jax.jit(self._traced, donate_argnums=0, **lying_whole(agent.placement))
        self._executable: jax.stages.Compiled | None = None

    def compile(self, state: TrainState, batch: Batch) -> None:
        """Compiles for `count` batches of the shapes of `batch`, whose leaves may be shapes alone."""
        if self._executable is None:
            with tracing(self._agent.placement):
                lowered = self._jit.lower(state, (batch,) * self.count)
            self._executable = lowered.compile()

    def __call__(self, state: TrainState, batches: Sequence[Batch]) -> tuple[TrainState, jax.Array]:
        """`count` updates, the first of which is number 0 of a cycle; `state` is donated.

        Args:
          state: the last state returned.
          batches: `count` batches of the same shapes, one an update, in order.

        Returns:
          The new state, and float32 [M] metrics for `Agent.read_metrics` with `update_actor`: each is the mean over
          the updates that have it, so one update that was not finite, and not applied, shows.
        """
        self.compile(state, batches[0])
        assert self._executable is not None
        try:
            return self._executable(state, tuple(batches))
        except TypeError as error:  # as in TD3.update
            raise InputError(
                f"The batches are not {self.count} of the shapes and types that were compiled for: keep their number "
                "and size, or make another agent."
            ) from error

    def _traced(self, state: TrainState, batches: tuple[Batch, ...]) -> tuple[TrainState, jax.Array]:
        self.trace_count += 1  # a Python side effect: runs when JAX traces, not when the executable runs
        delay = self._agent.config.policy_delay
        of_critic, of_both = len(self._agent.metric_names(False)), len(self._agent.metric_names(True))

        def cycle(state: TrainState, batches: Batch) -> tuple[TrainState, tuple[jax.Array, jax.Array]]:
            critics = []
            for number in range(delay):
                batch = jax.tree.map(lambda part, number=number: part[number], batches)
                state, packed = self._agent.traced_update(state, batch, update_actor=number == delay - 1)
                critics.append(packed[:of_critic])
            return state, (jnp.stack(critics), packed[of_critic:])

        stacked = jax.tree.map(lambda *parts: jnp.stack(parts).reshape(-1, delay, *parts[0].shape), *batches)
        state, (critic, actor) = jax.lax.platform_dependent(
            state,
            stacked,
            cpu=partial(jax.lax.scan, cycle, unroll=True),
            default=partial(jax.lax.scan, cycle),
        )
        metrics = jnp.concatenate(
            [critic.reshape(-1, of_critic).mean(axis=0), actor.reshape(-1, of_both - of_critic).mean(axis=0)]
        )
        return state, metrics
