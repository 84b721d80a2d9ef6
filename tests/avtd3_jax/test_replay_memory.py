"""The memory that is available, read off cgroup files as Linux writes them."""

from pathlib import Path

import psutil
import pytest

from avtd3_jax.replay.memory import available_memory

GB = 10**9


def v2(root: Path, path: str, limit: str, used: int, inactive: int = 0, active: int = 0) -> None:
    cgroup = root / "sys/fs/cgroup" / path
    cgroup.mkdir(parents=True, exist_ok=True)
    (cgroup / "memory.max").write_text(f"{limit}\n")
    (cgroup / "memory.current").write_text(f"{used}\n")
    (cgroup / "memory.stat").write_text(
        f"anon {used - inactive - active}\nfile {inactive + active}\nkernel 1000\nshmem 0\n"
        f"inactive_file {inactive}\nactive_file {active}\nunevictable 0\n"
    )


def v1(root: Path, path: str, limit: int, used: int, own_cache: int, total_cache: int) -> None:
    cgroup = root / "sys/fs/cgroup/memory" / path
    cgroup.mkdir(parents=True, exist_ok=True)
    (cgroup / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (cgroup / "memory.usage_in_bytes").write_text(f"{used}\n")
    (cgroup / "memory.stat").write_text(
        f"cache {own_cache}\ninactive_file {own_cache}\nactive_file 0\nhierarchical_memory_limit {limit}\n"
        f"total_inactive_file {total_cache}\ntotal_active_file 0\n"
    )


def proc(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(autouse=True)
def large_machine(monkeypatch):
    """With 64 GB free, so that the cgroup decides."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"available": 64 * GB}))


def test_a_warm_page_cache_is_not_in_the_way(tmp_path):
    """A container of 4 GB in which 3.6 GB are in use, 3.3 of them pages of files."""
    proc(tmp_path, "0::/")
    v2(tmp_path, "", str(4 * GB), 36 * GB // 10, inactive=30 * GB // 10, active=3 * GB // 10)
    assert available_memory(tmp_path) == 37 * GB // 10


def test_memory_that_programs_use_is_in_the_way(tmp_path):
    proc(tmp_path, "0::/")
    v2(tmp_path, "", str(4 * GB), 36 * GB // 10)
    assert available_memory(tmp_path) == 4 * GB // 10


def test_the_smallest_of_the_nested_groups_decides(tmp_path):
    proc(tmp_path, "0::/user.slice/run.scope")
    v2(tmp_path, "user.slice", str(8 * GB), 7 * GB, inactive=GB)
    v2(tmp_path, "user.slice/run.scope", "max", GB)
    assert available_memory(tmp_path) == 2 * GB
    v2(tmp_path, "user.slice/run.scope", str(2 * GB), GB)
    assert available_memory(tmp_path) == GB


def test_a_path_of_the_host_that_is_not_mounted_leaves_the_mounted_root(tmp_path):
    proc(tmp_path, "0::/docker/0123abcd")
    v2(tmp_path, "", str(3 * GB), GB)
    assert available_memory(tmp_path) == 2 * GB


def test_version_1_counts_the_caches_of_the_groups_below(tmp_path):
    proc(tmp_path, "5:cpu,cpuacct:/x", "4:memory:/job", "1:name=systemd:/y")
    v1(tmp_path, "job", 4 * GB, 3 * GB, own_cache=0, total_cache=2 * GB)
    assert available_memory(tmp_path) == 3 * GB


def test_without_a_limit_the_machine_decides(tmp_path):
    assert available_memory(tmp_path) == 64 * GB
    proc(tmp_path, "4:memory:/job", "0::/")
    v2(tmp_path, "", "max", 3 * GB)
    v1(tmp_path, "job", 2**63 - 4096, 3 * GB, own_cache=0, total_cache=0)
    assert available_memory(tmp_path) == 64 * GB


def test_a_group_beyond_its_limit_has_nothing_left(tmp_path):
    proc(tmp_path, "0::/")
    v2(tmp_path, "", str(GB), 2 * GB)
    assert available_memory(tmp_path) == 0


def test_this_machine_is_read():
    assert available_memory() > 0
