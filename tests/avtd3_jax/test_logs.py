"""Nothing of a log is lost, and a resumed run's log has no ghosts of the work that was."""

import json
import resource
import shutil
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avtd3_jax.training import logs
from avtd3_jax.training.logs import RunLog, to_json, write_json
from avtd3_jax.training.phases import PhaseTimer


def test_json_is_plain_and_strict(tmp_path):
    value = {"a": np.float32(1.5), "b": [np.int64(2), float("nan")], "c": {"d": (True, None, float("inf"))}}
    write_json(tmp_path / "deep" / "x.json", value)
    text = (tmp_path / "deep" / "x.json").read_text()
    assert json.loads(text) == {"a": 1.5, "b": [2, None], "c": {"d": [True, None, None]}} == to_json(value)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["x.json"]


def test_scalars_arrive_where_tensorboard_reads_them(tmp_path):
    log = RunLog(tmp_path)
    log.scalars("episode", {"return": 1.5, "reason": "collision", "terms": {"lane": np.float32(0.5)}, "gap": np.inf}, 7)
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"episode/return", "episode/terms/lane"}
    (point,) = events.Scalars("episode/return")
    assert (point.step, point.value) == (7, 1.5)


def test_a_resumed_log_drops_what_lies_beyond_its_checkpoint_and_half_lines(tmp_path):
    log = RunLog(tmp_path)
    for step in (10, 20, 30):
        log.episode({"step": step, "return": float(step)})
    log.close()
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"step": 3')
    resumed = RunLog(tmp_path, resume_step=20)
    resumed.episode({"step": 25, "return": 0.0})
    resumed.close()
    lines = (tmp_path / "episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 25]


def test_a_resumed_log_has_every_point_of_its_checkpoint_s_step_once(tmp_path):
    log = RunLog(tmp_path)
    for step in (10, 20, 30):
        log.scalars("episode", {"return": 1.0}, step)
    log.close()
    time.sleep(1.1)  # the file's name tells the second
    resumed = RunLog(tmp_path, resume_step=20)
    resumed.scalars("episode", {"return": 2.0}, 30)
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = [(point.step, point.value) for point in events.Scalars("episode/return")]
    assert points == [(10, 1.0), (20, 1.0), (30, 2.0)]


def test_a_resumed_log_drops_evaluations_that_will_be_made_again(tmp_path):
    """A checkpoint may be older than an evaluation at its very step: the run's last one comes after the last save."""
    log = RunLog(tmp_path)
    for step in (10, 20):
        log.evaluation({"step": step, "success": np.float64(0.5)})
    log.close()
    resumed = RunLog(tmp_path, resume_step=20, evaluated_at=10)
    resumed.evaluation({"step": 20, "success": 1.0})
    resumed.close()
    lines = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert lines == [{"step": 10, "success": 0.5}, {"step": 20, "success": 1.0}]


def test_a_removed_tensorboard_folder_comes_back_with_the_points_that_follow(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_LOOK_S", 0.0)
    log = RunLog(tmp_path)
    log.scalars("run", {"fill": 0.1}, 1)
    shutil.rmtree(tmp_path / "tensorboard")
    log.scalars("run", {"fill": 0.2}, 2)
    log.scalars("run", {"fill": 0.3}, 3)
    log.close()
    points = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("run/fill")
    assert [point.step for point in points] == [2, 3]


def test_a_full_disk_ends_no_log_and_no_line_is_lost(tmp_path, monkeypatch):
    """A file that may not grow gives the same error from the same call as a full disk."""
    monkeypatch.setattr(logs, "_LOOK_S", 0.0)
    log = RunLog(tmp_path)
    records = [{"step": step, "text": "x" * 100} for step in range(8)]

    def write_most() -> None:
        for record in records[:-1]:
            log.episode(record)
            log.scalars("run", {f"x{i}": 1.0 for i in range(20)}, record["step"])

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
        with pytest.warns(UserWarning, match="training goes on") as warned:
            write_most()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sum("training goes on" in str(told.message) for told in warned) == 2  # once for each file
    log.episode(records[-1])
    log.scalars("run", {"fill": 0.3}, 9)
    log.close()
    assert [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()] == records
    points = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("run/fill")
    assert [point.step for point in points] == [9]


def test_phase_times_are_means_since_the_last_look():
    timer = PhaseTimer()
    for _ in range(3):
        with timer("x"):
            sum(range(1000))
    first = timer.collect()
    assert set(first) == {"x"}
    assert first["x"] > 0
    assert timer.collect() == {}
