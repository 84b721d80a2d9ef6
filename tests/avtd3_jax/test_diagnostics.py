import jax
import numpy as np
import pytest
from learner_cases import VECTOR, host_params, make_learner, on_host, random_batch, run_updates

from avtd3_jax.analysis import diagnostics

ENCODER = {
    f"{layer}/{part}" for layer in ("cnn/Conv_0", "cnn/Conv_1", "cnn/Conv_2", "dense") for part in ("bias", "kernel")
}


@pytest.fixture(scope="module")
def trained():
    """A learner, its initial parameters on the host, and its state after four updates."""
    learner = make_learner()
    state = learner.init(0)
    initial = host_params(state.params)
    return learner, initial, run_updates(learner, state, 4)


def test_every_encoder_gradient_is_there_and_not_zero(trained):
    learner, _, state = trained
    norms = diagnostics.encoder_gradient_norms(learner, state, random_batch())
    assert set(norms) == ENCODER
    assert all(np.isfinite(norm) and norm > 0.0 for norm in norms.values())


def test_gradient_norms_add_up_to_the_updates(trained):
    """Against the norm that an update itself reports; where all terminate, no smoothing noise sets the two apart."""
    learner, _, _ = trained
    state, batch = learner.init(0), random_batch()._replace(terminated=np.ones(8, bool))
    norms = diagnostics.encoder_gradient_norms(learner, state, batch)
    _, packed = learner.update(state, batch, update_actor=True)
    total = learner.read_metrics(packed, update_actor=True)["grad_norm/encoder"]
    assert np.linalg.norm(list(norms.values())) == pytest.approx(total, rel=1e-4)


def test_weight_change_is_relative_and_starts_at_zero(trained):
    _, initial, state = trained
    assert set(diagnostics.encoder_weight_changes(initial, initial).values()) == {0.0}
    changes = diagnostics.encoder_weight_changes(initial, state.params)
    assert set(changes) == ENCODER
    before, now = initial["encoder"]["dense"]["kernel"], np.asarray(state.params["encoder"]["dense"]["kernel"])
    expected = np.linalg.norm(now - before) / np.linalg.norm(before)
    assert changes["dense/kernel"] == pytest.approx(expected, rel=1e-3)
    assert changes["dense/bias"] > 0.0  # a bias starts at zero: its change is absolute


def test_features_drift_from_themselves(trained):
    learner, initial, state = trained
    observations = diagnostics.observations_of(random_batch())
    before = diagnostics.features_of(learner, initial, observations)
    now = diagnostics.features_of(learner, state.params, observations)
    assert diagnostics.feature_similarity(before, before) == pytest.approx(1.0, abs=1e-5)
    assert diagnostics.feature_similarity(before, -before) == pytest.approx(-1.0, abs=1e-5)
    assert 0.5 < diagnostics.feature_similarity(before, now) < 1.0 - 1e-7


def test_q_gap_is_zero_for_the_policys_own_actions(trained):
    learner, _, state = trained
    batch = random_batch()
    assert diagnostics.q_gap(learner, state.params, batch) > 0.0
    own = learner.act(state.params, diagnostics.observations_of(batch))
    assert diagnostics.q_gap(learner, state.params, batch._replace(action=own)) == pytest.approx(0.0, abs=1e-5)


def test_looking_does_not_touch_the_state(trained):
    learner, _, state = trained
    before = on_host(state)
    diagnostics.encoder_gradient_norms(learner, state, jax.device_put(random_batch()))
    assert all((a == b).all() for a, b in zip(before, on_host(state), strict=True))


def test_sheet_shows_each_frame_in_its_place():
    batch = random_batch(size=5)
    sheet = diagnostics.sample_sheet(batch, rows=3)
    assert sheet.shape == (3 * 38, 5 * 38)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[38 : 38 + 36, 2 * 38 : 2 * 38 + 36], batch.frames[1, 2])
    with pytest.raises(ValueError, match="has no frames"):
        diagnostics.sample_sheet(random_batch(VECTOR))
