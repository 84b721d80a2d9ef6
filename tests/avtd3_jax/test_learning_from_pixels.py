"""The whole chain from frames to a policy: only the picture says which action is right."""

import numpy as np
import pytest

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.replay.replay import FrameReplay

SPEC = ObsSpec(image=(4, 36, 36), vector=None)


def picture(place):
    """A white bar at `place` in [-1, 1] across the picture, in each of the four frames."""
    columns = np.linspace(-1.0, 1.0, 36)
    frame = np.broadcast_to(255.0 * np.exp(-(((columns - place) / 0.15) ** 2)), (36, 36)).astype(np.uint8)
    return np.repeat(frame[None], 4, axis=0)


def rewarded_replay(episodes=400):
    """One-step episodes of random steering, paid by how near the action was to the bar."""
    rng = np.random.default_rng(0)
    replay = FrameReplay(SPEC, ActionSpec(1), 4 * episodes)
    for _ in range(episodes):
        place, action = rng.uniform(-0.8, 0.8), rng.uniform(-1.0, 1.0, 1)
        replay.begin_episode(picture(place))
        replay.add(action, -((action[0] - place) ** 2), picture(place), terminated=True, truncated=False)
    return replay


@pytest.mark.parametrize("encoder_grad", ["both", "critic"])
def test_the_policy_points_where_the_picture_says(encoder_grad):
    config = TD3Config(encoder_grad=encoder_grad, hidden=(64, 64), trunk_width=0, gamma=0.99)
    learner = TD3(SPEC, ActionSpec(1), config)
    state, replay = learner.init(0), rewarded_replay()
    for update in range(350):
        state, _ = learner.step(state, replay.sample(32), update)
    places = np.linspace(-0.8, 0.8, 9)
    errors = np.abs(learner.act(state.params, np.stack([picture(place) for place in places]))[:, 0] - places)
    assert errors.mean() < 0.2  # always straight on: 0.44
