"""Environments on Ray: the cases on a real cluster, in a process of their own; and what needs no cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envloop.errors import TaskError
from envloop.workers.fleet import FleetConfig

CASES = Path(__file__).with_name("ray_pool_cases.py")


def test_environments_on_a_cluster_of_several_nodes():
    """In another process: Ray forks this one to start its own, which may have threads of JAX's by now."""
    pytest.importorskip("ray")
    tests = CASES.parents[1]
    paths = os.pathsep.join([str(tests), *filter(None, [os.environ.get("PYTHONPATH")])])  # Ray's workers import of them
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(CASES)],
        capture_output=True,
        text=True,
        cwd=tests.parent,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_ray_backend_imports_ray():
    code = (
        "import sys, avtd3_jax.train, envloop.workers.pool; from envloop.workers.fleet import FleetConfig;"
        "from envloop.config import GymEnvConfig; from envloop.workers.pool import EnvPool;"
        "EnvPool([GymEnvConfig('Pendulum-v1')]).close(); assert 'ray' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_acts_on_ray_imports_no_jax():
    code = "import sys, envloop.workers.ray_env, ray; assert not {'jax', 'flax', 'avtd3_jax'} & {*sys.modules}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cpus": -1.0}, "fleet.cpus is -1.0"),
        ({"max_lag_updates": 10}, "fleet.max_lag_updates is for fleet.backend=ray"),
        ({"environments_per_actor": 0, "backend": "ray"}, "fleet.environments_per_actor is 0"),
        ({"resources": "carla"}, "fleet.resources is 'carla'"),
        ({"server_command": "carla", "backend": "ray"}, "write {port}"),
        ({"server_command": "carla {port}"}, "is for fleet.backend=ray"),
        ({"server_command": "'carla {port}", "backend": "ray"}, "close its quotes"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(values, sentence):
    with pytest.raises(TaskError) as refused:
        FleetConfig(**values).validate()
    assert sentence in str(refused.value)
