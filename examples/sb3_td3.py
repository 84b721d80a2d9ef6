"""Stable-Baselines3's TD3 on the driving task: camera and vector, its own networks and replay.

python examples/sb3_td3.py --steps 20000        (needs stable-baselines3: pip install -e '.[bench]')
"""

import argparse

import gymnasium
import numpy as np
from stable_baselines3 import TD3
from stable_baselines3.common.noise import NormalActionNoise


def train(steps: int, exploration: int = 1_000, batch: int = 64, replay: int = 20_000) -> TD3:
    """The trained model; the environment is closed."""
    env = gymnasium.make("envloop:avtd3/Carla-v0")
    # Uniform actions would brake as often as they speed up; this noise leans forward, like the learner's own.
    noise = NormalActionNoise(mean=np.array([0.0, 0.4]), sigma=np.array([0.2, 0.4]))
    model = TD3(
        "MultiInputPolicy",
        env,
        learning_starts=exploration,
        batch_size=batch,
        buffer_size=replay,
        gamma=0.95,
        action_noise=noise,
        policy_kwargs={"net_arch": [256, 256]},
        device="cpu",
        verbose=1,
    )
    try:
        return model.learn(steps, log_interval=1)
    finally:
        env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    train(args.steps).save("sb3_td3.zip")
    print("written to sb3_td3.zip")
