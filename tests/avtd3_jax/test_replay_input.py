"""Whatever an environment gives: the replay gives it back as it was, or refuses it in a sentence."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.errors import InputError
from avtd3_jax.replay.replay import FrameReplay

STACK = 3
SPEC = ObsSpec(image=(STACK, 2, 2), vector=1)
ACTION = ActionSpec(2)


class ColourDrive(gymnasium.Env):
    """Three colour channels before height and width, black in an episode's first two observations."""

    observation_space = spaces.Box(0, 255, (3, 6, 6), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros((3, 6, 6), np.uint8), {}

    def step(self, action):
        self.steps += 1
        shown = (
            self.np_random.integers(0, 256, (3, 6, 6), np.uint8) if self.steps > 1 else np.zeros((3, 6, 6), np.uint8)
        )
        return shown, 0.0, False, False, {}


def drive(env, steps):
    """A replay that was told `steps` steps of `env`."""
    replay = FrameReplay(ObsSpec.from_space(env.observation_space), ACTION, 100)
    observation, _ = env.reset(seed=0)
    replay.begin_episode(observation)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(np.zeros(2))
        replay.add(np.zeros(2), reward, observation, terminated, truncated)
    return replay


def test_colours_are_refused_once_they_show():
    assert len(drive(ColourDrive(), 1)) == 1  # black is grey
    with pytest.raises(InputError, match=r"one grey channel a frame.*GrayscaleObservation"):
        drive(ColourDrive(), 2)


def test_the_wrappers_that_are_named_make_a_colour_environment_fit():
    env = gymnasium.wrappers.TransformObservation(
        ColourDrive(), lambda image: image.transpose(1, 2, 0), spaces.Box(0, 255, (6, 6, 3), np.uint8)
    )
    with pytest.raises(InputError, match=r"the shape \[6, 6, 3\].*GrayscaleObservation.*FrameStackObservation"):
        ObsSpec.from_space(env.observation_space)
    env = gymnasium.wrappers.ResizeObservation(gymnasium.wrappers.GrayscaleObservation(env), (8, 8))
    with pytest.raises(InputError, match=r"the shape \[8, 8\].*FrameStackObservation"):
        ObsSpec.from_space(env.observation_space)
    env = gymnasium.wrappers.FrameStackObservation(env, 4, padding_type="reset")
    assert drive(env, 20).sample(8).frames.shape == (8, 5, 8, 8)


@st.composite
def told(draw):
    """Observations of few grey values, each of which goes on from the one before or is anything."""
    images = []
    image = np.zeros((STACK, 2, 2), np.uint8)
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["next", "next", "next", "same", "roll", "any"]))
        frame = np.full((1, 2, 2), draw(st.integers(0, 2)), np.uint8)
        if kind == "next":
            image = np.concatenate([image[1:], frame])
        elif kind == "roll":  # newest first
            image = np.concatenate([frame, image[:-1]])
        elif kind == "any":
            image = np.stack([np.full((2, 2), draw(st.integers(0, 2)), np.uint8) for _ in range(STACK)])
        images.append((image, draw(st.booleans())))
    return images


@settings(max_examples=200, deadline=None, derandomize=True)
@given(images=told(), capacity=st.integers(STACK + 2, 30))
def test_what_is_sampled_is_what_was_told(images, capacity):
    replay = FrameReplay(SPEC, ACTION, capacity)
    given_images, running = {}, False
    for number, (image, begins) in enumerate(images):
        observation = {"image": image, "vector": np.full(1, number)}
        try:
            if begins or not running:
                replay.begin_episode(observation)
            else:
                replay.add(np.zeros(2), 0.0, observation, False, False)
            given_images[number], running = image, True
        except InputError:
            replay.end_torn_episode()
            running = False
    if not len(replay):
        return
    batch = replay.sample(100)
    for frames, now, then in zip(batch.frames, batch.vector[:, 0], batch.next_vector[:, 0], strict=True):
        np.testing.assert_array_equal(frames[:-1], given_images[int(now)])
        np.testing.assert_array_equal(frames[1:], given_images[int(then)])


IMAGE, VECTOR = np.zeros((STACK, 2, 2), np.uint8), np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ({"image": IMAGE / 255.0, "vector": VECTOR}, "image is of dtype float64: give uint8 grey values from 0 to 255"),
        ({"image": IMAGE.astype(np.float32), "vector": VECTOR}, "image is of dtype float32"),
        ({"image": IMAGE.astype(np.int64) + 300, "vector": VECTOR}, "image is of dtype int64"),
        ({"image": IMAGE.astype(bool), "vector": VECTOR}, "image is of dtype bool"),
        ({"image": IMAGE[0], "vector": VECTOR}, r"image has the shape \[2, 2\] and its space \[3, 2, 2\]"),
        ({"image": IMAGE[None], "vector": VECTOR}, r"image has the shape \[1, 3, 2, 2\]"),
        ({"image": IMAGE, "vector": VECTOR.astype(bool)}, "vector is of dtype bool: give numbers"),
        ({"image": IMAGE, "vector": np.array([None])}, "vector is of dtype object"),
        ({"image": IMAGE, "vector": np.array(["0.5"])}, "vector is of dtype <U3"),
        ({"image": IMAGE, "vector": np.array([2**24 + 1])}, "vector holds integers of dtype int64 beyond 16,777,216"),
        ({"image": IMAGE, "vector": np.zeros(())}, r"vector has the shape \[\] and its space \[1\]"),
        ({"image": IMAGE, "vector": np.array([1e300])}, r"vector \[inf\] is not finite"),
        ({"image": IMAGE, "vector": np.array([np.nan])}, r"vector \[nan\] is not finite"),
        ({"image": IMAGE}, r"has no 'vector', which its space has; it has \['image'\]"),
    ],
)
def test_observations_that_are_not_of_their_space_are_refused_at_once(observation, sentence):
    replay = FrameReplay(SPEC, ACTION, 16)
    with pytest.raises(InputError, match=sentence):
        replay.begin_episode(observation)
    assert replay.nbytes == 0
    replay.begin_episode({"image": IMAGE, "vector": VECTOR})
    with pytest.raises(InputError, match=sentence):
        replay.add(np.zeros(2), 0.0, observation, False, False)
    assert len(replay) == 0


@pytest.mark.parametrize(
    ("action", "reward", "sentence"),
    [
        (np.zeros(1), 0.0, r"action has the shape \[1\]: the action space has \[2\]"),
        (np.zeros((1, 2)), 0.0, r"action has the shape \[1, 2\]"),
        (np.zeros(2, bool), 0.0, "action is of dtype bool"),
        (np.array([0.0, np.nan]), 0.0, r"action .* is not finite"),
        (np.zeros(2), np.zeros(1), r"reward is array\(\[0.\]\): the environment must give one number"),
        (np.zeros(2), None, "reward is None"),
        (np.zeros(2), "1", "reward is '1'"),
        (np.zeros(2), 1j, "reward is 1j"),
        (np.zeros(2), float("nan"), "reward nan is not finite"),
        (np.zeros(2), 1e39, r"reward 1e\+39 is not finite"),
    ],
)
def test_actions_and_rewards_that_cannot_be_stored_are_refused(action, reward, sentence):
    replay = FrameReplay(SPEC, ACTION, 16)
    replay.begin_episode({"image": IMAGE, "vector": VECTOR})
    with pytest.raises(InputError, match=sentence):
        replay.add(action, reward, {"image": IMAGE, "vector": VECTOR}, False, False)
    assert len(replay) == 0


@pytest.mark.parametrize(
    "reward", [3, True, np.float64(0.5), np.float32(0.5), np.int64(2), np.array(0.25), np.bool_(1)]
)
def test_numbers_of_every_kind_are_rewards(reward):
    replay = FrameReplay(SPEC, ACTION, 16)
    replay.begin_episode({"image": IMAGE, "vector": [7]})
    replay.add([0, 1], reward, {"image": IMAGE, "vector": [0.5]}, False, False)
    batch = replay.sample(1)
    assert batch.reward[0, 0] == np.float32(reward)
    assert (batch.vector[0, 0], batch.next_vector[0, 0]) == (7.0, 0.5)
    np.testing.assert_array_equal(batch.action, [[0.0, 1.0]])
