"""The learner as a library: TD3 on Gymnasium's Pendulum, from its vector observation, in 20 seconds on a CPU."""

import gymnasium
import numpy as np

from avtd3_jax import runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.replay.replay import FrameReplay


def train(steps: int = 8_000, exploration: int = 1_000, seed: int = 0) -> list[float]:
    """Returns of the training episodes, in order."""
    env = gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1.0), np.float32(1.0))
    obs_spec, action_spec = ObsSpec.from_space(env.observation_space), ActionSpec.from_space(env.action_space)
    learner = TD3(obs_spec, action_spec, TD3Config(hidden=(128, 128), gamma=0.99))
    state, rng = learner.init(seed), np.random.default_rng(seed)
    replay = FrameReplay(obs_spec, action_spec, capacity=20_000, seed=seed)

    returns = [0.0]
    obs, _ = env.reset(seed=seed)
    replay.begin_episode(obs)
    for step in range(steps):
        action = rng.uniform(-1.0, 1.0, action_spec.size)
        if step >= exploration:
            action = np.clip(learner.act(state.params, obs) + 0.1 * rng.standard_normal(action_spec.size), -1.0, 1.0)
        obs, reward, terminated, truncated, _ = env.step(action.astype(np.float32))
        replay.add(action, reward, obs, terminated, truncated)
        returns[-1] += float(reward)
        if step >= exploration:
            state, _ = learner.step(state, replay.sample(128), step)
        if terminated or truncated:
            returns.append(0.0)
            obs, _ = env.reset()
            replay.begin_episode(obs)
    env.close()
    return returns[:-1]


if __name__ == "__main__":
    runtime.setup("cpu")
    for episode, episode_return in enumerate(train()):
        print(f"episode {episode:2d}  return {episode_return:8.1f}")
