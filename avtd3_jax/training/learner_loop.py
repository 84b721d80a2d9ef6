"""The learner's half of training: updates in order, their metrics one update late, and what is inside the network."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from avtd3_jax.agent.fused_updates import FusedUpdates
from avtd3_jax.agent.td3 import TD3, Params, TrainState
from avtd3_jax.analysis import diagnostics
from avtd3_jax.replay.batch import Batch, make_batch
from avtd3_jax.replay.prefetch import Prefetcher
from avtd3_jax.training.logs import PhaseTimer


class LearnerLoop:
    """Applies TD3 updates to `state` with batches from `batches`, `updates_per_dispatch` of them at a time.

    `update` only dispatches: JAX computes while the caller goes on, and waits for it in the next `act`. With `overlap`
    not even then: `act` has the parameters from before the dispatch under way, whenever that one ends.
    """

    def __init__(
        self,
        learner: TD3,
        state: TrainState,
        batches: Prefetcher,
        timer: PhaseTimer,
        updates_per_dispatch: int = 1,
        overlap: bool = False,
    ) -> None:
        """Raises ValueError when `updates_per_dispatch` does not fit the learner's policy delay."""
        self.learner = learner
        self.state = state
        self.updates_per_dispatch = updates_per_dispatch
        self.last_batch: Batch | None = None
        self._multi = FusedUpdates(learner, updates_per_dispatch) if updates_per_dispatch > 1 else None
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
        learner, state = self.learner, self.state
        zeros = learner.obs_spec.zeros(acting)

        def compile_all() -> None:
            shapes = make_batch(learner.obs_spec, learner.action_spec, batch_size, jax.ShapeDtypeStruct, n_step)
            if self._multi is None:
                learner.compile(state, shapes)
            else:
                self._multi.compile(state, shapes)
            learner.act(state.params, zeros)
            if self._overlap:
                self._copy(_acting(state))

        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._compiled = self._compiler.submit(compile_all)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The policy's action [A], without noise; with `overlap` that from before the dispatch under way."""
        if self._acting is None:
            return self.act_latest(observation)
        return self._actor.submit(self.learner.act, self._acting, observation).result()

    def act_latest(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The action [A] of the policy as it is after all updates dispatched; waits for them."""
        return self.learner.act(self.state.params, observation)

    def update(self, number: int) -> None:
        """Dispatches update `number` (from 0), or the `updates_per_dispatch` from it, and reads earlier metrics.

        Raises:
          NonFiniteError: an update of the dispatch before was not finite; the state has the finite ones alone.
        """
        if self._compiled is not None:
            with self._timer("compile"):
                self._compiled.result()
            self._compiled = None
        with self._timer("sample"):
            batches = [self._batches.get() for _ in range(self.updates_per_dispatch)]
        self.last_batch = batches[-1]
        with self._timer("dispatch_update"):
            acting = self._copy(_acting(self.state)) if self._overlap else None  # the update takes the state's memory
            if self._multi is None:
                self.state, packed = self.learner.step(self.state, batches[0], number)
            else:
                self.state, packed = self._multi(self.state, batches)
        self.settle()
        self._in_flight = packed, self._multi is not None or self.learner.updates_actor(number)
        self._acting = acting

    def settle(self) -> None:
        """Waits for what is under way, acts with it, and reads its metrics. Raises NonFiniteError as `update` does."""
        self._acting = None
        if self._in_flight is None:
            return
        (packed, with_actor), self._in_flight = self._in_flight, None
        for name, value in self.learner.read_metrics(packed, update_actor=with_actor).items():
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

    def close(self) -> None:
        """Ends the threads that prefetch, act and compile."""
        self._batches.stop()
        self._actor.shutdown()
        if self._compiler is not None:
            self._compiler.shutdown()


def _acting(state: TrainState) -> Params:
    return {group: state.params[group] for group in ("encoder", "actor")}


class Introspection:
    """Looks inside the network while it learns, always at the observations of the first batch that it is shown."""

    def __init__(self, learner: TD3, initial_params: Params) -> None:
        self._learner = learner
        self._initial = initial_params
        self._observations: dict[str, np.ndarray] | None = None

    def look(self, state: TrainState, batch: Batch) -> dict[str, dict[str, float]]:
        """Numbers by family: gradient norm and weight change of every encoder parameter, and "network" for the rest."""
        if self._observations is None:
            self._observations = diagnostics.observations_of(batch)
            self._features = diagnostics.features_of(self._learner, self._initial, self._observations)
        features = diagnostics.features_of(self._learner, state.params, self._observations)
        return {
            "encoder_gradient_norm": diagnostics.encoder_gradient_norms(self._learner, state, batch),
            "encoder_weight_change": diagnostics.encoder_weight_changes(self._initial, state.params),
            "network": {
                "feature_cosine_similarity": diagnostics.feature_similarity(self._features, features),
                "q_pi_minus_q_data_abs": diagnostics.q_gap(self._learner, state.params, batch),
            },
        }
