"""Gymnasium's environments as the learner wants them: real environments, real wrappers."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from envloop.config import GymEnvConfig
from envloop.errors import TaskError
from envloop.make import describe, make_env, spaces_of


class Odd(gym.Env):
    """An environment of any spaces, whose observations count up."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, observation_space=None, action_space=None, render_mode=None):
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Box(-2.0, 2.0, (2,), np.float32)

    def _observation(self):
        self.count += 1
        return self._like(self.observation_space)

    def _like(self, space):
        if isinstance(space, spaces.Dict):
            return {name: self._like(part) for name, part in space.spaces.items()}
        return np.full(space.shape, self.count, space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.actions = 0, []
        return self._observation(), {}

    def step(self, action):
        self.actions.append(action)
        return self._observation(), 0.0, False, False, {}


PICTURE = spaces.Box(0, 255, (96, 96, 3), np.uint8)
NUMBERS = spaces.Box(-np.inf, np.inf, (3,), np.float64)


@pytest.fixture
def make():
    ids = []

    def registered(**kwargs):
        ids.append(f"Odd{len(ids)}-v0")
        gym.register(ids[-1], Odd, kwargs=kwargs, disable_env_checker=True)
        return make_env(GymEnvConfig(id=ids[-1], frame_size=32))

    yield registered
    for name in ids:
        del gym.registry[name]


def test_a_vector_alone_and_actions_of_another_range():
    env = make_env(GymEnvConfig(id="Pendulum-v1"))
    assert ObsSpec.from_space(env.observation_space) == ObsSpec(None, 3)
    assert ActionSpec.from_space(env.action_space) == ActionSpec(1)
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32
    assert env.unwrapped.max_torque == 2.0
    env.step(np.array([1.0], np.float32))
    assert env.unwrapped.last_u == 2.0, "full action is full torque"
    assert describe(env).task == "Pendulum-v1"
    assert spaces_of(GymEnvConfig(id="Pendulum-v1")) == (env.observation_space, env.action_space)


def test_colour_pictures_become_a_stack_of_grey_ones():
    env = make_env(GymEnvConfig(id="CarRacing-v3"), render=True)
    assert ObsSpec.from_space(env.observation_space) == ObsSpec((4, 84, 84), None)
    first, _ = env.reset(seed=0)
    assert (first == first[:1]).all(), "the first frame, repeated"
    second = env.step(np.array([0.0, 1.0, 0.0], np.float32))[0]
    np.testing.assert_array_equal(second[:3], first[1:])
    assert env.render().shape[2] == 3
    env.close()


def test_a_picture_and_numbers_arrive_together_and_of_the_same_step(make):
    env = make(observation_space=spaces.Dict({"camera": PICTURE, "speed": NUMBERS, "place": NUMBERS}))
    assert ObsSpec.from_space(env.observation_space) == ObsSpec((4, 32, 32), 6)
    observation, _ = env.reset(seed=0)
    for step in range(1, 6):
        assert observation["image"].dtype == np.uint8
        assert (observation["image"][-1] == step).all()
        np.testing.assert_array_equal(observation["vector"], np.full(6, step, np.float32))
        assert env.observation_space.contains(observation)
        observation = env.step(np.zeros(2, np.float32))[0]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict({"camera": PICTURE}),
        PICTURE,
        spaces.Box(0, 255, (32, 32), np.uint8),
        spaces.Box(0, 255, (40, 40, 1), np.uint8),
    ],
    ids=["dict", "colour", "grey", "grey with an axis"],
)
def test_every_form_of_a_picture_alone_is_a_stack(make, space):
    env = make(observation_space=space)
    assert ObsSpec.from_space(env.observation_space) == ObsSpec((4, 32, 32), None)
    env.reset(seed=0)
    observation = env.step(np.zeros(2, np.float32))[0]
    assert [int(frame[0, 0]) for frame in observation] == [1, 1, 1, 2]


def test_numbers_in_a_dict_become_one_vector(make):
    env = make(observation_space=spaces.Dict({"speed": NUMBERS, "place": NUMBERS}))
    assert ObsSpec.from_space(env.observation_space) == ObsSpec(None, 6)
    assert env.reset(seed=0)[0].dtype == np.float32


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"observation_space": spaces.Discrete(3)}, "observes Discrete"),
        ({"observation_space": spaces.Dict({"a": PICTURE, "b": PICTURE})}, "one picture and vectors at most"),
        ({"observation_space": NUMBERS, "action_space": spaces.Discrete(2)}, "acts in Discrete"),
        ({"observation_space": spaces.Box(0.0, 1.0, (32, 32, 3), np.float32)}, "observes Box"),
        ({"observation_space": spaces.Box(0, 255, (3, 32, 32), np.uint8)}, "observes Box"),
        (
            {"observation_space": NUMBERS, "action_space": spaces.Box(-np.inf, np.inf, (2,), np.float32)},
            "acts in Box.*finite least and most",
        ),
    ],
)
def test_what_td3_cannot_learn_is_refused_by_its_id(make, kwargs, sentence):
    with pytest.raises(TaskError, match=rf"env.id 'Odd0-v0' {sentence}|{sentence}"):
        make(**kwargs)


def test_a_picture_that_is_not_what_its_space_says_is_refused_before_it_is_cast(make):
    env = make(observation_space=PICTURE)
    env.unwrapped._like = lambda space: np.full(space.shape, 0.5, np.float32)
    with pytest.raises(TaskError, match="shows pictures of float32, and its space says uint8"):
        env.reset(seed=0)


def test_an_unknown_id_is_one_sentence():
    with pytest.raises(TaskError, match=r"env\.id 'Nothing-v0' cannot be made"):
        make_env(GymEnvConfig(id="Nothing-v0"))
