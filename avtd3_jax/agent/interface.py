"""What an algorithm of the TD3 family is to loop, checkpoints, diagnostics and commands: they know no more of it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import flax
import flax.linen as nn
import jax
import numpy as np

from avtd3_jax.agent.placement import Placement
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.replay.batch import Batch

Params = dict[str, Any]


@flax.struct.dataclass
class TrainState:
    """Everything that an update changes.

    params: {"encoder", "actor", "critic"}, and what other networks the algorithm has -> parameters.
    target_params: {"encoder", "actor", "critic"} -> parameters.
    opt_state: optimisers' states, a pytree of the algorithm's own.
    key: typed PRNG key.
    step: int32 [], updates so far.
    """

    params: Params
    target_params: Params
    opt_state: Any
    key: jax.Array
    step: jax.Array


class Group(NamedTuple):
    """A group of parameters that has a learning rate of its own."""

    parameters: int
    learning_rate: float


class SeveralUpdates(Protocol):
    """So many updates as one executable."""

    count: int

    def compile(self, state: TrainState, batch: Batch) -> None:
        """Compiles for `count` batches of the shapes of `batch`, whose leaves may be shapes alone."""

    def __call__(self, state: TrainState, batches: Sequence[Batch]) -> tuple[TrainState, jax.Array]:
        """`count` updates in order; `state` is donated. The metrics are means over them."""


class Agent(Hashable, Protocol):
    """Networks, losses and updates of one algorithm, for observations and actions of given shapes.

    An agent keeps no state of its own that learning changes: that is the `TrainState` which goes through `step`.
    """

    obs_spec: ObsSpec
    action_spec: ActionSpec
    config: Any
    placement: Placement | None
    compute_dtype: str  # what the networks multiply in
    encoder: nn.Module
    actor: nn.Module
    critic: nn.Module

    def init(self, seed: int) -> TrainState:
        """A fresh state; the same seed gives the same parameters, bit for bit."""

    def act(self, params: Params, observation: Any) -> np.ndarray:
        """The policy's action without noise, float32 [A] or [B, A], for one observation of the space or a batch."""

    def begin_act(self, params: Params, observation: Any) -> Callable[[], np.ndarray]:
        """Dispatches `act` and returns at once; what it returns waits. The next update may be dispatched in between."""

    def acting_params(self, params: Params) -> Params:
        """The part of the parameters that `act` reads."""

    def compile(self, state: TrainState, batch: Batch) -> Any:
        """Compiles what `step` calls, for `batch`'s shapes."""

    def step(self, state: TrainState, batch: Batch, update: int) -> tuple[TrainState, jax.Array]:
        """Update number `update`, from 0; `state` is donated. The metrics are for `read_metrics`."""

    def several(self, count: int) -> SeveralUpdates:
        """`count` updates a call, the first of which is number 0 of a cycle. Raises InputError where it is no cycle."""

    def updates_actor(self, update: int) -> bool:
        """Whether update number `update` trains the actor, and so has the actor's metrics too."""

    def read_metrics(self, packed: jax.Array, *, update_actor: bool) -> dict[str, float]:
        """Metrics on the host, by name. Raises NonFiniteError for an update that was not finite, nor applied."""

    def groups(self, params: Params) -> Mapping[str, Group]:
        """The groups of parameters, by name."""

    def features(self, encoder_params: Params, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        """uint8 [B, S, H, W] and float32 [B, D] -> [B, F]."""

    def told(self, params: Params, observation: Any) -> np.ndarray:
        """What the heads say of one observation's privileged and expert parts, one behind the other, float32."""

    def values(
        self, critic_params: Params, features: jax.Array, action: jax.Array, privileged: jax.Array | None
    ) -> jax.Array:
        """[B, F], [B, A] and the observation's privileged part [B, K] (or None) -> [C, B], of every critic."""

    def loss(
        self, params: Params, target_params: Params, batch: Batch, key: jax.Array, *, update_actor: bool
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The sum of the losses of an update, and what is told of them."""

    def mean_gradients(self, state: TrainState, group: str) -> Params:
        """The optimiser's running mean of a group's gradients."""
