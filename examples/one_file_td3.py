"""A loop as in CleanRL, all of TD3 in one file with PyTorch, on the driving task's 23 numbers.

python examples/one_file_td3.py --steps 20000        (needs torch: pip install -e '.[bench]')
"""

import argparse
import copy

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

from envloop.config import EnvConfig

GAMMA, TAU, NOISE, NOISE_CLIP, POLICY_DELAY = 0.95, 0.005, 0.2, 0.5, 2


def network(inputs: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    """Two hidden layers of 256."""
    return nn.Sequential(
        nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs), *last
    )


def train(steps: int, exploration: int = 2_000, batch: int = 256, seed: int = 0) -> list[float]:
    """Returns of the episodes, in order."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = EnvConfig(observation="vector")
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.wrappers.FlattenObservation(gymnasium.make("envloop:avtd3/Carla-v0", config=config))],
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )
    size, actions = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
    actor = network(size, actions, nn.Tanh())
    critics = nn.ModuleList(network(size + actions, 1) for _ in range(2))
    target_actor, target_critics = copy.deepcopy(actor), copy.deepcopy(critics)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)
    critic_optimizer = torch.optim.Adam(critics.parameters(), lr=3e-4)
    replay = np.zeros((steps, 2 * size + actions + 2), np.float32)  # obs, action, next obs, reward, terminated

    returns, total = [], 0.0
    obs, _ = envs.reset(seed=seed)
    for step in range(steps):
        if step < exploration:
            action = rng.normal((0.0, 0.4), (0.2, 0.4), (1, actions))  # forward, or nothing is seen
        else:
            with torch.no_grad():
                action = actor(torch.as_tensor(obs, dtype=torch.float32)).numpy()
            action = action + rng.normal(0.0, 0.1, action.shape)
        action = np.clip(action, -1.0, 1.0).astype(np.float32)
        next_obs, reward, terminated, truncated, infos = envs.step(action)
        ended = terminated[0] or truncated[0]
        true_next = infos["final_obs"][0] if ended else next_obs[0]
        replay[step] = np.concatenate([obs[0], action[0], true_next, reward, terminated])
        total, obs = total + float(reward[0]), next_obs
        if ended:
            print(f"step {step + 1:6d}  return {total:7.1f}", flush=True)
            returns.append(total)
            total = 0.0
        if step < exploration:
            continue

        rows = torch.as_tensor(replay[rng.integers(0, step + 1, batch)])
        b_obs, b_action, b_next, b_reward, b_terminated = rows.split([size, actions, size, 1, 1], dim=1)
        with torch.no_grad():
            noise = (NOISE * torch.randn_like(b_action)).clamp(-NOISE_CLIP, NOISE_CLIP)
            next_action = (target_actor(b_next) + noise).clamp(-1.0, 1.0)
            worst = torch.min(*(critic(torch.cat([b_next, next_action], 1)) for critic in target_critics))
            target = b_reward + GAMMA * (1.0 - b_terminated) * worst
        critic_loss = sum(F.mse_loss(critic(torch.cat([b_obs, b_action], 1)), target) for critic in critics)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()
        if step % POLICY_DELAY == 0:
            actor_loss = -critics[0](torch.cat([b_obs, actor(b_obs)], 1)).mean()
            actor_optimizer.zero_grad()
            actor_loss.backward()
            actor_optimizer.step()
            with torch.no_grad():
                pairs = ((actor, target_actor), (critics, target_critics))
                for online, slow in pairs:
                    for new, old in zip(online.parameters(), slow.parameters(), strict=True):
                        old.lerp_(new, TAU)
    envs.close()
    return returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    train(args.steps)
