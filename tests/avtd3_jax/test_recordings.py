"""Recordings on disk: bounded, whole or absent, and never the end of an evaluation."""

import json
import os
import resource

import pytest

from avtd3_jax.evaluation import recordings
from avtd3_jax.evaluation.recordings import Recordings

LANES = {"lanes": [[[0.0, 0.0], [10.04, 0.0], [10.0, 3.5]]]}
FAILED = {"clip": {"video": b"film", "fps": 10.0, "steps": {"steer": [0.1, 0.2]}}}


def test_a_failed_episode_leaves_a_film_its_numbers_and_the_roads(tmp_path):
    made = Recordings(tmp_path, "step-7", "Carla/Maps/Town01")
    made.began(LANES)
    made.began(LANES)
    assert (good := made.ended(0, {})).keys() == {"map"}
    failed = made.ended(1, FAILED)
    assert failed["map"] == good["map"]
    assert (tmp_path / f"{failed['clip']}.mp4").read_bytes() == b"film"
    assert json.loads((tmp_path / f"{failed['clip']}.json").read_text()) == {"fps": 10.0, "steer": [0.1, 0.2]}
    roads = json.loads((tmp_path / failed["map"]).read_text())
    assert roads == {"town": "Carla/Maps/Town01", "lanes": [[[0.0, 0.0], [10.0, 0.0], [10.0, 3.5]]]}
    Recordings(tmp_path, "step-8", "Carla/Maps/Town01").began(LANES)
    assert len(list((tmp_path / "maps").iterdir())) == 1, "one town is written once"


def test_the_oldest_clips_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "MOST", 3)
    for step in range(5):
        name = Recordings(tmp_path, f"step-{step}", "T").ended(0, FAILED)["clip"]
        os.utime(tmp_path / f"{name}.mp4", ns=(step, step))
    left = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert left == sorted(f"step-{step}_0.{kind}" for step in (2, 3, 4) for kind in ("json", "mp4"))


def test_a_folder_that_takes_nothing_is_told_of_once(tmp_path):
    (tmp_path / "clips").write_text("a file where the folder belongs")
    made = Recordings(tmp_path, "step-7", "T")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert made.ended(0, FAILED) == {}
    assert made.ended(1, FAILED) == {}, "a second warning would be an error"


def test_a_full_disk_keeps_no_part_of_a_clip(tmp_path):
    """A file that may not grow gives the same error as a full disk. The oldest clips go by the names of whole ones."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
        with pytest.warns(UserWarning, match="cannot be written"):
            Recordings(tmp_path, "step-7", "T").ended(0, {"clip": {**FAILED["clip"], "video": b"film" * 1000}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "clips").iterdir()) == []
