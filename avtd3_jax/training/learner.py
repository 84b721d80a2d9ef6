"""The learning half of training: updates in order, each computed beside whatever its caller goes on to do."""

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from avtd3_jax.agent.interface import Agent, Params, TrainState
from avtd3_jax.agent.placement import on_one_device
from avtd3_jax.agent.spaces import Observation
from avtd3_jax.replay.batch import Batch, make_batch
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.training.phases import PhaseTimer


class Learner:
    """Applies an agent's updates to `state` with batches from `batches`, `updates_per_dispatch` of them at a time.

    `update` only dispatches: JAX computes while the caller goes on, and the next actions wait for it. With `overlap`
    not even they: they have the parameters from before the dispatch under way, whenever that one ends.
    """

    def __init__(
        self,
        agent: Agent,
        state: TrainState,
        batches: Prefetcher,
        timer: PhaseTimer,
        updates_per_dispatch: int = 1,
        overlap: bool = False,
    ) -> None:
        """Raises InputError when `updates_per_dispatch` is no whole number of the agent's cycles."""
        self.agent = agent
        self.state = state
        self.updates_per_dispatch = updates_per_dispatch
        self.last_batch: Batch | None = None
        self._drawn: list[Batch] = []  # for the next dispatch
        self._several = agent.several(updates_per_dispatch) if updates_per_dispatch > 1 else None
        self._batches = batches
        self._timer = timer
        self._overlap = overlap
        # XLA:CPU computes one after the other what one thread dispatches: another one's action need not wait.
        self._actor = ThreadPoolExecutor(1, thread_name_prefix="act")
        self._acting: Params | None = None  # while an update is under way, with `overlap`
        self._copy = jax.jit(lambda params: jax.tree.map(jnp.copy, params))
        self._in_flight: tuple[jax.Array, bool] | None = None
        self._compiler: ThreadPoolExecutor | None = None
        self._compiled: Future[None] | None = None
        self._sums: dict[str, tuple[float, int]] = {}

    def prepare(self, batch_size: int, acting: int = 1, n_step: int = 1) -> None:
        """Compiles, while the caller goes on, the policy for `acting` observations and the updates.

        `batch_size` and `n_step` are those of the batches to come.
        """
        agent, state = self.agent, self.state
        zeros = agent.obs_spec.zeros(acting)

        def compile_all() -> None:
            lie = None if agent.placement is None else agent.placement.split
            shape = partial(jax.ShapeDtypeStruct, sharding=lie)
            shapes = make_batch(agent.obs_spec, agent.action_spec, batch_size, shape, n_step)
            if self._several is None:
                agent.compile(state, shapes)
            else:
                self._several.compile(state, shapes)
            agent.act(state.params, zeros)
            if self._overlap:
                self._copy(agent.acting_params(state.params))

        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._compiled = self._compiler.submit(compile_all)

    @property
    def updates_before_acting(self) -> bool:
        """Whether `update` may come between `begin_act` and its result, without making that wait for the update.

        What is dispatched is computed in order, so the actions are those from before the update, and its dispatch is
        done beside the update that they wait for. With `overlap` they wait for none, and over several devices an update
        is over when it has been dispatched.
        """
        return not self._overlap and self.agent.placement is None

    def begin_act(self, observations: Observation) -> Callable[[], np.ndarray]:
        """Dispatches the policy's actions [B, A], without noise; what it returns waits for them.

        With `overlap` they are those from before the dispatch under way.
        """
        if self._acting is None:
            return self.agent.begin_act(self.state.params, observations)
        return self._actor.submit(self.agent.act, self._acting, observations).result

    def act_latest(self, observations: Observation) -> np.ndarray:
        """The actions [B, A], or [A], of the policy as it is after all updates dispatched; waits for them."""
        return self.agent.act(self.state.params, observations)

    def acting_params(self) -> Params:
        """What acts, on the host, as it is after all updates dispatched; waits for them."""
        copied = self._copy(self.agent.acting_params(self.state.params))  # the next update takes the state's memory
        acting: Params = jax.tree.map(np.asarray, on_one_device(copied))
        return acting

    def draw(self) -> None:
        """Takes the batches of the next dispatch now, while the one under way is computed."""
        if not self._drawn:
            with self._timer("sample"):
                self._drawn = [self._batches.get() for _ in range(self.updates_per_dispatch)]

    def update(self, number: int) -> None:
        """Dispatches update `number` (from 0), or the `updates_per_dispatch` from it, and reads earlier metrics.

        Raises:
          NonFiniteError: an update of the dispatch before was not finite; the state has the finite ones alone.
        """
        first, self._compiled = self._compiled, None
        if first is not None:
            with self._timer("compile"):
                first.result()
        self.draw()
        batches, self._drawn = self._drawn, []
        self.last_batch = batches[-1]
        with self._timer("dispatch_update"):
            # The update takes the state's memory.
            acting = self._copy(self.agent.acting_params(self.state.params)) if self._overlap else None
            if self._several is None:
                self.state, packed = self.agent.step(self.state, batches[0], number)
            else:
                self.state, packed = self._several(self.state, batches)
        if first is not None:
            # What there is now stays: to look at all of JAX again and again took 7 % of a small network's step.
            gc.collect()
            gc.freeze()
        self.settle()
        self._in_flight = packed, self._several is not None or self.agent.updates_actor(number)
        self._acting = acting

    def settle(self) -> None:
        """Waits for what is under way, acts with it, and reads its metrics. Raises NonFiniteError as `update` does."""
        self._acting = None
        if self._in_flight is None:
            return
        (packed, with_actor), self._in_flight = self._in_flight, None
        for name, value in self.agent.read_metrics(packed, update_actor=with_actor).items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1

    def get_metrics(self) -> dict[str, tuple[float, int]]:
        """Sum and count of every metric since the last `collect`, once settled; JSON-able."""
        return dict(self._sums)

    def set_metrics(self, sums: Mapping[str, Sequence[float]]) -> None:
        """Goes on from what `get_metrics` gave."""
        self._sums = {name: (total, int(count)) for name, (total, count) in sums.items()}

    def collect(self) -> dict[str, float]:
        """Mean of every metric since the last call."""
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums.clear()
        return means

    def batches_ready(self) -> float:
        """Share of the batches to be made ahead that are there; 0 where none are."""
        return self._batches.ready / max(self._batches.depth, 1)

    def close(self) -> None:
        """Ends the threads that prefetch, act and compile."""
        self._batches.stop()
        self._actor.shutdown()
        if self._compiler is not None:
            self._compiler.shutdown()
