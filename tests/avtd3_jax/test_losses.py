import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avtd3_jax.agent import losses

ONE_STEP = jnp.ones(2, jnp.int32)


def test_td_target_by_hand():
    reward = jnp.array([[1.0], [1.0], [-2.0]])
    terminated = jnp.array([False, True, False])
    next_q = jnp.array([[10.0, 10.0, 4.0], [8.0, 8.0, 6.0]])
    np.testing.assert_allclose(losses.td_target(reward, jnp.ones(3, int), terminated, next_q, 0.5), [5.0, 1.0, 0.0])


def test_n_step_target_by_hand():
    """Whole, cut short by a time limit after two steps and one, and by a termination after two."""
    reward = jnp.array([[1.0, 2.0, 4.0], [1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    steps, terminated = jnp.array([3, 2, 1, 2]), jnp.array([False, False, False, True])
    target = losses.td_target(reward, steps, terminated, jnp.full((2, 4), 8.0), 0.5)
    np.testing.assert_allclose(target, [1 + 1 + 1 + 1, 1 + 1 + 2, 1 + 4, 1 + 1])


def test_td_target_ignores_what_follows_a_termination_even_if_infinite():
    target = losses.td_target(jnp.ones((1, 1)), ONE_STEP[:1], jnp.array([True]), jnp.full((2, 1), jnp.inf), 0.99)
    np.testing.assert_array_equal(target, [1.0])


def test_no_gradient_through_the_target():
    reward, terminated = jnp.ones((2, 1)), jnp.zeros(2, bool)
    grad = jax.grad(lambda q: losses.td_target(reward, ONE_STEP, terminated, q, 0.9).sum())(jnp.ones((2, 2)))
    assert not grad.any()


@pytest.mark.parametrize(
    "bad",
    [
        {"reward": jnp.ones(2)},
        {"steps": jnp.ones(2)},
        {"terminated": jnp.zeros(2, jnp.float32)},
        {"next_q": jnp.ones((2, 3))},
        {"next_q": jnp.ones(2)},
    ],
)
def test_td_target_refuses_other_shapes_and_types(bad):
    good = {"reward": jnp.ones((2, 1)), "steps": ONE_STEP, "terminated": jnp.zeros(2, bool), "next_q": jnp.ones((2, 2))}
    with pytest.raises(AssertionError):
        losses.td_target(**(good | bad), discount=0.99)


def test_smoothing_noise_has_its_scale_and_is_clipped_twice():
    action = jnp.zeros((20_000, 2))
    noise = losses.smoothed_action(jax.random.key(0), action, 0.2, 0.5)
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(jnp.abs(noise).max()) == 0.5
    edge = losses.smoothed_action(jax.random.key(0), action + 0.9, 0.2, 0.5)
    assert float(edge.max()) == 1.0
    assert float(edge.min()) == pytest.approx(0.4, abs=1e-6)


def test_critic_loss_is_summed_over_critics_and_averaged_over_the_batch():
    q = jnp.array([[1.0, 2.0], [3.0, 5.0]])
    assert float(losses.critic_loss(q, jnp.array([1.0, 1.0]))) == pytest.approx((0 + 1) / 2 + (4 + 16) / 2)


def test_actor_loss_is_minus_mean_q():
    assert float(losses.actor_loss(jnp.array([1.0, 3.0]))) == -2.0
