"""The library's environment and the training command drive the same task."""

from pathlib import Path

import gymnasium
import pytest

from avtd3_jax.settings.config_file import load

ROOT = Path(__file__).parents[1]


@pytest.fixture
def env():
    made = gymnasium.make("avtd3/Carla-v0")
    yield made
    made.close()


def test_gymnasium_makes_what_make_train_drives(env):
    run = load(ROOT / "configs" / "town01.py")
    task = env.unwrapped
    assert (task.config,) == run.environments()
    obs, info = env.reset(seed=3, options={"start": "beginning"})
    while (speed := info["ego"]["speed_mps"]) < 2.0:
        obs, *_, info = env.step([0.0, 1.0])
    assert obs["vector"][0] == pytest.approx(speed / run.driving.vector.speed_scale, rel=1e-5)
    ticks = task.simulator.world.get_snapshot().frame
    env.step([0.0, 1.0])
    assert task.simulator.world.get_snapshot().frame - ticks == run.driving.action_repeat
