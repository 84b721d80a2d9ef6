"""Environments on a real Ray cluster of several nodes: what is killed comes back elsewhere while the others go on.

Cases of test_ray_pool.py: Ray forks, which a process with JAX's threads must not.
"""

import contextlib
import sys
import time

import id_frames
import numpy as np
import psutil
import pytest
from ray.cluster_utils import Cluster
from settings_of_record import of_record

from envloop.config import GymEnvConfig, SimulatorConfig
from envloop.errors import TaskError
from envloop.workers.fleet import FleetConfig
from envloop.workers.pool import EnvPool
from envloop.workers.ray_cluster import RayCluster
from envloop.workers.ray_env import RayFleet

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
PENDULUM = GymEnvConfig("Pendulum-v1")
BACK_S = 150.0


@pytest.fixture(scope="module")
def cluster():
    """A head without room, and a node with room for two environments."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=2)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def fleet(cluster):
    fleet = FleetConfig(backend="ray", address=cluster.address)
    connected = RayCluster(fleet, 2)
    yield connected, fleet
    connected.close()


def pool_of(connected, fleet, *configs):
    return EnvPool(configs, kind=RayFleet(fleet, connected))


@pytest.fixture
def pool(fleet):
    made = pool_of(*fleet, PENDULUM, PENDULUM)
    yield made
    made.close()


def raylet(node):
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def actors(node):
    return [child for child in raylet(node).children() if any("EnvActor" in word for word in words_of(child))]


def words_of(process):
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def only(found, patience_s=60.0):
    """The one that `found` comes to: actors of a pool that was closed end a little later."""
    deadline = time.monotonic() + patience_s
    while len(one := found()) != 1:
        assert time.monotonic() < deadline, one
        time.sleep(0.05)
    return one[0]


def drive(pool, enough, patience_s=BACK_S):
    """Turns the pool until `enough(answers so far)`; all transitions, losses and returns."""
    transitions, lost, torn = [], [], []
    deadline = time.monotonic() + patience_s
    while not enough(transitions, torn):
        assert time.monotonic() < deadline, (len(transitions), lost, torn)
        for environment in pool.idle():
            pool.reset(environment, seed=environment)
        pool.step({environment: np.zeros(1, np.float32) for environment in pool.waiting()})
        answers = pool.receive()
        transitions += answers.transitions
        lost += answers.lost
        torn += answers.torn
    return transitions, lost, torn


def test_actors_step_as_the_environment_itself_does(pool):
    def each_ten(made, _):
        return all(sum(one.environment == number for one in made) >= 10 for number in (0, 1))

    transitions, lost, _ = drive(pool, each_ten)
    assert not lost
    alone = EnvPool([PENDULUM])
    expected, _, _ = drive(alone, lambda made, _: len(made) >= 10)
    alone.close()
    mine = [made for made in transitions if made.environment == 0][:10]
    for got, wanted in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(got.next_observation, wanted.next_observation)
        assert got.reward == wanted.reward


def test_a_killed_node_is_a_lost_node(cluster, pool):
    """SIGKILL to all of a node's processes: its environments come back on one that joins late."""
    (node,) = [node for node in cluster.list_all_nodes() if actors(node)]
    family = [raylet(node), *raylet(node).children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # those of a raylet that is gone end by themselves
            process.kill()
    psutil.wait_procs(family, timeout=60)
    cluster.worker_nodes.discard(node)
    late = cluster.add_node(num_cpus=2)
    transitions, lost, torn = drive(pool, lambda made, torn: len(torn) == 2 and len(made) >= 20)
    assert {loss.environment for loss in lost} == {back.environment for back in torn} == {0, 1}
    assert all("actor" in loss.error for loss in lost)
    assert transitions
    assert len(actors(late)) == 2


def test_two_environments_of_an_actor_act_for_themselves_and_are_lost_with_it(cluster, fleet):
    """Every number follows from the ids in the frames; the parameters come through the object store."""
    connected, told = fleet
    fleet = FleetConfig("ray", told.address, environments_per_actor=2, max_lag_updates=1)
    pool = EnvPool([id_frames.CONFIG] * 2, kind=RayFleet(fleet, connected, id_frames.Policy))
    (node,) = [node for node in cluster.list_all_nodes() if actors(node)]
    actor = only(lambda: actors(node))
    driven, torn, lost, killed, version = {0: [], 1: []}, [], [], False, 0
    deadline = time.monotonic() + BACK_S
    try:
        while len(torn) < 2 or min(map(len, driven.values())) < 60:
            assert time.monotonic() < deadline, (driven, torn)
            for environment in pool.idle():
                pool.reset(environment, seed=0)
            for environment in pool.waiting():
                version += 1
                weights = connected.publish({"version": np.array([version])})
                pool.drive(environment, episode=0, steps=7, explore=False, version=version, weights=weights)
            if not killed and min(map(len, driven.values())) >= 30:
                actor.kill()
                killed = True
            answers = pool.receive()
            torn += answers.torn
            lost += answers.lost
            for made in answers.transitions:
                driven[made.environment].append(made)
    finally:
        pool.close()
    assert {loss.environment for loss in lost} == {back.environment for back in torn} == {0, 1}
    for made in driven[0] + driven[1]:
        identity, first = made.observation["vector"].astype(int).tolist()
        assert id_frames.ids_of(made.observation["image"]).tolist() == [max(first, identity - j) for j in (3, 2, 1, 0)]
        assert made.next_observation["vector"].tolist() == [identity + 1, first]
        assert made.terminated == id_frames.terminates(identity + 1)
        assert made.truncated == id_frames.truncates(identity + 1)
        assert made.reward == identity / 2.0
        np.testing.assert_array_equal(made.action, made.intended)


def test_what_cannot_be_made_is_said_in_a_sentence(fleet):
    with pytest.raises(TaskError, match="NoSuch"):
        pool_of(*fleet, GymEnvConfig("NoSuch-v0"))


def test_an_environment_has_a_server_of_its_own_command(fleet):
    connected, told = fleet
    command = f"{sys.executable} -m minicarla --port {{port}}"
    fleet = FleetConfig(backend="ray", address=told.address, server_command=command)
    config = of_record(simulator=SimulatorConfig(start_timeout_s=120.0), observation="vector")
    pool = pool_of(connected, fleet, config)
    (server,) = [process for process in psutil.process_iter() if is_server(process, pool.description)]
    pool.reset(0, seed=0)
    while not pool.waiting():
        assert not pool.receive().lost
    pool.close()
    psutil.wait_procs([server], timeout=60)
    assert not server.is_running()


def is_server(process, description):
    port = description.simulator["host"].rpartition(":")[2]
    return words_of(process)[1:] == ["-m", "minicarla", "--port", port]
