"""Networks against explicit numpy arithmetic on the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from avtd3_jax.agent.networks import Actor, CriticEnsemble, Encoder


def convolve(x, kernel, bias, stride):
    """[B, H, W, C] with [k, k, C, F], no padding, in float64."""
    size = kernel.shape[0]
    patches = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]  # [B, h, w, C, k, k]
    return np.einsum("bhwcij,ijcf->bhwf", patches, kernel) + bias


def relu(x):
    return np.maximum(x, 0.0)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def mlp(x, layers):
    return dense(relu(dense(relu(dense(x, layers["Dense_0"])), layers["Dense_1"])), layers["Dense_2"])


def nature_features(params, image):
    x = image.transpose(0, 2, 3, 1) / 255.0
    for layer, stride in zip(("Conv_0", "Conv_1", "Conv_2"), (4, 2, 1), strict=True):
        x = relu(convolve(x, params["cnn"][layer]["kernel"], params["cnn"][layer]["bias"], stride))
    return x.reshape(len(x), -1)


def random_observation(seed=0, batch=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (batch, 4, 84, 84), np.uint8), rng.standard_normal((batch, 23)).astype(np.float32)


def as_float64(params):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), params)


def init_params(module, *inputs):
    """Random biases too, so that a forgotten one shows."""
    params = jax.jit(module.init)(jax.random.key(1), *inputs)["params"]
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(2)
    return structure.unflatten([leaf + 0.01 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])


def apply(module, params, *inputs):
    return jax.jit(module.apply)({"params": params}, *inputs)


def test_encoder_matches_explicit_convolution():
    image, vector = random_observation()
    encoder = Encoder()
    params = init_params(encoder, image, vector)
    features = apply(encoder, params, image, vector)
    reference = as_float64(params)
    expected = relu(dense(nature_features(reference, image), reference["dense"]))
    assert features.shape == (2, 512 + 23)
    np.testing.assert_allclose(features[:, :512], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features[:, 512:], vector)


def test_trunk_is_dense_layernorm_tanh():
    image, vector = random_observation()
    encoder = Encoder(trunk_width=50)
    params = init_params(encoder, image, vector)
    reference = as_float64(params)
    x = dense(nature_features(reference, image), reference["trunk"])
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
    expected = np.tanh(x * reference["trunk_norm"]["scale"] + reference["trunk_norm"]["bias"])
    features = apply(encoder, params, image, vector)
    assert features.shape == (2, 50 + 23)
    np.testing.assert_allclose(features[:, :50], expected, rtol=1e-3, atol=1e-4)


def test_parameter_counts_of_record():
    image, vector = random_observation(batch=1)
    count = lambda params: sum(leaf.size for leaf in jax.tree.leaves(params))  # noqa: E731
    encoder = jax.eval_shape(Encoder().init, jax.random.key(0), image, vector)["params"]
    features, action = jnp.zeros((1, 535)), jnp.zeros((1, 2))
    actor = jax.eval_shape(Actor(2).init, jax.random.key(0), features)["params"]
    critic = jax.eval_shape(CriticEnsemble().init, jax.random.key(0), features, action)["params"]
    assert count(encoder) == (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64) + 3137 * 512
    assert count(actor) == 536 * 256 + 257 * 256 + 257 * 2
    assert count(critic) == 2 * (538 * 256 + 257 * 256 + 257)


def test_convolutions_start_with_kaiming_variance():
    image, vector = random_observation(batch=1)
    cnn = jax.jit(Encoder().init)(jax.random.key(3), image, vector)["params"]["cnn"]
    for layer, fan_in in (("Conv_0", 256), ("Conv_1", 512), ("Conv_2", 576)):
        assert np.var(cnn[layer]["kernel"]) == pytest.approx(2.0 / fan_in, rel=0.1)
        assert not np.any(cnn[layer]["bias"])


def test_actor_and_critics_match_numpy():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((6, 535)).astype(np.float32)
    action = rng.uniform(-1.0, 1.0, (6, 2)).astype(np.float32)
    actor, critic = Actor(2), CriticEnsemble()
    actor_params, critic_params = init_params(actor, features), init_params(critic, features, action)
    expected = np.tanh(mlp(features, as_float64(actor_params)["mlp"]))
    np.testing.assert_allclose(apply(actor, actor_params, features), expected, atol=1e-5)
    q = apply(critic, critic_params, features, action)
    assert q.shape == (2, 6)
    x = np.concatenate([features, action], axis=1)
    for i in range(2):
        layers = jax.tree.map(lambda p, i=i: p[i], as_float64(critic_params)["mlp"])
        np.testing.assert_allclose(q[i], mlp(x, layers)[:, 0], rtol=1e-4, atol=1e-4)
    assert not np.allclose(q[0], q[1], atol=1e-2)  # independent, not copies


def test_parameters_stay_float32_in_bfloat16():
    image, vector = random_observation(batch=1)
    encoder = Encoder(dtype=jnp.bfloat16)
    params = jax.jit(encoder.init)(jax.random.key(0), image, vector)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert apply(encoder, params, image, vector).dtype == jnp.bfloat16
    features = jnp.zeros((1, 535), jnp.bfloat16)
    actor = Actor(2, dtype=jnp.bfloat16)
    assert apply(actor, init_params(actor, features), features).dtype == jnp.float32


def test_float_images_are_refused():
    image, vector = random_observation(batch=1)
    with pytest.raises(AssertionError, match="uint8"):
        Encoder().init(jax.random.key(0), image.astype(np.float32), vector)
