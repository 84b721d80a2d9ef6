"""TD3's losses as pure functions (Fujimoto et al. 2018, arXiv:1802.09477)."""

import chex
import jax
import jax.numpy as jnp
import numpy as np


def td_target(
    reward: jax.Array, steps: jax.Array, terminated: jax.Array, next_q: jax.Array, discount: float
) -> jax.Array:
    """Clipped double-Q target of TD3, from n-step returns with n > 1.

    y = r_0 + gamma * r_1 + ... + gamma^k * (1 - terminated) * min_i Q_i'(s_k, a')

    with k = n = 1 in Fujimoto et al. 2018, eq. 10, and n = 3 in DrQ-v2 (Yarats et al. 2021, arXiv:2107.09645).

    Args:
      reward: [B, n] float32, of each step; zero after the k-th.
      steps: [B] int32, k in 1..n.
      terminated: [B] bool, after the k-th step; a time limit is not a termination and keeps its bootstrap.
      next_q: [C, B] float32, the target critics at the smoothed target action, k steps on.
      discount: gamma, per decision.

    Returns:
      [B] float32, no gradient flows through it.
    """
    chex.assert_rank([reward, steps, terminated, next_q], [2, 1, 1, 2])
    chex.assert_equal_shape([reward[:, 0], steps, terminated, next_q[0]])
    chex.assert_type([steps, terminated], [int, bool])
    powers = discount ** np.arange(reward.shape[1] + 1, dtype=np.float32)
    returns = (reward * powers[None, :-1]).sum(axis=1)
    bootstrap = jnp.where(terminated, 0.0, next_q.min(axis=0))
    return jax.lax.stop_gradient(returns + jnp.asarray(powers)[steps] * bootstrap)


def smoothed_action(key: jax.Array, action: jax.Array, noise: float, noise_clip: float) -> jax.Array:
    """Target policy smoothing: a' + clip(N(0, noise), +-noise_clip), kept in [-1, 1] (eq. 14). `action` is [B, A]."""
    chex.assert_rank(action, 2)
    epsilon = jnp.clip(noise * jax.random.normal(key, action.shape, jnp.float32), -noise_clip, noise_clip)
    return jnp.clip(action + epsilon, -1.0, 1.0)


def critic_loss(q: jax.Array, target: jax.Array) -> jax.Array:
    """Mean over the batch, sum over the critics, of (Q_i(s, a) - y)^2 (eq. 11). `q` is [C, B], `target` [B]."""
    chex.assert_rank([q, target], [2, 1])
    chex.assert_equal_shape([q[0], target])
    return jnp.square(q - target[None]).mean(axis=1).sum()


def actor_loss(q_pi: jax.Array) -> jax.Array:
    """Deterministic policy gradient through the first critic: -mean Q_1(s, pi(s)). `q_pi` is [B]."""
    chex.assert_rank(q_pi, 1)
    return -q_pi.mean()


def imitating_loss(q_pi: jax.Array, action: jax.Array, expert: jax.Array, weight: float) -> jax.Array:
    """-mean Q_1(s, pi(s)) / mean |Q_1| + weight * mean |pi(s) - expert|^2: TD3+BC (arXiv:2106.06860, eqs. 3 and 5).

    There `weight` is 1 / alpha, and the expert's action is the one taken; here the expert is asked in every state that
    the policy comes to, as in DAgger (Ross et al. 2011, arXiv:1011.0686). `q_pi` is [B], `action` and `expert` [B, A].
    """
    chex.assert_rank([q_pi, action, expert], [1, 2, 2])
    chex.assert_equal_shape([action, expert])
    scale = jax.lax.stop_gradient(jnp.abs(q_pi).mean() + 1e-6)
    return actor_loss(q_pi) / scale + weight * jnp.square(action - expert).mean()


def auxiliary_loss(predicted: jax.Array, told: jax.Array) -> jax.Array:
    """Mean squared error of what auxiliary heads say the simulator knows. Both are [B, K]."""
    chex.assert_rank([predicted, told], 2)
    chex.assert_equal_shape([predicted, told])
    return jnp.square(predicted - told).mean()
