"""The same TD3 of small networks by three libraries, on an environment that each makes by its name.

All of them have the hyperparameters of `configs/mujoco.py`, which are Stable-Baselines3's but for the hidden layers.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym

from reporting.rival import sb3_td3

CONFIG = Path(__file__).parents[2] / "configs" / "mujoco.py"


def train_ours(env_id: str, steps: int, exploration: int, dtype: str = "float32") -> None:
    """The training command, in a directory that it leaves nothing of; no evaluations."""
    from avtd3_jax import train
    from avtd3_jax.settings.config_file import load
    from avtd3_jax.settings.run_config import file_values

    changes = {**_changes(env_id, steps, exploration), "agent.compute_dtype": dtype}
    values = file_values(load(CONFIG, changes))
    with tempfile.TemporaryDirectory() as folder:
        train.train(values, Path(folder) / "run", resume=False, stop=train.StopSignal())


def train_sb3(env_id: str, steps: int, exploration: int) -> None:
    """Stable-Baselines3's TD3."""
    from stable_baselines3 import TD3

    _learn(TD3, env_id, steps, exploration, device="cpu")


def train_sb3_autocast(env_id: str, steps: int, exploration: int) -> None:
    """Stable-Baselines3's TD3, its updates under PyTorch's autocast to bfloat16."""
    import torch
    from stable_baselines3 import TD3

    class Autocast(TD3):
        def train(self, *args: Any, **kwargs: Any) -> None:
            with torch.autocast("cpu", torch.bfloat16):
                super().train(*args, **kwargs)

    _learn(Autocast, env_id, steps, exploration, device="cpu")


def train_sbx(env_id: str, steps: int, exploration: int) -> None:
    """SBX's TD3: Stable-Baselines3's loop around an update in JAX."""
    from sbx import TD3

    _learn(TD3, env_id, steps, exploration)


def act_alone(env_id: str, steps: int, exploration: int) -> None:
    """The environment with random actions, and nothing else."""
    env = gym.make(env_id)
    env.reset()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


TRAININGS: dict[str, Callable[..., Any]] = {
    "ours": train_ours,
    "ours, bfloat16": partial(train_ours, dtype="bfloat16"),
    "SB3": train_sb3,
    "SB3, bfloat16 autocast": train_sb3_autocast,
    "SBX": train_sbx,
    "environment alone": act_alone,
}


def _changes(env_id: str, steps: int, exploration: int) -> Mapping[str, Any]:
    return {"env.id": env_id, "total_steps": steps, "exploration_steps": exploration, "eval_every": 0}


def _learn(kind: Any, env_id: str, steps: int, exploration: int, **options: Any) -> None:
    from avtd3_jax.settings.config_file import load

    sb3_td3(kind, load(CONFIG, _changes(env_id, steps, exploration)), **options).learn(steps)
