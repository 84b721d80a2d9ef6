"""The head that looks at one column of the maps at a time: what it sees, what it learns, who may ask for it."""

import jax
import numpy as np
import pytest
from learner_cases import make_learner, random_batch

from avtd3_jax.agent.networks import Encoder
from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.analysis.saliency import GradCam
from avtd3_jax.errors import ConfigError
from envloop.task.pictures import column_edges, row_edges

WIDE = 7  # of NatureCNN's last maps for 84 pixels
TOLD = ObsSpec(image=(4, 84, 84), vector=5, privileged=3 + 2 * WIDE)
SETTINGS = {"columns": 2, "auxiliary_weight": 1.0, "trunk_width": 50}


def test_what_moves_by_a_cell_moves_by_a_column_in_the_features():
    encoder = Encoder(trunk_width=50, columns=2)
    image = np.zeros((1, 4, 84, 84), np.uint8)
    image[..., 40:44, 40:44] = 255
    vector = np.arange(3.0, dtype=np.float32)[None]
    params = encoder.init(jax.random.key(0), image, vector)
    head = params["params"]["column_head"]["Dense_0"]
    maps = head["kernel"].shape[0] - WIDE - vector.shape[1]
    head["kernel"] = head["kernel"].at[maps : maps + WIDE].set(0.0)  # it no longer knows which column it looks at
    first = np.asarray(encoder.apply(params, image, vector))
    moved = np.asarray(encoder.apply(params, np.roll(image, 8, axis=3), vector))
    assert first.shape == (1, 50 + 2 * WIDE + 3)
    at, after = (features[0, 50 : 50 + 2 * WIDE].reshape(WIDE, 2) for features in (first, moved))
    assert np.abs(np.diff(at, axis=0)).max() > 1e-3
    np.testing.assert_allclose(after[1:], at[:-1], atol=1e-5)
    np.testing.assert_array_equal(first[0, -3:], vector[0])


def test_the_head_of_a_column_knows_which_it_is_and_the_vector():
    encoder, blank = Encoder(columns=1), np.zeros((1, 4, 84, 84), np.uint8)
    vectors = np.eye(2, 3, dtype=np.float32)[:, None]
    params = encoder.init(jax.random.key(0), blank, vectors[0])
    told = [np.asarray(encoder.apply(params, blank, vector))[0, 512 : 512 + WIDE] for vector in vectors]
    assert len(set(told[0].tolist())) == WIDE
    assert np.abs(told[0] - told[1]).min() > 0.0


def test_it_learns_what_it_is_told_and_no_other_head_has_to():
    """Each column's number is how bright that column of the picture is."""
    learner = make_learner(TOLD, **SETTINGS)
    rng = np.random.default_rng(0)
    batch = random_batch(TOLD, size=32)
    bright = rng.integers(0, 2, (32, WIDE))
    image = np.zeros((32, 4, 84, 84), np.uint8)
    for column in range(WIDE):
        image[..., 14 + 8 * column : 22 + 8 * column] = 255 * bright[:, column, None, None, None]
    told = np.concatenate([np.zeros((32, 3)), np.stack([bright, 1 - bright], axis=2).reshape(32, -1)], axis=1)
    frames = np.repeat(image[:, :1], 5, axis=1)
    batch = batch._replace(frames=frames, privileged=told.astype(np.float32))
    state, losses = learner.init(0), []
    for update in range(150):
        state, packed = learner.step(state, batch, update)
        losses.append(learner.read_metrics(packed, update_actor=learner.updates_actor(update))["loss/columns"])
    assert losses[-1] < 0.1 * losses[0]
    assert state.params["auxiliary"]["Dense_1"]["bias"].shape == (3,)


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (TOLD, {"columns": 2}, "columns is 2 and auxiliary_weight 0"),
        (ObsSpec(image=(4, 84, 84), vector=5, privileged=2 * WIDE), SETTINGS, "'privileged' part has 14.*env.columns"),
        (ObsSpec(image=None, vector=5, privileged=17), SETTINGS, "no image"),
    ],
)
def test_who_asks_for_it_has_to_have_what_it_is_told(spec, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_learner(spec, **settings)


def test_heat_lies_where_a_magnified_middle_was_in_the_camera():
    """The cell beside the middle one looks at what is nearer to the middle than in an even picture."""
    even = GradCam(make_learner(ObsSpec(image=(4, 84, 84), vector=None)))
    edges = row_edges("fovea"), column_edges("fovea")
    magnified = GradCam(make_learner(ObsSpec(image=(4, 84, 84), vector=None)), edges)
    cam = np.zeros((WIDE, WIDE), np.float32)
    cam[3, 4] = 1.0
    places = [grad_cam.placed(cam, 256, 144).sum(axis=0).argmax() for grad_cam in (even, magnified)]
    share = np.interp(41.5 + 8.0 + 0.5, np.arange(85), edges[1])
    assert places[0] == pytest.approx(256 * 50.0 / 84.0 - 0.5, abs=1.0)
    assert places[1] == pytest.approx(256 * share - 0.5, abs=1.0)
    assert 128 < places[1] < places[0]
