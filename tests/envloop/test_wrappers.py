"""Others' code on the environment: Gymnasium's statistics and vectors, and Stable-Baselines3."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics

from envloop.config import EnvConfig
from envloop.env import CarlaEnv
from envloop.task.termination import TerminationConfig

# Off the route after a second or two of full steering.
SHORT = EnvConfig(termination=TerminationConfig(max_lateral_m=0.5), random_start_fraction=0.0)
TURN_OFF = np.array([1.0, 0.8], np.float32)


def test_gymnasiums_episode_statistics_stand_beside_the_metrics(make_env):
    env = RecordEpisodeStatistics(make_env(termination=SHORT.termination))
    env.reset(seed=1, options={"start": "beginning"})
    total, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, info = env.step(TURN_OFF)
        total, ended = total + reward, terminated or truncated
    assert info["episode"]["r"] == pytest.approx(total, rel=1e-5)
    assert info["episode_metrics"]["return"] == pytest.approx(total)
    assert info["episode_metrics"]["reason"] == "off_route"


@pytest.mark.parametrize("vector", [SyncVectorEnv, partial(AsyncVectorEnv, context="spawn")], ids=["sync", "async"])
def test_so_do_those_of_a_vector_of_environments(vector):
    envs = RecordVectorStatistics(vector([partial(CarlaEnv, SHORT)] * 2))
    try:
        envs.reset(seed=1)
        totals, finished = np.zeros(2), {}
        for _ in range(200):
            _, rewards, terminated, truncated, info = envs.step(np.stack([TURN_OFF] * 2))
            totals += rewards
            for i in np.flatnonzero(terminated | truncated):
                finished.setdefault(i, (totals[i], info["episode"]["r"][i], info["episode_metrics"]["return"][i]))
                assert info["episode_metrics"]["reason"][i] == "off_route"
            if len(finished) == 2:
                break
        assert set(finished) == {0, 1}
        for total, counted, ours in finished.values():
            assert counted == pytest.approx(total, rel=1e-5)
            assert ours == pytest.approx(total)
    finally:
        envs.close()


def test_stable_baselines3_accepts_it(make_env):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(make_env(), skip_render_check=True)


@pytest.mark.parametrize("monitored", [True, False], ids=["with Monitor", "without"])
def test_stable_baselines3_learns_on_it(make_env, monitored):
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    def made() -> gym.Env:
        return make_env(termination=TerminationConfig(min_time_limit_s=4.0))  # of at most 80 steps

    ended = []
    agent = sb3.TD3("MultiInputPolicy", made() if monitored else DummyVecEnv([made]), buffer_size=200, batch_size=8)

    def count(names: dict, _: dict) -> None:
        ended.extend(info["episode_metrics"] for info in names["infos"] if "episode_metrics" in info)

    agent.learn(120, callback=lambda names, more: count(names, more) or True)
    assert agent.num_timesteps == 120
    assert agent._n_updates > 0
    assert ended
