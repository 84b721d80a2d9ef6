import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_cases import VECTOR, make_learner, random_batch, run_updates, same_bits

from avtd3_jax.agent.augmentation import random_shift

PAD = 2


def pictures(size=4, stack=3, height=9, width=12):
    """Each pixel tells its frame, row and column; all stacks are the same."""
    frame, row, column = np.ogrid[:stack, :height, :width]
    return np.broadcast_to(
        (frame * height * width // 2 + row * width + column) % 251, (size, stack, height, width)
    ).astype(np.uint8)


def crops(image):
    """{(down, across): the stack cropped there out of the padded one} by numpy's own padding."""
    padded = np.pad(image, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="edge")
    _, height, width = image.shape
    offsets = range(2 * PAD + 1)
    return {(y - PAD, x - PAD): padded[:, y : y + height, x : x + width] for y in offsets for x in offsets}


def offsets_of(images, shifted):
    """The one offset of each stack; a stack that is no crop of the padded original has none."""
    found = []
    for image, moved in zip(images, np.asarray(shifted), strict=True):
        matches = [offset for offset, crop in crops(image).items() if (crop == moved).all()]
        assert len(matches) == 1
        found.append(matches[0])
    return found


def test_every_stack_is_one_crop_of_its_padded_self_and_all_places_are_as_likely():
    images = pictures(size=2500)
    shifted = jax.jit(random_shift, static_argnums=2)(jax.random.key(0), images, PAD)
    assert shifted.dtype == np.uint8
    places = offsets_of(images, shifted)
    counts = np.array([places.count((y, x)) for y in range(-PAD, PAD + 1) for x in range(-PAD, PAD + 1)])
    freedom = len(counts) - 1
    chi_square = np.sum((counts - 100.0) ** 2 / 100.0)
    assert abs(chi_square - freedom) < 4.0 * np.sqrt(2.0 * freedom)


def test_no_shift_leaves_pictures_alone():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8), np.uint8)
    np.testing.assert_array_equal(random_shift(jax.random.key(0), images, 0), images)


def test_other_types_and_shapes_are_refused():
    with pytest.raises(AssertionError):
        random_shift(jax.random.key(0), jnp.zeros((2, 4, 8, 8), jnp.float32), 1)
    with pytest.raises(AssertionError):
        random_shift(jax.random.key(0), jnp.zeros((4, 8, 8), jnp.uint8), 1)


def test_obs_and_next_obs_are_shifted_on_their_own():
    """A batch whose next frames are its frames: with one shift for both, both would look the same."""
    learner = make_learner(random_shift=3)
    shown = []
    features = learner.features

    def watched(params, image, vector):
        shown.append(image)
        return features(params, image, vector)

    learner.features = watched
    state = learner.init(0)
    still = np.repeat(random_batch(size=32).frames[:, :1], 5, axis=1)
    batch = random_batch(size=32)._replace(frames=still)
    learner.loss(state.params, state.target_params, batch, jax.random.key(0), update_actor=False)
    next_image, image = shown
    same = [(a == b).all() for a, b in zip(np.asarray(image), np.asarray(next_image), strict=True)]
    assert sum(same) < 8  # one in 49 by chance
    for stack in (np.asarray(image), np.asarray(next_image)):
        assert (stack == stack[:, :1]).all()


def test_shifts_change_from_update_to_update_and_repeat_with_the_seed():
    learner = make_learner(random_shift=4, target_noise=0.0, encoder_lr=1e-12, critic_lr=1e-12, actor_lr=1e-12)
    state, means = learner.init(0), set()
    for _ in range(3):
        state, packed = learner.update(state, random_batch(), update_actor=False)
        means.add(learner.read_metrics(packed, update_actor=False)["q/mean"])
    assert len(means) == 3
    assert same_bits(run_updates(learner, learner.init(7), 2), run_updates(learner, learner.init(7), 2))


def test_a_shift_without_pictures_is_refused():
    with pytest.raises(ValueError, match="no image: set it to 0"):
        make_learner(VECTOR, random_shift=4)
