"""The learner from pixels: TD3 on Gymnasium's CarRacing, from a stack of grey frames.

python examples/carracing.py --steps 100000        (needs gymnasium[box2d])
"""

import argparse

import numpy as np

from avtd3_jax import runtime
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3, TD3Config
from avtd3_jax.replay.replay import FrameReplay
from envloop.config import GymEnvConfig
from envloop.gym_env import make_gym_env


def train(steps: int, exploration: int = 2_000, batch: int = 64, seed: int = 0) -> list[float]:
    """Returns of the training episodes, in order; the last one may be cut short."""
    env = make_gym_env(GymEnvConfig("CarRacing-v3"))  # uint8 [4, 84, 84], actions in [-1, 1]
    obs_spec, action_spec = ObsSpec.from_space(env.observation_space), ActionSpec.from_space(env.action_space)
    learner = TD3(obs_spec, action_spec, TD3Config(gamma=0.98))
    state, rng = learner.init(seed), np.random.default_rng(seed)
    replay = FrameReplay(obs_spec, action_spec, capacity=max(steps, batch), n_step=3, seed=seed)

    returns = [0.0]
    obs, _ = env.reset(seed=seed)
    replay.begin_episode(obs)
    for step in range(steps):
        if step < exploration:
            action = np.clip(rng.normal((0.0, 0.3, -0.9), (0.4, 0.5, 0.1)), -1.0, 1.0)  # steer, throttle, brake
        else:
            action = np.clip(learner.act(state.params, obs) + 0.1 * rng.standard_normal(action_spec.size), -1.0, 1.0)
        obs, reward, terminated, truncated, _ = env.step(action.astype(np.float32))
        replay.add(action, reward, obs, terminated, truncated)
        returns[-1] += float(reward)
        if step >= exploration:
            state, _ = learner.step(state, replay.sample(batch), step)
        if terminated or truncated:
            print(f"step {step + 1:6d}  return {returns[-1]:7.1f}", flush=True)
            returns.append(0.0)
            obs, _ = env.reset()
            replay.begin_episode(obs)
    env.close()
    return returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--exploration", type=int, default=2_000, help="steps before the learner acts and learns")
    args = parser.parse_args()
    runtime.setup("auto")
    train(args.steps, args.exploration)
