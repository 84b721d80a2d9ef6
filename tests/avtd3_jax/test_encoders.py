"""Every encoder: what it makes of a picture, that all of it is trained, and where its cells look."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_cases import make_learner, on_host, once, random_batch

from avtd3_jax.agent.networks import Encoder
from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.encoders import NAMES, PRETRAINED
from avtd3_jax.encoders.registry import ENCODERS, image_encoder

SMALL = ObsSpec(image=(4, 48, 48), vector=5)

# Parameters before the dense layer, and maps of an 84x84 picture. The last two are torchvision's 11,176,512 and
# 2,223,872 less the scales of 4,800 and 17,056 BatchNorm channels, and with four frames in place of three channels.
OF_RECORD = {
    "nature": (77_984, (7, 7, 64)),
    "small": (33_888, (4, 4, 32)),
    "impala": (97_744, (11, 11, 32)),
    "resnet18": (11_174_848, (3, 3, 512)),
    "mobilenet_v2": (2_207_104, (3, 3, 1280)),
}


def test_the_table_is_of_all_encoders():
    assert OF_RECORD.keys() == ENCODERS.keys()


def test_the_names_that_settings_know_are_those_of_the_encoders():
    assert tuple(ENCODERS) == NAMES
    assert tuple(name for name, encoder in ENCODERS.items() if encoder.torchvision) == PRETRAINED


@pytest.mark.parametrize("name", ENCODERS)
def test_parameter_counts_and_maps_of_record(name):
    def run(key):
        image, vector = jnp.zeros((2, 4, 84, 84), jnp.uint8), jnp.zeros((2, 23))
        params = Encoder(name).init(key, image, vector)["params"]
        return params, Encoder(name).apply({"params": params}, image, method="maps")

    params, maps = jax.eval_shape(run, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(params["cnn"]))
    assert (count, maps.shape[1:]) == OF_RECORD[name]
    assert params["dense"]["kernel"].shape == (np.prod(maps.shape[1:]), 512)
    assert image_encoder(name).first_conv in params["cnn"]


@pytest.mark.parametrize("name", ENCODERS)
def test_one_update_trains_every_parameter(name):
    """End to end: the encoder learns too."""
    learner = make_learner(SMALL, encoder=name)
    state = once(lambda: learner.init(0))
    before = on_host(state.params["encoder"])
    update = partial(learner._jit_update, update_actor=True)
    state, packed = once(update, state, random_batch(SMALL, size=4))
    metrics = learner.read_metrics(packed, update_actor=True)  # raises where one is not finite
    assert 0.0 < metrics["grad_norm/encoder"] < 1e4
    assert 0.0 < metrics["q/max"] - metrics["q/min"] < 30.0  # activations neither vanish nor explode with depth
    # Adam has a first moment exactly where there was a gradient.
    moments = state.opt_state["critic"].inner_states["encoder"].inner_state[0].mu["encoder"]
    assert all(moment.any() for moment in on_host(moments))
    assert all((a != b).any() for a, b in zip(before, on_host(state.params["encoder"]), strict=True))


@pytest.mark.parametrize("name", ENCODERS)
def test_cells_lie_where_the_encoder_says(name):
    """A mirrored picture has mirrored maps, so the cells lie evenly about its middle; a cell further is `stride` on."""
    offset, stride = image_encoder(name).cells
    width = int(2 * offset + stride + 1)  # two cells, the second as far from the right edge as the first from the left
    module = image_encoder(name).module()

    def maps(image):
        params = module.init(jax.random.key(0), image)["params"]
        params = jax.tree.map(lambda p: p + jnp.flip(p, axis=1) if p.ndim == 4 else p, params)
        return module.apply({"params": params}, image)

    image = np.random.default_rng(0).integers(0, 256, (1, 2, 36, width), np.uint8)
    seen, mirrored = once(maps, np.concatenate([image, image[..., ::-1]]))
    assert seen.shape[1] == 2
    scale = np.abs(seen).max()
    assert np.abs(seen[:, 0] - seen[:, 1]).max() > 2e-2 * scale  # not the same everywhere
    np.testing.assert_allclose(mirrored[:, ::-1], seen, rtol=1e-3, atol=2e-3 * scale)


def test_an_unknown_encoder_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="encoder is 'vgg': choose one of nature, small, impala, resnet18, mobilenet"):
        TD3Config(encoder="vgg")


def test_a_picture_too_small_for_the_encoder_is_refused():
    with pytest.raises(ValueError, match="Images of 20x36 are too small for 'nature'"):
        make_learner(ObsSpec(image=(4, 20, 36), vector=None)).init(0)
