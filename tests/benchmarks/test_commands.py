"""The benchmarks run as commands, and their rows are what they claim; sizes are small, so the figures mean nothing."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import copy

from benchmarks import __main__ as everything
from benchmarks import train
from benchmarks.turns import READY
from reporting.machine import commit
from reporting.publish import Spread

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


def test_what_measures_all_anew_runs_the_commands_of_the_page():
    page = " ".join((ROOT / "benchmarks" / "README.md").read_text().replace("\\\n", " ").split())
    for name in everything.MEASUREMENTS:
        assert everything.command(name) in page
        assert (ROOT / "benchmarks" / "results" / f"{name}.json").exists()
    listed = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == len(everything.MEASUREMENTS)


@pytest.mark.timeout(600)
def test_small_sizes_run_too_and_write_nothing():
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    command = [sys.executable, "-m", "benchmarks", "--tiny", "replay"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before


def test_the_live_pages_cost_is_measured_in_pairs(tmp_path):
    command = [sys.executable, "-m", "benchmarks.monitor", "--scenarios", "empty", "--seconds", "1", "--pairs", "3"]
    done = subprocess.run([*command, "--json", str(tmp_path / "x.json")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    pairs = re.findall(r"pair \d of 3: ([\d.]+) and ([\d.]+) steps/s; (\d+) s left", done.stdout)
    assert [int(left) for *_, left in pairs] == [8, 4, 0]
    ratios = [float(shown) / float(hidden) for shown, hidden, _ in pairs]
    assert row["x without"]["median"] == pytest.approx(sorted(ratios)[1], rel=0.05)
    assert 0.3 < row["x without"]["median"] < 3.0
    assert "step/s" not in done.stderr, "a bar to a number that nobody has counted"


def test_the_age_of_a_process_is_counted_from_its_start():
    """What the starter sees of the whole is a little more than what the process says when it ends."""
    script = "import time; time.sleep(0.5); from benchmarks.common import since_start; print(since_start())"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    whole = time.perf_counter() - began
    assert 0.5 < float(done.stdout) < whole + 0.02, "one hundredth is what the kernel counts in"


@pytest.mark.timeout(600)
def test_moments_until_the_first_update_come_in_their_order(tmp_path):
    rows = rows_of(tmp_path, "benchmarks.first_update", "--repetitions", "1", "--batch", "8")
    assert [row.pop("start") for row in rows] == ["first, nothing compiled", "second"]
    for row in rows:
        moments = [
            row[f"{name} s"]["median"]
            for name in ("settings imported", "jax imported", "first step", "first update due")
        ]
        moments.append(row["first update done s"]["median"])
        assert moments[0] > 0
        assert moments == sorted(moments)


@pytest.mark.timeout(300)
def test_a_crowd_costs_the_server_no_more_than_the_client_waits(tmp_path):
    rows = rows_of(tmp_path, "benchmarks.crowd", "--walkers", "0", "30", "--ticks", "100", "--rounds", "5")
    assert [row["walkers"] for row in rows] == [0, 30]
    empty, crowded = rows
    # A round is over in some 20 ms: whoever else wants the core doubles it.
    assert empty["tick ms"]["low"] < crowded["tick ms"]["low"]
    for row in rows:
        assert row["server ms"]["median"] <= row["tick ms"]["median"] + 0.4, "its clock goes by hundredths of a second"


class Instant(train.Entrant):
    """Has trained, and measures nothing, as soon as it is told to."""

    def command(self, seconds: float, repetitions: int) -> list[str]:
        found = {"turns": [{"steps/s": 2.0 + turn} for turn in range(repetitions)], "first update s": 1.0}
        turns = f"for _ in range({repetitions}): print({READY!r}, flush=True); input()"
        return [sys.executable, "-c", f"{turns}\nprint({json.dumps(found)!r})"]


def test_a_row_that_fails_says_why_and_the_others_take_their_turns():
    values = {"scenario": "empty", "updates_per_step": 0.5}
    entrants = [kind("overlap", {**values, "batch_size": size}) for kind, size in ((train.Entrant, 0), (Instant, 8))]
    failed, measured = train.contest(entrants, seconds=0.5, repetitions=2)
    assert "batch_size is 0" in failed["note"]
    assert failed["loop"] == measured["loop"] == "overlap"
    assert measured["steps/s"] == Spread(2.5, 2.0, 3.0)
    assert "x overlap" not in measured, "there is nobody to compare with"


@pytest.fixture
def copied_checkout(tmp_path):
    """This checkout's files in another folder; a row of it fails if it sees packages of anywhere else."""
    home = tmp_path / "before"
    for package in ("avtd3_jax", "benchmarks", "configs", "envloop", "minicarla", "reporting"):
        shutil.copytree(ROOT / package, home / package, copy_function=copy)  # with what is compiled of it
    (home / ".gitignore").write_text("__pycache__\n")
    text = (home / "benchmarks" / "train.py").read_text()
    (home / "benchmarks" / "train.py").write_text(f"{text.partition('if __name__')[0]}{_MARKS_ITS_HOME}")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", *command], cwd=home, check=True)
    return home


_MARKS_ITS_HOME = """
if __name__ == "__main__":
    import avtd3_jax, envloop, minicarla

    assert all(str(Path.cwd()) in package.__file__ for package in (avtd3_jax, envloop, minicarla)), sys.path
    (Path.cwd() / "ran").touch()
    main()
"""


@pytest.mark.timeout(600)
def test_training_keeps_its_ratio_of_updates_to_steps_here_and_in_another_checkout_in_turns(tmp_path, copied_checkout):
    options = ["--scenarios", "empty", "--batches", "8", "--seconds", "1", "--repetitions", "2", "--envs", "1"]
    options += ["--updates-per-step", "0.5", "--contenders", "lock-step", "overlap", "--against", str(copied_checkout)]
    rows = rows_of(tmp_path, "benchmarks.train", *options)
    assert [row.get("note") for row in rows] == [None] * 4
    assert (copied_checkout / "ran").exists()
    there = commit(copied_checkout)
    assert [(row["loop"], row.get("of")) for row in rows] == [
        ("lock-step", None),
        ("lock-step", there),
        ("overlap", None),
        ("overlap", there),
    ]
    for row in rows:
        # A window ends between two updates, and few fit into one on a busy machine.
        for bound in ("low", "high"):
            assert row["updates/s"][bound] == pytest.approx(0.5 * row["steps/s"][bound], abs=2.0)
        assert 0 <= row["learner idle %"]["low"] <= row["learner idle %"]["high"] <= 100
        assert row["% of the slower alone"]["low"] > 0
        # Two turns' ratios lie within what the extremes of either side allow.
        within(row["x lock-step"], row, rows[0])
    for own, its in (rows[:2], rows[2:]):
        within(own[f"x {there}'s"], own, its)
        assert f"x {there}'s" not in its


def within(ratio, own, its):
    assert ratio["low"] >= own["steps/s"]["low"] / its["steps/s"]["high"]
    assert ratio["high"] <= own["steps/s"]["high"] / its["steps/s"]["low"]


def test_ratios_are_of_pairs_of_the_same_turn():
    def turns(*rates):
        return {"turns": [{"steps/s": rate} for rate in rates], "first update s": 1.0}

    row = train._row(turns(10.0, 30.0, 20.0), {"x before's": turns(20.0, 20.0, 20.0), "x failed": {"note": "why"}})
    assert row["x before's"] == Spread(1.0, 0.5, 1.5)
    assert "x failed" not in row


def test_a_folder_without_the_benchmark_is_refused(tmp_path):
    command = [sys.executable, "-m", "benchmarks.train", "--against", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds no benchmarks/train.py" in done.stderr


@pytest.mark.timeout(600)
def test_scaling_has_a_row_for_every_size(tmp_path):
    sizes = ["--batches", "8", "--replays", "10000", "--envs", "1"]
    rows = rows_of(tmp_path, "benchmarks.scaling", *sizes, "--seconds", "0.3", "--repetitions", "1")
    assert [row["what"] for row in rows[:3]] == ["batch 8", "replay 10,000", "environments 1"]
    assert rows[1]["bytes/transition"] == pytest.approx(7200, rel=0.05)


@pytest.mark.timeout(600)
def test_a_checkpoint_of_a_small_replay_is_measured(tmp_path):
    rows = rows_of(
        tmp_path, "benchmarks.checkpoint", "--capacity", "4000", "--repetitions", "1", "--directory", str(tmp_path)
    )
    (restored,) = (row for row in rows if row["what"].startswith("restored"))
    assert restored["memory + GB"] < 0.2
    (filled,) = (row for row in rows if row["what"].startswith("while a replay"))
    assert 4000 * 7.0e-6 < filled["on disk GB"] < 0.1


@pytest.mark.timeout(600)
def test_the_env_loop_of_another_checkout_takes_turns_with_ours(tmp_path, copied_checkout):
    # So many steps that the processes' clocks, which tick every 10 ms, have moved.
    options = ["--steps", "100", "--repetitions", "2", "--rows", "no camera", "--against", str(copied_checkout)]
    (row,) = rows_of(tmp_path, "benchmarks.envloop", *options)
    assert "note" not in row
    assert row[f"x {commit(copied_checkout)}'s"]["low"] > 0
    # The floor is what is left of a step without the server's part.
    assert row["floor steps/s"]["high"] >= 1e3 / (row["client CPU ms"]["high"] + row["Traffic Manager CPU ms"]["high"])


@pytest.mark.timeout(600)
def test_processes_and_ray_drive_the_same_environments_in_turns(tmp_path):
    rows = rows_of(
        tmp_path, "benchmarks.fleet", "--envs", "2", "--seconds", "1", "--repetitions", "1", "--training", "0"
    )
    assert [row["fleet"] for row in rows] == ["processes", "Ray", "Ray, acting apart", "none: the replay alone"]
    for row in rows[:3]:
        assert row["environments"] == 2
        assert 0 < row["main CPU ms"]["median"] < row["all CPU ms"]["median"]
        # Work of one thread: no more steps than its time allows, give or take what the clock of a process rounds.
        assert row["steps/s"]["median"] < 1.5 * row["bound"]["median"]
        assert row["MB each"] > 10
