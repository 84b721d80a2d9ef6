"""An environment whose every number follows from its frames' ids, and a policy that says by which parameters it acted.

Ids grow by one a frame. The frame of an id shows it, the vector tells it and the episode's first, the reward is half of
it, and the episode ends after certain ids: so each transition that a replay holds can be judged by itself.
"""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from envloop.config import GymEnvConfig
from envloop.errors import SimulatorError

STACK, N_STEP = 4, 3
CONFIG = GymEnvConfig("id_frames:IdFrames-v0", frame_size=4, frame_stack=STACK)


def terminates(identity):
    return identity % 23 == 0


def truncates(identity):
    return identity % 13 == 0


def frame_of(identity):
    return np.array([identity, 0, 0, 0], ">u4").view(np.uint8).reshape(4, 4)


def ids_of(frames):
    """[..., 4, 4] uint8 -> [...] ids."""
    return np.ascontiguousarray(frames[..., 0, :]).view(">u4")[..., 0].astype(np.int64)


class IdFrames(gym.Env):
    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (4, 4), np.uint8), "vector": spaces.Box(-np.inf, np.inf, (2,), np.float32)}
    )
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    losses = iter(())  # for a test in one process: whether the next step loses the simulator

    def __init__(self, render_mode=None):
        self.id = 0

    def recover(self):
        pass

    def reset(self, *, seed=None, options=None):
        self.id += 1
        self.first = self.id
        return self._observation(), {}

    def step(self, action):
        assert abs(float(action[0]) - self.id % 100 / 100.0) < 1e-6, "acted on another observation"
        if next(self.losses, False):
            raise SimulatorError("lost on purpose")
        self.id += 1
        return self._observation(), (self.id - 1) / 2.0, terminates(self.id), truncates(self.id), {}

    def _observation(self):
        return {"image": frame_of(self.id), "vector": np.array([self.id, self.first], np.float32)}


gym.register("IdFrames-v0", entry_point="id_frames:IdFrames", disable_env_checker=True)


class Policy:
    """Its second action is the version of the parameters, in millionths; that of exploration is 1."""

    def __init__(self, observations, actions):
        self.version = None

    def load(self, version, weights):
        assert weights["version"].tolist() == [version]
        self.version = version

    def act(self, observation, episode, explore):
        identity = int(ids_of(observation["image"])[-1])
        action = np.array([identity % 100 / 100.0, 1.0 if explore else self.version / 1e6], np.float32)
        return action, None if explore else action


def check(batch):
    """Compares every row of a sample with what its ids say; the ids of its first observations."""
    for i, window in enumerate(ids_of(batch.frames).tolist()):
        identity, first = batch.vector[i].astype(int).tolist()
        steps = int(batch.steps[i])
        assert window == [
            max(first, min(identity + offset, identity + steps)) for offset in range(1 - STACK, N_STEP + 1)
        ]
        assert batch.next_vector[i].tolist() == [identity + steps, first]
        assert batch.reward[i].tolist() == [(identity + j) / 2.0 if j < steps else 0.0 for j in range(N_STEP)]
        assert batch.terminated[i] == terminates(identity + steps)
        assert not any(terminates(identity + j) or truncates(identity + j) for j in range(1, steps))
        assert abs(batch.action[i][0] - identity % 100 / 100.0) < 1e-6
    return batch.vector[:, 0].astype(int)
