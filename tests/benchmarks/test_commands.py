"""The benchmarks run as commands, and their rows are what they claim; sizes are small, so the figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import train

ROOT = Path(__file__).parents[2]


def rows_of(folder: Path, *command: str) -> list[dict[str, Any]]:
    """What `python -m benchmarks.COMMAND` publishes."""
    kept = folder / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", *command, "--json", str(kept)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(kept.read_text())
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["versions"]["jax"]
    return found["rows"]


@pytest.mark.timeout(600)
def test_moments_until_the_first_update_come_in_their_order(tmp_path):
    rows = rows_of(tmp_path, "benchmarks.first_update", "--repetitions", "1", "--batch", "8")
    assert [row.pop("start") for row in rows] == ["first, nothing compiled", "second"]
    for row in rows:
        moments = [row[f"{name} s"]["median"] for name in ("imported", "first step", "first update due")]
        moments.append(row["first update done s"]["median"])
        assert 0 < moments[0] < moments[1] < moments[2] < moments[3]


@pytest.mark.timeout(600)
def test_the_whole_of_training_keeps_its_ratio_of_updates_to_steps(tmp_path):
    options = ["--scenarios", "empty", "--batches", "8", "--updates-per-step", "0.5", "--seconds", "2"]
    options += ["--contenders", "lock-step", "overlap", "--envs", "1", "--repetitions", "1"]
    rows = rows_of(tmp_path, "benchmarks.train", *options)
    assert [row["loop"] for row in rows] == ["lock-step", "overlap"]
    for row in rows:
        assert "note" not in row, row["note"]
        # A window ends between two updates, and few fit into one on a busy machine.
        assert row["updates/s"]["median"] == pytest.approx(0.5 * row["steps/s"]["median"], abs=1.0)
        assert 0 <= row["learner idle %"]["median"] <= 100
        assert row["% of the slower alone"]["median"] > 0
    first, second = (row["steps/s"]["median"] for row in rows)
    assert rows[1]["x lock-step"]["median"] == pytest.approx(second / first)


@pytest.mark.timeout(600)
def test_a_row_that_fails_says_why_and_the_others_take_their_turns():
    values = {"scenario": "empty", "updates_per_step": 0.5}
    entrants = [train.Entrant("overlap", {**values, "batch_size": size}) for size in (0, 8)]
    failed, measured = train.contest(entrants, seconds=0.5, repetitions=2)
    assert "batch_size is 0" in failed["note"]
    assert failed["loop"] == measured["loop"] == "overlap"
    assert measured["steps/s"].low > 0
    assert "x overlap" not in measured, "there is nobody to compare with"


@pytest.mark.timeout(600)
def test_scaling_has_a_row_for_every_size(tmp_path):
    sizes = ["--batches", "8", "--replays", "10000", "--envs", "1"]
    rows = rows_of(tmp_path, "benchmarks.scaling", *sizes, "--seconds", "0.3", "--repetitions", "1")
    assert [row["what"] for row in rows[:3]] == ["batch 8", "replay 10,000", "environments 1"]
    assert rows[1]["bytes/transition"] == pytest.approx(7200, rel=0.05)


@pytest.mark.timeout(600)
def test_a_checkpoint_of_a_small_replay_is_measured(tmp_path):
    rows = rows_of(
        tmp_path, "benchmarks.checkpoint", "--capacity", "4000", "--repetitions", "2", "--directory", str(tmp_path)
    )
    (restored,) = (row for row in rows if row["what"].startswith("restored"))
    assert restored["memory + GB"] < 0.2
    (filled,) = (row for row in rows if row["what"].startswith("while a replay"))
    assert 4000 * 7.0e-6 < filled["on disk GB"] < 0.1
