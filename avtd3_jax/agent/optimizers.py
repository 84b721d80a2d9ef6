"""How gradients move parameters, Adam's moments and target networks: as optax says it, on a CPU in one pass."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from avtd3_jax.cpu import fused_adam

Params = dict[str, Any]
OptStates = dict[str, optax.OptState]
PHASES = {"critic": ("encoder", "critic", "auxiliary"), "actor": ("actor",)}  # groups that step together, where given


class Optimizers:
    """Adam with a learning rate of its own for each group of parameters: an optax partition a phase."""

    def __init__(self, rates: Mapping[str, optax.ScalarOrSchedule], tau: float) -> None:
        """`rates`: group -> learning rate, or its schedule over steps; `tau`: share of the way that targets go."""
        self._rates = dict(rates)
        self._tau = tau
        self._phases = {phase: tuple(group for group in groups if group in rates) for phase, groups in PHASES.items()}
        self._optax = {
            phase: optax.partition({group: optax.adam(rates[group]) for group in groups}, _group_labels)
            for phase, groups in self._phases.items()
        }

    def init(self, params: Params) -> OptStates:
        """Fresh states, by phase."""
        return {phase: optimizer.init(_only(params, self._phases[phase])) for phase, optimizer in self._optax.items()}

    def step(
        self, apply: jax.Array, grads: Params, params: Params, states: OptStates, targets: Params
    ) -> tuple[Params, OptStates, Params]:
        """Steps the groups that have gradients; the targets of all of them with the actor's.

        Args:
          apply: bool []; where it is false everything stays as it is.
          grads: group -> gradients, of the critic's phase or of both.
          params: group -> parameters, of every group.
          targets: group -> parameters, of the groups that have a target network.

        Returns:
          params, states, targets.
        """
        arguments = apply, grads, dict(params), dict(states), targets
        if not fused_adam.supports(params):
            return self._by_optax(*arguments)
        # By the platform that the update is lowered for, whatever this process would compute on.
        return jax.lax.platform_dependent(*arguments, cpu=self._fused, default=self._by_optax)

    def mean_gradients(self, states: OptStates, group: str) -> Params:
        """Adam's running mean of a group's gradients."""
        phase = next(phase for phase, groups in self._phases.items() if group in groups)
        means: Params = optax.tree.get(states[phase].inner_states[group], "mu")[group]
        return means

    def _by_optax(
        self, apply: jax.Array, grads: Params, params: Params, states: OptStates, targets: Params
    ) -> tuple[Params, OptStates, Params]:
        def chosen(moved: Any, kept: Any) -> Any:
            return jax.tree.map(partial(jnp.where, apply), moved, kept)

        for phase, groups in self._stepped(grads):
            trained = _only(params, groups)
            updates, state = self._optax[phase].update(_only(grads, groups), states[phase], trained)
            states[phase] = chosen(state, states[phase])
            params |= chosen(optax.apply_updates(trained, updates), trained)
        if "actor" in grads:
            online = _only(params, tuple(targets))
            targets = chosen(optax.incremental_update(online, targets, self._tau), targets)
        return params, states, targets

    def _fused(
        self, apply: jax.Array, grads: Params, params: Params, states: OptStates, targets: Params
    ) -> tuple[Params, OptStates, Params]:
        targets = dict(targets)
        for phase, groups in self._stepped(grads):
            inner = dict(states[phase].inner_states)
            for group in groups:
                adam, *rest = inner[group].inner_state
                rate = self._rates[group]
                params[group], mu, nu, target = fused_adam.step(
                    apply,
                    optax.safe_increment(adam.count),
                    rate(adam.count) if callable(rate) else rate,
                    self._tau,
                    grads[group],
                    params[group],
                    adam.mu[group],
                    adam.nu[group],
                    targets.get(group) if "actor" in grads else None,
                )
                if target is not None:
                    targets[group] = target
                # Beside the moments optax keeps counts of steps alone: Adam's, and a schedule's where there is one.
                counts = jax.tree.map(
                    lambda count: jnp.where(apply, optax.safe_increment(count), count), (adam.count, *rest)
                )
                adam = adam._replace(count=counts[0], mu={**adam.mu, group: mu}, nu={**adam.nu, group: nu})
                inner[group] = inner[group]._replace(inner_state=(adam, *counts[1:]))
            states[phase] = states[phase]._replace(inner_states=inner)
        return params, states, targets

    def _stepped(self, grads: Params) -> list[tuple[str, tuple[str, ...]]]:
        """The phases that have gradients, and their groups."""
        return [(phase, groups) for phase, groups in self._phases.items() if phase in grads]


def _group_labels(params: Mapping[str, Any]) -> Params:
    return {group: jax.tree.map(lambda _, group=group: group, tree) for group, tree in params.items()}


def _only(tree: Params, groups: tuple[str, ...]) -> Params:
    return {group: tree[group] for group in groups}
