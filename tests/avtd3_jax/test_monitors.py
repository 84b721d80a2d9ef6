import jax
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, make_learner, random_batch

from avtd3_jax.analysis import diagnostics
from avtd3_jax.training.monitors import REPEAT_WINDOWS, Monitors, Parking, QScale, Saturation, gradient_warning


def saturation(actions, window=10):
    monitor = Saturation(("steer", "accel"), window)
    for action in actions:
        monitor.observe(np.array(action, np.float32))
    return monitor


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        ([(-1.0, 0.2)] * 10, ["steer"]),
        ([(1.0, 0.2), (-1.0, 0.2)] * 5, ["steer"]),  # bang-bang: its mean is 0
        ([(0.0, 1.0)] * 10, ["accel"]),
        ([(0.0, 0.0)] * 10 + [(0.99, -0.99)] * 10, ["steer", "accel"]),
        ([(1.0, 1.0)] * 9, []),  # the window is not full
        ([(1.0, 1.0)] * 10 + [(0.1, 0.1)] * 10, []),  # it came back
        ([(1.0, 0.9)] * 8 + [(0.5, 0.9)] * 2, []),  # now and then is no matter
    ],
)
def test_a_saturated_policy_is_named_by_its_dimensions(actions, named):
    warning = saturation(actions).warning()
    assert (warning is None) == (not named)
    for name in ("steer", "accel"):
        assert (f"|{name}|" in (warning or "")) == (name in named)


def test_saturation_is_measured_as_the_mean_over_the_window():
    assert saturation([(5, 5)] * 3 + [(-1.0, 0.25), (0.5, -0.75)], window=2).levels() == {"steer": 0.75, "accel": 0.5}
    assert saturation([(1.0, 1.0)], window=2).levels() == {}


@pytest.mark.parametrize(
    ("speeds", "warns"),
    [
        ([0.0] * 10, True),
        ([8.0] * 10 + [0.1] * 6 + [8.0] * 4, True),
        ([0.0] * 9, False),
        ([0.0] * 10 + [3.0] * 5, False),  # half of the window, as at lights
        ([1.0] * 10, False),  # creeping is moving
    ],
)
def test_a_parked_car_is_noticed(speeds, warns):
    monitor = Parking(10)
    for speed in speeds:
        monitor.observe(speed)
    assert (monitor.warning() is not None) == warns


def test_the_range_of_returns_is_that_from_every_step():
    monitor = QScale(gamma=0.5)
    assert monitor.scale() is None
    assert monitor.warning(1e9) is None
    monitor.observe([1.0, 2.0, 4.0])  # returns 3, 4, 4
    assert monitor.scale() == pytest.approx(4.0)
    monitor.observe([1.0, -8.0])  # returns -3, -8
    assert monitor.scale() == pytest.approx(12.0)
    assert monitor.ratio(6.0) == pytest.approx(0.5)
    assert monitor.warning(11.9) is None
    assert "12.1" in monitor.warning(12.1)


def test_episodes_without_any_reward_give_no_scale():
    monitor = QScale(gamma=0.9)
    monitor.observe([0.0, 0.0])
    assert monitor.scale() is None


def test_old_episodes_are_forgotten():
    monitor = QScale(gamma=0.9)
    monitor.observe([1000.0])
    for _ in range(50):
        monitor.observe([1.0])
    assert monitor.scale() == pytest.approx(1.0)


@pytest.fixture(scope="module")
def learner():
    return make_learner()


def test_dead_encoder_parameters_are_named(learner):
    """Updates give every parameter a gradient; from black pictures, with biases of zero, there is none."""
    warnings = {}
    for frames in ("pictures", "black"):
        state, batch = learner.init(0), random_batch()
        if frames == "black":
            batch = batch._replace(frames=np.zeros_like(batch.frames))
        for number in range(2):
            state, _ = learner.step(state, batch, number)
        means = diagnostics.encoder_mean_gradients(learner, state)
        assert len(means) == len(jax.tree.leaves(state.params["encoder"]))
        warnings[frames] = gradient_warning(means)
    assert warnings["pictures"] is None
    assert "cnn/Conv_0/kernel" in warnings["black"]


def test_the_mean_gradient_is_the_updates_own_and_dies_with_it(learner):
    state, batch = learner.init(0), random_batch(BOTH)._replace(terminated=np.ones(8, bool))
    norms = diagnostics.encoder_gradient_norms(learner, state, batch)
    state, _ = learner.update(state, batch, update_actor=True)
    means = diagnostics.encoder_mean_gradients(learner, state)
    assert means.keys() == norms.keys()
    for path, norm in norms.items():
        assert 0.0 < means[path] <= 0.1 * norm * (1 + 1e-4)  # a tenth of the gradient after one step of Adam
    decayed = {path: np.float32(value) * np.float32(0.9) ** 1000 for path, value in means.items()}
    assert gradient_warning(means) is None
    assert gradient_warning(decayed) is not None


def test_a_vector_alone_has_no_encoder_to_watch():
    blind = make_learner(VECTOR)
    assert diagnostics.encoder_mean_gradients(blind, blind.init(0)) == {}
    assert gradient_warning({}) is None


def test_each_condition_is_said_once_in_a_while_and_measured_always():
    said = []
    monitors = Monitors(window=5, gamma=0.9, actions=("steer", "accel"), report=said.append)
    interval = 5 * REPEAT_WINDOWS
    for _ in range(5):
        monitors.acted(np.array([1.0, 0.0], np.float32))
        monitors.stepped(0.0)
    monitors.ended([1.0, 1.0])
    for step in range(0, 2 * interval, 10):
        measured = monitors.check(step, q_gap=19.0, mean_gradients={"a/kernel": 0.0, "b/kernel": 1.0})
    assert measured == {
        "mean_abs_steer": 1.0,
        "mean_abs_accel": 0.0,
        "parked_share": 1.0,
        "q_gap_of_return_range": pytest.approx(10.0),
        "encoder_parameters_without_gradient": 1,
    }
    assert len(said) == 2 * 4
    assert len(set(said)) == 4
    assert all(text.endswith(".") and "\n" not in text for text in said)


def test_nothing_is_said_of_a_run_that_has_just_begun():
    said = []
    monitors = Monitors(window=5, gamma=0.9, actions=("steer", "accel"), report=said.append)
    monitors.stepped(None)
    assert monitors.check(0, q_gap=None, mean_gradients={}) == {}
    assert not said
