import numpy as np
import pytest
from gymnasium import spaces

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec

IMAGE = spaces.Box(0, 255, (4, 84, 84), np.uint8)
VECTOR = spaces.Box(-np.inf, np.inf, (23,), np.float32)


@pytest.mark.parametrize(
    ("space", "image", "vector"),
    [
        (spaces.Dict({"image": IMAGE, "vector": VECTOR}), (4, 84, 84), 23),
        (spaces.Dict({"image": IMAGE}), (4, 84, 84), None),
        (spaces.Dict({"vector": VECTOR}), None, 23),
        (IMAGE, (4, 84, 84), None),
        (spaces.Box(-1, 1, (3,), np.float64), None, 3),
    ],
)
def test_shapes_come_from_the_space(space, image, vector):
    assert ObsSpec.from_space(space) == ObsSpec(image, vector)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (spaces.Discrete(3), "use a Box, or a Dict with 'image' and/or 'vector'"),
        (spaces.Dict({"camera": IMAGE}), r"has the keys \['camera'\]: name them"),
        (spaces.Dict({}), "name them 'image' and/or 'vector'"),
        (spaces.Dict({"image": spaces.Box(0.0, 1.0, (4, 84, 84), np.float32)}), "must be a uint8 Box of shape"),
        (spaces.Dict({"image": spaces.Box(0, 255, (84, 84), np.uint8)}), "must be a uint8 Box of shape"),
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), r"the shape \[96, 96, 3\] .* one grey channel a frame"),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), "frames stacked oldest first: wrap .* FrameStackObservation"),
        (spaces.Box(0, 255, (4, 84, 84, 3), np.uint8), "GrayscaleObservation"),
        (spaces.Dict({"vector": spaces.Box(0, 9, (3,), np.int64)}), "one-dimensional Box of floats"),
        (spaces.Dict({"vector": spaces.Box(-1, 1, (3, 2), np.float32)}), "one-dimensional Box of floats"),
    ],
)
def test_other_observation_spaces_are_refused(space, sentence):
    with pytest.raises(ValueError, match=sentence):
        ObsSpec.from_space(space)


def test_action_space():
    assert ActionSpec.from_space(spaces.Box(-1.0, 1.0, (2,), np.float32)) == ActionSpec(2)
    with pytest.raises(ValueError, match="RescaleAction"):
        ActionSpec.from_space(spaces.Box(-2.0, 2.0, (1,), np.float32))
    with pytest.raises(ValueError, match="one-dimensional Box"):
        ActionSpec.from_space(spaces.Discrete(4))


def test_batch_axis_is_added_once():
    spec = ObsSpec(image=None, vector=3)
    single, added = spec.batched(np.zeros(3))
    assert added
    assert single["vector"].shape == (1, 3)
    assert single["vector"].dtype == np.float32
    batch, added = spec.batched({"vector": np.zeros((5, 3))})
    assert not added
    assert batch["vector"].shape == (5, 3)
    with pytest.raises(ValueError, match=r"vector has the shape \[4\]; the policy was built for \[3\]"):
        spec.batched(np.zeros(4))


def test_a_policy_takes_no_other_dtype_either():
    """What acts is told the same as what is stored."""
    spec = ObsSpec(image=(4, 36, 36), vector=None)
    with pytest.raises(ValueError, match="image is of dtype float32"):
        spec.batched(np.zeros((4, 36, 36), np.float32))
