"""Of several processes each takes a file at a time: those that take longest come first, for an end without waiting."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST = [
    "benchmarks/test_commands.py",
    "test_gym_run.py",
    "test_train.py",
    "test_resume.py",
    "envloop/test_local_pool.py",
    "envloop/test_ray_pool.py",
    "experiments/test_sweep.py",
    "avtd3_jax/test_several_devices.py",
    "test_old_runs.py",
    "test_ray_run.py",
    "envloop/test_process_pool.py",
    "test_errors.py",
    "envloop/test_simulator.py",
    "test_pages_in_browser.py",
    "avtd3_jax/test_trainer.py",
    "test_several.py",
    "experiments/test_on_ray.py",
    "minicarla/test_packaging.py",
    "test_evaluate.py",
    "envloop/test_lost_simulator.py",
    "avtd3_jax/test_kernel_cache.py",
    "test_hosts_run.py",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Needs --no-loadscope-reorder."""
    if hasattr(config, "workerinput"):
        places = {HERE / name: place for place, name in enumerate(LONGEST)}
        assert all(path.is_file() for path in places), "LONGEST names a file that is gone"
        items.sort(key=lambda item: places.get(item.path, len(LONGEST)))
