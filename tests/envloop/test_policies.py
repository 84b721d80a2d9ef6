"""Scripted policies take a trained one's place."""

import numpy as np

from envloop.baselines.policies import SCRIPTED, uniform
from envloop.baselines.route_follower import DriverConfig
from envloop.spaces import action_space
from envloop.task.route import Lead


def test_the_follower_has_the_gains_of_the_original():
    gains = DriverConfig()
    assert (gains.kp, gains.ki, gains.kd, gains.integral_max) == (0.50, 0.30, 0.13, 10.0)
    assert (gains.lookahead_min_m, gains.lookahead_s, gains.wheelbase_m) == (6.0, 0.8, 3.0)


def test_random_actions_fill_the_space_and_repeat_with_the_seed(env):
    first, again, other = uniform(env, 1), uniform(env, 1), uniform(env, 2)
    actions = np.array([first(None) for _ in range(500)])
    assert np.array_equal(actions[:50], [again(None) for _ in range(50)])
    assert not np.array_equal(actions[0], other(None))
    assert all(action_space().contains(action) for action in actions)
    assert np.abs(actions.mean(axis=0)).max() < 0.1
    assert actions.max() > 0.95


def test_a_policy_holds_nothing_of_the_episode_before(env):
    """The follower's integrator begins anew: the same episode twice is the same drive."""

    def drive() -> list[float]:
        env.reset(seed=4, options={"start": "beginning"})
        policy = SCRIPTED["follower"](env, 4)
        return [env.step(policy(None))[4]["ego"]["x"] for _ in range(60)]

    assert drive() == drive()


def test_the_blind_follower_differs_in_traffic_alone(env):
    """Both drive alike while nothing is ahead; behind a car only the one that is told of it brakes."""
    env.reset(seed=4, options={"start": "beginning"})
    sighted, blind = SCRIPTED["follower"](env, 4), SCRIPTED["blind-follower"](env, 4)
    for _ in range(20):
        action = sighted(None)
        assert np.array_equal(action, blind(None))
        env.step(action)
    env.episode.lead = Lead(gap_m=2.0)
    assert sighted(None)[1] < 0.0 < blind(None)[1]
