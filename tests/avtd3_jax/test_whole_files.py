"""Files that are there whole or not at all."""

import resource

import pytest

from avtd3_jax.training.logs import write_json
from avtd3_jax.whole_files import write_whole


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path):
    """A file that may not grow gives the same error as a full disk."""
    path = tmp_path / "new" / "result.json"
    write_json(path, {"old": True})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        with pytest.raises(OSError, match="too large"):
            write_json(path, list(range(1_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [found.name for found in path.parent.iterdir()] == ["result.json"]
    assert "old" in path.read_text()


def test_a_file_is_read_by_whom_the_system_lets_read_files(tmp_path):
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
