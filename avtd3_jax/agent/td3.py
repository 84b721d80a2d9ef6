"""The TD3 learner: a frozen train state and one jitted update, compiled once with the actor and once without.

Decided once, where TD3's descendants differ:
  * One backward pass an update. On actor steps the critic's loss and the actor's are differentiated together at the
    same parameters (the paper steps the critic first), so the encoder runs once on `obs` and takes one Adam step.
  * The actor's loss sees the state's features in Q as fixed: with `encoder_grad="both"` it reaches the encoder through
    the action alone, as the deterministic policy gradient has it. Otherwise the encoder could raise Q without acting
    better.
  * Target networks move on actor steps only, the actor's loss uses the first critic, both critics share one smoothing
    noise, and the critics' losses are summed (all as in Fujimoto et al. 2018).
  * An update that is not finite leaves parameters, targets, optimisers and step as they were; its metrics show it.
    Metrics are of the parameters that the gradient was taken at, their norms too, so this is known before anything
    moves; a step of Adam's along a finite gradient is finite.
  * What the simulator knows and a policy does not see (the observation's "privileged" part) is for losses alone: the
    critics can be told it (asymmetric actor-critic, Pinto et al. 2017, arXiv:1710.06542), and heads on the encoder's
    features can be made to predict it (Toromanoff et al. 2020, arXiv:1911.10868). So is what a scripted driver would do
    (its "expert" part), which the actor can be drawn to. `act` reads neither.
"""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from avtd3_jax.agent import losses, precision
from avtd3_jax.agent.augmentation import random_shift
from avtd3_jax.agent.config import TD3Config
from avtd3_jax.agent.frames import split_frames
from avtd3_jax.agent.fused_updates import FusedUpdates
from avtd3_jax.agent.interface import Group, Params, SeveralUpdates, TrainState
from avtd3_jax.agent.networks import IMAGE_FEATURES, MLP, Actor, CriticEnsemble, Encoder
from avtd3_jax.agent.optimizers import Optimizers
from avtd3_jax.agent.placement import Placement, lying_whole, on_one_device, tracing
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.encoders import torchvision_weights
from avtd3_jax.errors import ConfigError, InputError, NonFiniteError
from avtd3_jax.replay.batch import Batch

GROUPS = ("encoder", "actor", "critic")  # every agent's groups of parameters
AUXILIARY = "auxiliary"  # the group that only an agent with auxiliary heads has
AUXILIARY_HIDDEN = (128,)


CRITIC_METRICS = (
    "loss/critic",
    "q/mean",
    "q/min",
    "q/max",
    "q/target_mean",
    "q/td_error_abs",
    "grad_norm/encoder",
    "grad_norm/critic",
    "param_norm/encoder",
    "param_norm/actor",
    "param_norm/critic",
)
AUXILIARY_METRICS = ("loss/auxiliary", "grad_norm/auxiliary", "param_norm/auxiliary")
ACTOR_METRICS = ("loss/actor", "q/pi_gap_abs", "policy/abs_action_max", "grad_norm/actor")


class TD3:
    """TD3 on observations of `obs_spec` and actions of `action_spec`.

    `update` compiles two executables, at its first use or ahead of time by `compile`; `trace_count` counts them.
    All state is in the `TrainState` that goes through `update`, whose buffers are donated: use only the one returned.
    """

    def __init__(
        self,
        obs_spec: ObsSpec,
        action_spec: ActionSpec,
        config: TD3Config | None = None,
        placement: Placement | None = None,
    ) -> None:
        """`placement`: the devices that an update is computed on; None for JAX's default one."""
        self.placement = placement
        self.obs_spec = obs_spec
        self.action_spec = action_spec
        self.config = config = config or TD3Config()
        if config.random_shift and obs_spec.image is None:
            raise ConfigError(f"random_shift is {config.random_shift} and the observation has no image: set it to 0.")
        _check_parts(obs_spec, config)
        self.trace_count = 0
        self.compute_dtype = precision.compute_dtype(config.compute_dtype, config.encoder, obs_spec.image)
        dtype = jnp.dtype(self.compute_dtype)
        self.encoder = Encoder(config.encoder, config.trunk_width, dtype, config.columns)
        self._columns = _in_columns(self.encoder, obs_spec)
        self.actor = Actor(action_spec.size, config.hidden, dtype)
        self.critic = CriticEnsemble(config.num_critics, config.hidden, dtype, config.critic_layer_norm)
        self._first_critic = CriticEnsemble(1, config.hidden, dtype, config.critic_layer_norm)
        rates = {
            "encoder": _rate(config, config.encoder_lr),
            "critic": _rate(config, config.critic_lr),
            "actor": _rate(config, config.actor_lr, every=config.policy_delay),
        }
        self._auxiliary: MLP | None = None
        if config.auxiliary_weight:
            told = (obs_spec.privileged or 0) - self._columns + (obs_spec.expert or 0)
            self._auxiliary = MLP(told, AUXILIARY_HIDDEN, dtype)
            rates[AUXILIARY] = _rate(config, config.critic_lr)
        self._optimizers = Optimizers(rates, config.tau)
        self._jit_update = jax.jit(
            self.traced_update, static_argnames="update_actor", donate_argnums=0, **lying_whole(placement)
        )
        self._jit_act = jax.jit(self._act)
        self._jit_told = jax.jit(self._told_by_heads)
        self._jit_init = jax.jit(self._init, **lying_whole(placement))
        self._executables: dict[bool, jax.stages.Compiled] = {}

    def init(self, seed: int) -> TrainState:
        """A fresh state; the same seed gives the same parameters, bit for bit.

        Raises:
          ConfigError: `encoder_weights` cannot be used.
        """
        config, image, pretrained = self.config, self.obs_spec.image, None
        if config.encoder_weights:
            if image is None:
                raise ConfigError("encoder_weights is given, but the observation has no image: leave it empty.")
            pretrained = torchvision_weights.load(config.encoder, config.encoder_weights, stack=image[0])
        return self._jit_init(jax.random.key(seed), pretrained)

    def _init(self, key: jax.Array, pretrained: Params | None) -> TrainState:
        encoder_key, actor_key, critic_key, state_key, *auxiliary_key = jax.random.split(key, 4 + bool(self._auxiliary))
        image = None if self.obs_spec.image is None else jnp.zeros((1, *self.obs_spec.image), jnp.uint8)
        vector, privileged = (
            None if length is None else jnp.zeros((1, length), jnp.float32)
            for length in (self.obs_spec.vector, self.obs_spec.privileged)
        )
        features, encoder = self.encoder.init_with_output(encoder_key, image, vector)
        action = jnp.zeros((1, self.action_spec.size), jnp.float32)
        encoder_params = encoder.get("params", {})
        params = {
            "encoder": encoder_params if pretrained is None else {**encoder_params, "cnn": pretrained},
            "actor": self.actor.init(actor_key, features)["params"],
            "critic": self.critic.init(critic_key, features, action, self._for_critics(privileged))["params"],
        }
        targets = dict(params)
        if self._auxiliary is not None:
            params[AUXILIARY] = self._auxiliary.init(auxiliary_key[0], features)["params"]
        return TrainState(
            params=params,
            # Copied: a target that aliased the online parameters could not be donated beside them.
            target_params=jax.tree.map(jnp.copy, targets),
            opt_state=self._optimizers.init(params),
            key=state_key,
            step=jnp.zeros((), jnp.int32),
        )

    def features(self, encoder_params: Params, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        """[B, S, H, W] uint8 and [B, D] -> [B, F]."""
        return _apply(self.encoder, encoder_params, image, vector)

    def values(
        self, critic_params: Params, features: jax.Array, action: jax.Array, privileged: jax.Array | None
    ) -> jax.Array:
        """[B, F], [B, A] and the observation's privileged part [B, K] (or None) -> [C, B], of every critic."""
        return _apply(self.critic, critic_params, features, action, self._for_critics(privileged))

    def _for_critics(self, privileged: jax.Array | None) -> jax.Array | None:
        """What the critics are told of `privileged`."""
        return privileged if self.config.critic_privileged else None

    def _act(self, params: Params, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        features = self.features(params["encoder"], image, vector)
        return _apply(self.actor, params["actor"], features)

    def act(self, params: Params, observation: Any) -> np.ndarray:
        """The policy's action [A] or [B, A], float32, for one observation of the space or a batch of them."""
        return self.begin_act(params, observation)()

    def begin_act(self, params: Params, observation: Any) -> Callable[[], np.ndarray]:
        """Dispatches `act` and returns at once; what it returns waits. The next update may be dispatched in between."""
        arrays, single = self.obs_spec.seen.batched(observation)
        acting = on_one_device(self.acting_params(params))
        action = self._jit_act(acting, arrays.get("image"), arrays.get("vector"))

        def wait() -> np.ndarray:
            acted = np.array(action)
            return acted[0] if single else acted

        return wait

    def told(self, params: Params, observation: Any) -> np.ndarray:
        """What the heads say for one observation or a batch: [K + A] or [B, K + A], privileged part, then expert's.

        Raises:
          ConfigError: the agent has no heads.
        """
        if self._auxiliary is None:
            raise ConfigError("auxiliary_weight is 0: the agent has no heads.")
        arrays, single = self.obs_spec.seen.batched(observation)
        said = np.asarray(self._jit_told(params, arrays.get("image"), arrays.get("vector")))
        return said[0] if single else said

    def _told_by_heads(self, params: Params, image: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        assert self._auxiliary is not None
        features = self.features(params["encoder"], image, vector)
        said = _apply(self._auxiliary, params[AUXILIARY], features)
        rest = (self.obs_spec.privileged or 0) - self._columns
        return jnp.concatenate([said[:, :rest], self._of_columns(features), said[:, rest:]], axis=1)

    def _of_columns(self, features: jax.Array) -> jax.Array:
        """[B, F] -> [B, w * columns], what the features hold of the columns of the encoder's maps."""
        first = self.config.trunk_width or IMAGE_FEATURES
        return features[:, first : first + self._columns]

    def loss(
        self, params: Params, target_params: Params, batch: Batch, key: jax.Array, *, update_actor: bool
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Sum of the critics', the auxiliary heads' and, with `update_actor`, the actor's loss.

        Each is routed to its own parameters.
        """
        config = self.config
        image, next_image = split_frames(batch)
        if config.random_shift and image is not None and next_image is not None:
            key, shift, next_shift = jax.random.split(key, 3)
            image = random_shift(shift, image, config.random_shift)
            next_image = random_shift(next_shift, next_image, config.random_shift)
        next_features = self.features(target_params["encoder"], next_image, batch.next_vector)
        next_action = _apply(self.actor, target_params["actor"], next_features)
        next_action = losses.smoothed_action(key, next_action, config.target_noise, config.target_noise_clip)
        next_q = self.values(target_params["critic"], next_features, next_action, batch.next_privileged)
        target = losses.td_target(batch.reward, batch.steps, batch.terminated, next_q, config.gamma)

        features = self.features(params["encoder"], image, batch.vector)
        fixed_features = jax.lax.stop_gradient(features)
        valued = fixed_features if config.encoder_grad == "actor" else features
        q = self.values(params["critic"], valued, batch.action, batch.privileged)
        loss = critic_loss = losses.critic_loss(q, target)
        metrics = {
            "loss/critic": critic_loss,
            "q/mean": q.mean(),
            "q/min": q.min(),
            "q/max": q.max(),
            "q/target_mean": target.mean(),
            "q/td_error_abs": jnp.abs(q - target[None]).mean(),
        }
        if self._auxiliary is not None:
            predicted = _apply(self._auxiliary, params[AUXILIARY], features)
            told = [part for part in (batch.privileged, batch.expert) if part is not None]
            if self._columns:
                told[0], near = batch.privileged[:, : -self._columns], batch.privileged[:, -self._columns :]
                metrics["loss/columns"] = losses.auxiliary_loss(self._of_columns(features), near)
                loss += config.auxiliary_weight * metrics["loss/columns"]
            metrics["loss/auxiliary"] = losses.auxiliary_loss(predicted, jnp.concatenate(told, axis=1))
            loss += config.auxiliary_weight * metrics["loss/auxiliary"]
        if not update_actor:
            return loss, metrics

        acted_on = fixed_features if config.encoder_grad == "critic" else features
        action = _apply(self.actor, params["actor"], acted_on)
        first_critic = jax.tree.map(lambda p: jax.lax.stop_gradient(p[:1]), params["critic"])
        q_pi = _apply(self._first_critic, first_critic, fixed_features, action, self._for_critics(batch.privileged))[0]
        if config.imitation_weight:
            actor_loss = losses.imitating_loss(q_pi, action, batch.expert, config.imitation_weight)
        else:
            actor_loss = losses.actor_loss(q_pi)
        metrics |= {
            "loss/actor": actor_loss,
            "q/pi_gap_abs": jnp.abs(q_pi - q[0]).mean(),
            "policy/abs_action_max": jnp.abs(action).mean(axis=0).max(),
        }
        return loss + actor_loss, metrics

    def traced_update(self, state: TrainState, batch: Batch, *, update_actor: bool) -> tuple[TrainState, jax.Array]:
        self.trace_count += 1  # a Python side effect: runs when JAX traces, not when the executable runs
        key, noise_key = jax.random.split(state.key)
        groups = tuple(group for group in state.params if update_actor or group != "actor")

        def loss(trained: Params) -> tuple[jax.Array, dict[str, jax.Array]]:
            return self.loss(
                {**state.params, **trained}, state.target_params, batch, noise_key, update_actor=update_actor
            )

        grads, metrics = jax.grad(loss, has_aux=True)({group: state.params[group] for group in groups})
        metrics |= {f"grad_norm/{group}": _norm(grads[group]) for group in groups}
        metrics |= {f"param_norm/{group}": _norm(tree) for group, tree in state.params.items()}
        packed = jnp.stack([metrics[name] for name in self.metric_names(update_actor)]).astype(jnp.float32)
        finite = jnp.isfinite(packed).all()

        params, opt_state, target_params = self._optimizers.step(
            finite, grads, state.params, state.opt_state, state.target_params
        )
        step = state.step + finite.astype(jnp.int32)
        return TrainState(params, target_params, opt_state, key, step), packed

    def compile(self, state: TrainState, batch: Batch) -> dict[bool, dict[str, float]]:
        """Compiles both executables for `batch`'s shapes; returns GFLOP and temporary MB of each, by `update_actor`.

        XLA counts no GFLOP for what the kernels of `avtd3_jax.cpu` compute.
        """
        costs = {}
        for update_actor in (False, True):
            if update_actor not in self._executables:
                with tracing(self.placement):
                    lowered = self._jit_update.lower(state, batch, update_actor=update_actor)
                self._executables[update_actor] = lowered.compile()
            executable = self._executables[update_actor]
            cost, memory = executable.cost_analysis() or {}, executable.memory_analysis()
            costs[update_actor] = {
                "gflop": cost.get("flops", float("nan")) / 1e9,
                "temporary_mb": getattr(memory, "temp_size_in_bytes", float("nan")) / 1e6,
            }
        return costs

    def update(self, state: TrainState, batch: Batch, *, update_actor: bool) -> tuple[TrainState, jax.Array]:
        """One TD3 update; `state` is donated.

        Args:
          state: the last state returned.
          batch: `Batch` of host or device arrays, always of the same shapes.
          update_actor: also step the actor and the targets; true every `policy_delay`-th update.

        Returns:
          The new state, and float32 [M] metrics for `read_metrics`, best fetched one update late.
        """
        if not self._executables:
            self.compile(state, batch)
        try:
            return self._executables[update_actor](state, batch)
        except TypeError as error:  # a compiled program takes one shape; a new one must not silently compile again
            raise InputError(
                "The batch's shapes or types are not those that this learner compiled for: keep the batch size, or "
                "make another TD3."
            ) from error

    def step(self, state: TrainState, batch: Batch, update: int) -> tuple[TrainState, jax.Array]:
        """`update` number `update` (from 0), the actor being trained on every `policy_delay`-th one."""
        return self.update(state, batch, update_actor=self.updates_actor(update))

    def updates_actor(self, update: int) -> bool:
        """Whether update number `update`, counted from 0, trains the actor too."""
        return (update + 1) % self.config.policy_delay == 0

    def metric_names(self, update_actor: bool) -> tuple[str, ...]:
        """Names of the packed metrics of an update; those of an actor step begin with the others'."""
        names: tuple[str, ...] = CRITIC_METRICS + (() if self._auxiliary is None else AUXILIARY_METRICS)
        names += ("loss/columns",) if self._columns else ()
        return names + ACTOR_METRICS if update_actor else names

    def read_metrics(self, packed: jax.Array, *, update_actor: bool) -> dict[str, float]:
        """Packed metrics on the host, by name; waits for their update to finish.

        Raises:
          NonFiniteError: that update was not finite and was not applied.
        """
        metrics = dict(zip(self.metric_names(update_actor), np.asarray(packed).tolist(), strict=True))
        bad = [name for name, value in metrics.items() if not np.isfinite(value)]
        if bad:
            raise NonFiniteError(
                f"The update gave non-finite values ({', '.join(bad)}) and was not applied: the parameters are those "
                "before it. Lower the learning rates, or look for extreme rewards or observations."
            )
        return metrics

    def groups(self, params: Params) -> dict[str, Group]:
        """Parameter count and learning rate of each group."""
        config = self.config
        rates = {"encoder": config.encoder_lr, "actor": config.actor_lr, "critic": config.critic_lr}
        return {
            group: Group(sum(leaf.size for leaf in jax.tree.leaves(params[group])), rates.get(group, config.critic_lr))
            for group in (*GROUPS, *([AUXILIARY] if AUXILIARY in params else []))
        }

    def acting_params(self, params: Params) -> Params:
        """The part of the parameters that `act` reads."""
        return {group: params[group] for group in ("encoder", "actor")}

    def several(self, count: int) -> SeveralUpdates:
        """`count` updates a call, see FusedUpdates. Raises InputError for no whole number of policy delays."""
        return FusedUpdates(self, count)

    def mean_gradients(self, state: TrainState, group: str) -> Params:
        """Adam's running mean of a group's gradients."""
        return self._optimizers.mean_gradients(state.opt_state, group)


def _norm(tree: Params) -> jax.Array:
    """Euclidean norm of all leaves; as dot products, where XLA:CPU would write the squares to memory before adding."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def _check_parts(obs_spec: ObsSpec, config: TD3Config) -> None:
    """Raises ConfigError where a loss is asked for that needs a part which the observation has not."""
    privileged, expert = obs_spec.privileged is not None, obs_spec.expert is not None
    for name, has_parts, parts in (
        ("critic_privileged", privileged, "'privileged' part: set env.privileged"),
        ("auxiliary_weight", privileged or expert, "'privileged' or 'expert' part: set env.privileged or env.expert"),
        ("imitation_weight", expert, "'expert' part: set env.expert"),
    ):
        if getattr(config, name) and not has_parts:
            raise ConfigError(
                f"{name} is {getattr(config, name)} and the observation has no {parts}, or leave it at its default."
            )


def _in_columns(encoder: Encoder, obs_spec: ObsSpec) -> int:
    """How many numbers the encoder gives of all columns of its maps.

    Raises:
      ConfigError: the observation has no image, or no privileged part that could end with so many.
    """
    if not encoder.columns:
        return 0
    if obs_spec.image is None:
        raise ConfigError(f"columns is {encoder.columns} and the observation has no image: set it to 0.")
    image = jax.ShapeDtypeStruct((1, *obs_spec.image), jnp.uint8)
    maps, _ = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, method="maps"), image)
    count = maps.shape[2] * encoder.columns
    if count >= (obs_spec.privileged or 0):
        raise ConfigError(
            f"columns is {encoder.columns} for each of the encoder's {maps.shape[2]} columns, and the observation's "
            f"'privileged' part has {obs_spec.privileged or 'nothing'}: set env.privileged and env.columns, or columns "
            "to 0."
        )
    return count


def _rate(config: TD3Config, rate: float, every: int = 1) -> optax.ScalarOrSchedule:
    """Learning rate of a group that takes a step every `every` updates: `rate`, falling as the configuration says."""
    if not config.lr_decay_updates:
        return rate
    steps = max(config.lr_decay_updates // every, 1)
    return optax.linear_schedule(rate, rate * config.lr_final_fraction, steps)


def _apply(module: nn.Module, params: Any, *inputs: Any) -> jax.Array:
    return cast(jax.Array, module.apply({"params": params}, *inputs))
