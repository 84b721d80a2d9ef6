"""Weights with torchvision's names against what torchvision itself makes of them, and every way to be wrong."""

import jax
import numpy as np
import pytest
from learner_cases import make_learner, once, same_bits
from safetensors.numpy import save_file
from torchvision_golden import FRAMES, state_dict_and_maps

from avtd3_jax.agent.networks import Encoder
from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.encoders import torchvision_weights

PIXELS = ObsSpec(image=(4, 84, 84), vector=None)


@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2"])
def test_the_encoder_is_torchvisions_function(network, tmp_path):
    tensors, golden = state_dict_and_maps(network)
    save_file(tensors, path := str(tmp_path / "weights.safetensors"))
    params = {"cnn": torchvision_weights.load(network, path, stack=4)}

    def maps(params, image):
        return Encoder(network).apply({"params": params}, image, method="maps")

    np.testing.assert_allclose(once(maps, params, FRAMES)[..., ::8], golden, rtol=1e-3, atol=1e-3 * golden.std())


def test_the_learner_begins_with_the_weights(tmp_path):
    save_file(state_dict_and_maps("resnet18")[0], path := str(tmp_path / "weights.safetensors"))
    learner = make_learner(PIXELS, encoder="resnet18", encoder_weights=path)
    state = learner.init(0)
    plain = jax.eval_shape(lambda: make_learner(PIXELS, encoder="resnet18").init(0))
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (state, plain))
    assert shapes[0] == shapes[1]
    weights = torchvision_weights.load("resnet18", path, stack=4)
    for params in (state.params, state.target_params):
        assert same_bits(params["encoder"]["cnn"], weights)


def wrong(change):
    tensors, _ = state_dict_and_maps("resnet18")
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("layer2.0.downsample.1.running_var"), "no tensor 'layer2.0.downsample.1.running_var'"),
        (
            lambda t: t.update({"layer3.1.conv2.weight": np.zeros((256, 256, 1, 1), np.float32)}),
            r"'layer3.1.conv2.weight' has the shape \[256, 256, 1, 1\], resnet18 needs \[256, 256, 3, 3\]",
        ),
        (lambda t: t.update({"layer1.2.conv1.weight": np.zeros(3, np.float32)}), "the tensor 'layer1.2.conv1.weight'"),
        (lambda t: t["bn1.running_var"].fill(-1.0), "conv1 and bn1 give numbers that are not finite"),
    ],
    ids=["missing", "shape", "unknown", "not finite"],
)
def test_a_file_of_other_tensors_is_refused_by_name(change, sentence, tmp_path):
    save_file(wrong(change), path := str(tmp_path / "weights.safetensors"))
    with pytest.raises(ValueError, match=sentence):
        torchvision_weights.load("resnet18", path, stack=4)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        make_learner(PIXELS, encoder="resnet18", encoder_weights=str(tmp_path / "none.safetensors")).init(0)


def test_another_kind_of_file_is_refused(tmp_path):
    (path := tmp_path / "weights.pth").write_bytes(b"PK\x03\x04 a pickle of torch's")
    with pytest.raises(ValueError, match=r"is not a whole \.safetensors file"):
        torchvision_weights.load("resnet18", str(path), stack=4)


def test_weights_for_an_encoder_that_has_none_are_refused():
    with pytest.raises(ValueError, match=r"no ImageNet weights for the encoder 'nature'.*resnet18 or mobilenet_v2"):
        TD3Config(encoder="nature", encoder_weights="weights.safetensors")


def test_weights_without_an_image_are_refused(tmp_path):
    config = {"encoder": "resnet18", "encoder_weights": str(tmp_path / "weights.safetensors")}
    with pytest.raises(ValueError, match="has no image"):
        make_learner(ObsSpec(image=None, vector=3), **config).init(0)
