"""Pedestrians by the client's own crowd, on a real server."""

from dataclasses import replace

import carla
import numpy as np
import pytest

from envloop.config import EnvConfig
from envloop.errors import TaskError
from envloop.task.reward import RewardConfig

BRAKE = np.array([0.0, -1.0], np.float32)
COUNT = 12


def walks(env, seed: int, steps: int) -> np.ndarray:
    """[steps, walker, 2] x, y of an episode in which the ego stands."""
    env.reset(seed=seed, options={"start": "beginning"})
    found = []
    for _ in range(steps):
        env.step(BRAKE)
        walkers = sorted(env.simulator.world.get_actors().filter("walker.*"), key=lambda walker: walker.id)
        found.append([(place.x, place.y) for place in (walker.get_location() for walker in walkers)])
    return np.array(found)


def test_they_walk_and_a_seed_says_where(make_env):
    env = make_env(walkers=COUNT)
    first = walks(env, 7, 40)
    assert first.shape == (40, COUNT, 2)
    assert (np.hypot(*(first[-1] - first[0]).T) > 1.0).sum() > COUNT // 2, "in 4 s"
    other = walks(env, 8, 2)
    assert not np.array_equal(other, first[:2])
    assert np.array_equal(walks(env, 7, 40), first), "also after other episodes"


def test_a_fresh_environment_has_the_same_walks(make_env):
    first = make_env(walkers=COUNT, scenario="0")
    walked = walks(first, 3, 20)
    first.close()
    assert np.array_equal(walks(make_env(walkers=COUNT, scenario="0"), 3, 20), walked)


def test_resets_leave_nobody_behind(make_env):
    env = make_env(walkers=COUNT)
    for seed in range(4):
        env.reset(seed=seed)
        env.step(BRAKE)
        actors = env.simulator.world.get_actors()
        assert len(actors.filter("walker.*")) == len(actors.filter("controller.*")) == COUNT


def test_more_than_there_is_room_for_are_refused_in_a_sentence(make_env):
    env = make_env(walkers=COUNT, npc_clearance_m=10_000.0)
    with pytest.raises(TaskError, match=r"12 pedestrians do not fit.* lower env\.walkers"):
        env.reset(seed=0)
    with pytest.raises(TaskError, match="walkers is 501"):
        make_env(walkers=501)


def test_a_pedestrian_that_is_hit_is_counted_as_one(make_env):
    env = make_env(observation="vector")
    env.reset(seed=1, options={"start": "beginning"})
    world = env.simulator.world
    place = world.get_actors().filter("vehicle.*")[0].get_transform()
    ahead = place.location + 12.0 * place.get_forward_vector() + carla.Location(z=1.0)
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    walker = world.spawn_actor(blueprint, carla.Transform(ahead))
    try:
        for _ in range(50):
            *_, ended, _, info = env.step(np.array([0.0, 1.0], np.float32))
            if ended:
                break
    finally:
        walker.destroy()  # the server is other tests' too: they would run into it
    assert info["reason"] == "collision"
    assert env.episode.result()["pedestrian_collisions"] == env.episode.result()["collisions"] == 1


def test_passers_by_walk_along_the_route_while_learning_alone(make_env):
    env = make_env(passers_by=COUNT, route="town01-nav/4")
    walked = walks(env, 5, 60)
    assert walked.shape == (60, COUNT, 2)
    route = env.route_task.route.points[:, :2]
    begun = np.hypot(*(walked[0][:, None] - route).transpose(2, 0, 1)).min(axis=1)
    assert begun.max() < 26.0
    assert np.array_equal(walks(env, 5, 60), walked)


def test_passers_by_cross_the_route(make_env):
    standing = {"termination": replace(EnvConfig().termination, blocked_s=60.0), "reward": RewardConfig(crash=400.0)}
    env = make_env(passers_by=COUNT, route="town01-nav/4", **standing)
    walked = walks(env, 5, 400)
    route = env.route_task.route.points[:, :2]
    offsets = walked[:, :, None] - route
    nearest = np.minimum(np.hypot(*np.moveaxis(offsets, -1, 0)).argmin(axis=-1), len(route) - 2)
    along = route[nearest + 1] - route[nearest]
    across = np.take_along_axis(offsets, nearest[..., None, None], axis=2)[:, :, 0]
    right = along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0] > 0.0
    assert (right != right[0]).any(axis=0).sum() >= COUNT // 3, "whoever only follows the route meets no turning car"
