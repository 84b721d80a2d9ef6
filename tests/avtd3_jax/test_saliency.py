"""Grad-CAM against finite differences in numpy, and heat where the picture has it."""

import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, make_learner

from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.analysis.pictures import first_layer_sheet, heat_panel, panel_height
from avtd3_jax.analysis.saliency import GradCam
from avtd3_jax.encoders.registry import image_encoder


def dense(x, layer):
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def mlp(x, layers):
    for name in ("Dense_0", "Dense_1"):
        x = np.maximum(dense(x, layers[name]), 0.0)
    return dense(x, layers["Dense_2"])


def random_observation(spec):
    rng = np.random.default_rng(0)
    return {"image": rng.integers(0, 256, spec.image, np.uint8), "vector": rng.standard_normal(5, np.float32)}


@pytest.fixture(scope="module")
def case():
    learner = make_learner()
    return learner, learner.init(0).params, random_observation(BOTH)


def test_cams_match_finite_differences():
    """A map's weight is the change of the output as the whole map is raised, over its number of places."""
    spec = ObsSpec(image=(4, 44, 52), vector=5)  # 2x3 maps
    learner, observation = make_learner(spec), random_observation(spec)
    params = learner.init(1).params
    explanation = GradCam(learner)(params, observation)
    maps = learner.encoder.apply({"params": params["encoder"]}, observation["image"][None], method="maps")
    maps = np.asarray(maps[0], np.float64)
    critic = jax.tree.map(lambda p: p[0], params["critic"]["mlp"])

    def outputs(maps):
        features = np.maximum(dense(maps.reshape(-1), params["encoder"]["dense"]), 0.0)
        features = np.concatenate([features, observation["vector"]])
        value = mlp(np.concatenate([features, explanation.action]), critic)
        return np.concatenate([value, np.abs(mlp(features, params["actor"]["mlp"]))])

    places, step = maps[..., 0].size, 1e-6
    cams = np.zeros(explanation.cams.shape)
    for channel in range(maps.shape[-1]):
        raised, lowered = maps.copy(), maps.copy()
        raised[..., channel] += step
        lowered[..., channel] -= step
        weights = (outputs(raised) - outputs(lowered)) / (2 * step) / places
        cams += weights[:, None, None] * maps[..., channel]
    cams = np.maximum(cams, 0.0)
    assert cams.max() > 0.0
    np.testing.assert_allclose(explanation.cams, cams, rtol=1e-2, atol=1e-3 * cams.max())
    assert explanation.value == pytest.approx(outputs(maps)[0], rel=1e-4)


def test_the_explained_action_is_the_policys(case):
    learner, params, observation = case
    explanation = GradCam(learner)(params, observation)
    np.testing.assert_allclose(explanation.action, learner.act(params, observation), atol=1e-6)


def test_first_layer_is_the_first_convolution(case):
    learner, params, observation = case
    layer = GradCam(learner).first_layer(params, observation)
    assert layer.kernel.shape == (8, 8, 4, 32)
    patch = observation["image"][:, 4:12, 8:16].transpose(1, 2, 0) / 255.0
    expected = np.maximum(np.einsum("ijc,ijcf->f", patch, layer.kernel), 0.0)
    np.testing.assert_allclose(layer.maps[1, 2], expected, rtol=1e-4, atol=1e-5)


def test_a_cell_is_drawn_where_it_looks():
    """Nature's cell 2 of 7 has its centre at pixel 17.5 + 16 of 84: in a picture of twice the width at 67.5 of 168."""
    grad_cam = GradCam(make_learner(ObsSpec(image=(4, 84, 84), vector=None)))
    assert image_encoder("nature").cells == (17.5, 8.0)
    cam = np.zeros((7, 7), np.float32)
    cam[4, 2] = 1.0
    placed = grad_cam.placed(cam, width=168, height=84)
    assert placed.shape == (84, 168)
    centre = np.array([placed.sum(1) @ np.arange(84), placed.sum(0) @ np.arange(168)]) / placed.sum()
    np.testing.assert_allclose(centre, [17.5 + 4 * 8, 2 * (17.5 + 2 * 8 + 0.5) - 0.5], atol=0.1)
    assert placed[0].max() == 0.0
    cam[:] = 0.5
    np.testing.assert_allclose(grad_cam.placed(cam, 168, 84), 0.5)  # up to the edges


def test_a_learner_without_pictures_is_refused():
    with pytest.raises(ValueError, match="needs an observation with an image"):
        GradCam(make_learner(VECTOR))


def test_heat_is_drawn_where_it_is_and_nowhere_else():
    camera = np.full((144, 256, 3), 100, np.uint8)
    heat = np.zeros((panel_height(camera, 400), 400), np.float32)
    heat[:, 300:] = 1.0
    panel = heat_panel(camera, heat, "caption", 400)
    assert panel.shape == (32 + 224, 400, 3)
    assert (panel[32:, :300] == 100).all()
    assert panel[32:, 300:, 0].min() > 150  # yellow


def test_the_sheet_shows_signs_and_frames(case):
    learner, params, observation = case
    layer = GradCam(learner).first_layer(params, observation)
    positive = layer._replace(kernel=np.abs(layer.kernel))
    frames = observation["image"]
    sheets = [first_layer_sheet(which, frames, 16 / 9, "title") for which in (layer, positive)]
    assert sheets[0].shape == sheets[1].shape
    assert sheets[0].shape[1] == 1280
    blue = [(sheet[..., 2].astype(int) - sheet[..., 0] > 100).sum() for sheet in sheets]
    assert blue[0] > 10_000
    assert blue[1] < blue[0] / 10
