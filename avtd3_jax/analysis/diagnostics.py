"""Is the encoder learning, and are actor and critics on the same scale? Measured on real data, as plain numbers."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from avtd3_jax.agent.frames import split_frames
from avtd3_jax.agent.interface import Agent, Params, TrainState
from avtd3_jax.agent.spaces import Observation
from avtd3_jax.replay.batch import Batch


def encoder_gradient_norms(agent: Agent, state: TrainState, batch: Batch) -> dict[str, float]:
    """L2 norm of the loss's gradient for every encoder parameter, by its path; an actor step's gradient."""
    norms, _, _ = _compiled(agent)
    return _by_path(norms(state.params, state.target_params, batch))


def encoder_mean_gradients(agent: Agent, state: TrainState) -> dict[str, float]:
    """Largest absolute running mean of the gradient, the optimiser's own, in every encoder parameter, by its path."""
    return _by_path(_largest(agent.mean_gradients(state, "encoder")))


def encoder_weight_changes(initial: Params, params: Params) -> dict[str, float]:
    """|w - w_0| / |w_0| of every encoder parameter, by its path; |w| where it began at zero."""

    def change(before: jax.Array, now: jax.Array) -> jax.Array:
        norm = jnp.linalg.norm(before)
        return jnp.linalg.norm(now - before) / jnp.where(norm > 0.0, norm, 1.0)

    return _by_path(jax.tree.map(change, _ravelled(initial["encoder"]), _ravelled(params["encoder"])))


def features_of(agent: Agent, params: Params, observations: Observation) -> np.ndarray:
    """Encoder features [B, F] float32 of a batch of observations."""
    _, features, _ = _compiled(agent)
    return np.asarray(features(params["encoder"], observations.get("image"), observations.get("vector")), np.float32)


def feature_similarity(before: np.ndarray, now: np.ndarray) -> float:
    """Mean cosine similarity of two sets of features [B, F] of the same observations."""
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(now, axis=1)
    return float(np.mean(np.sum(before * now, axis=1) / np.maximum(norms, 1e-12)))


def q_gap(agent: Agent, params: Params, batch: Batch) -> float:
    """Mean |Q_1(s, pi(s)) - Q_1(s, a)| over a batch: of the order of the returns while actor and critic agree."""
    _, _, gap = _compiled(agent)
    return float(gap(params, batch))


def observations_of(batch: Batch) -> Observation:
    """The observations of a batch, apart from its memory: a fixed set to compare features on."""
    parts = {"image": split_frames(batch)[0], "vector": batch.vector}
    return {name: np.array(part) for name, part in parts.items() if part is not None}


def sample_sheet(batch: Batch, rows: int = 8) -> np.ndarray:
    """Packed frames of the first `rows` transitions as one picture: a row each, obs at the left, next_obs at the right.

    Returns:
      uint8 [rows * (H + 2), frames * (W + 2)] with S + min(n, S) frames a row, a white line between frames.
    """
    if batch.frames is None:
        raise ValueError("The batch has no frames: a sheet needs an observation space with an image.")
    frames = np.asarray(batch.frames)[:rows]
    framed = np.pad(frames, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=255)
    count, stack, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(count * height, stack * width)


@functools.lru_cache(maxsize=2)
def _compiled(agent: Agent) -> tuple[Any, Any, Any]:
    """Jitted gradient norms, features and Q gap of `agent`, kept so that looking again does not compile again."""

    def gradient_norms(params: Params, target_params: Params, batch: Batch) -> Params:
        def loss(encoder: Params) -> jax.Array:
            key = jax.random.key(0)
            return agent.loss({**params, "encoder": encoder}, target_params, batch, key, update_actor=True)[0]

        return jax.tree.map(jnp.linalg.norm, _ravelled(jax.grad(loss)(params["encoder"])))

    def gap(params: Params, batch: Batch) -> jax.Array:
        image, _ = split_frames(batch)
        features = agent.features(params["encoder"], image, batch.vector)
        pi = cast(jax.Array, agent.actor.apply({"params": params["actor"]}, features))
        q = [agent.values(params["critic"], features, action, batch.privileged)[0] for action in (pi, batch.action)]
        return jnp.abs(q[0] - q[1]).mean()

    return jax.jit(gradient_norms), jax.jit(agent.features), jax.jit(gap)


@jax.jit
def _largest(tree: Params) -> Params:
    return jax.tree.map(lambda leaf: jnp.abs(leaf).max(), tree)


def _ravelled(tree: Any) -> Any:
    return jax.tree.map(jnp.ravel, tree)


def _by_path(tree: Any) -> dict[str, float]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): float(leaf) for path, leaf in leaves}
