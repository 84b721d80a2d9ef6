"""What a report is made of: curves as they were, no more than 15 MB, and nothing that is not the run's."""

import base64
import itertools
import json
import os
import re
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from avtd3_jax.report.__main__ import main
from avtd3_jax.report.content import LIMIT, in_script
from avtd3_jax.report.event_files import read_scalars
from avtd3_jax.report.figures import MOST_POINTS, _log_ticks, sections
from avtd3_jax.report.page import report_html, write_report
from avtd3_jax.report.palette import run_style
from avtd3_jax.report.run_data import names, read_runs
from avtd3_jax.report.settings_table import changed_settings
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.run_config import file_values
from avtd3_jax.training.logs import RunLog, write_json

ROOT = Path(__file__).parents[2]
SQUARE = {"town": "T", "lanes": [[[0, 0], [50, 0], [50, 4], [0, 4]]]}


def made_run(folder: Path, evaluations: int = 2, clip: bytes = b"film", episodes: int = 3, **changes: object) -> Path:
    """A run directory of a training with some evaluations, each of whose episodes failed."""
    folder.mkdir()
    values = file_values(load(ROOT / "configs" / "town01.py", {key: str(value) for key, value in changes.items()}))
    write_json(folder / "config.json", values)
    log = RunLog(folder)
    for step in range(0, 3000, 2):
        log.scalars("episode", {"return": float(step)}, step)
    for number in range(evaluations):
        step = 1000 * (number + 1)
        log.evaluation({"step": step, "wall_s": 60.0 * (number + 1), "success": 0.5})
        name = f"step-{step:07d}_x"
        driven = []
        for i in range(episodes):
            path = folder / "evaluations" / "clips" / f"{name}_{i}"
            write_json(path.with_name(path.name + ".json"), _steps(5))
            path.with_name(path.name + ".mp4").write_bytes(clip)
            driven.append(
                {"route": "r", "reason": "blocked", "success": 0, "route_completion": 0.5, "clip": f"clips/{path.name}"}
                | {"track": [[1.0, 2.0], [30.0, 2.0]], "map": "maps/T.json"}
            )
        result = {"policy": "network", "step": step, "scenario": "0", "episodes": driven, "summary": {}}
        write_json(folder / "evaluations" / f"{name}.json", result)
    write_json(folder / "evaluations" / "maps" / "T.json", SQUARE)
    log.close()
    return folder


def _steps(n: int) -> dict:
    return {"fps": 10.0, **{name: [0.5] * n for name in ("speed_kmh", "steer", "accel", "reward")}, "light": [""] * n}


def data_of(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"no browser reads {name}"))


def test_a_report_holds_the_run_and_asks_for_nothing_else(tmp_path):
    page = report_html([made_run(tmp_path / "a")])
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # plotly.js names addresses, and asks none
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", ours)
    data = data_of(page)
    assert [failure["reason"] for failure in data["failures"]] == ["blocked"] * 6
    assert {failure["step"] for failure in data["failures"][:3]} == {2000}, "the newest evaluation first"
    assert base64.b64decode(data["clips"][data["failures"][0]["video"]]) == b"film"
    assert data["maps"] == {"maps/T.json": SQUARE}
    (returns,) = [
        figure["figure"]["data"][0]
        for section in data["sections"]
        for figure in section["figures"]
        if (section["title"], figure["title"]) == ("Training episodes", "Return")
    ]
    assert len(returns["y"]) <= MOST_POINTS
    assert returns["x"][-1] == 2998
    # A mean over 20 episodes two steps apart is 19 behind; one over neighbours behind that.
    assert returns["y"][-1] == pytest.approx(2998 - 19, abs=6)


def test_a_report_of_a_long_run_stays_below_its_limit_and_says_what_is_left_out(tmp_path):
    run = made_run(tmp_path / "a", evaluations=26, episodes=4, clip=bytes(120_000))
    for path in (run / "evaluations").glob("*.json"):
        result = json.loads(path.read_text())
        for episode in result["episodes"]:
            episode["track"] = np.random.default_rng(1).uniform(0, 400, (2000, 2)).tolist()
        write_json(path, result)
    page = report_html([run])
    assert 0.9 * LIMIT < len(page.encode()) < LIMIT
    data = data_of(page)
    without = [failure for failure in data["failures"] if "video" not in failure]
    assert len(data["failures"]) == 104
    assert len(without) + len(data["clips"]) == 104
    assert all("evaluations/clips/" in failure["why_no_clip"] for failure in without)
    assert min(f["step"] for f in data["failures"] if "video" in f) >= max(f["step"] for f in without)
    assert data["evaluations"][0]["episodes"][0]["track"]
    assert not data["evaluations"][-1]["episodes"][0]["track"], "the oldest evaluations give up their tracks"


def test_thousands_of_failures_stay_below_the_limit_the_newest_first(tmp_path):
    run = made_run(tmp_path / "a", evaluations=6, episodes=2)
    for path in (run / "evaluations").glob("*.json"):
        result = json.loads(path.read_text())
        failed = {**result["episodes"][0], "route": "167.54,129.44 -> 129.15,133.43", "duration_s": 1 / 3}
        write_json(path, result | {"episodes": [failed] * 4000, "summary": {"success": {"mean": 0.0}}})
    page = report_html([run])
    assert len(page.encode()) < LIMIT
    data = data_of(page)
    assert len(data["failures"]) + data["failures_left_out"] == 24_000
    assert data["failures_left_out"] % 4000 == 0 < data["failures_left_out"]
    assert [len(one["episodes"]) + one["left_out"] for one in data["evaluations"]] == [4000] * 6
    left_out = [one["left_out"] for one in data["evaluations"]]
    assert left_out == sorted(left_out), "the oldest"
    assert all(one["summary"] for one in data["evaluations"])
    assert {failure["step"] for failure in data["failures"]} == {
        6000 - 1000 * i for i, left in enumerate(left_out) if not left
    }


def test_a_plot_of_many_runs_stays_below_the_limit_and_every_run_looks_different(tmp_path):
    styles = [run_style(number) for number in range(36)]
    assert len({(style.colour, style.dash, style.marker) for style in styles}) == 36
    assert all(one != other for one, other in itertools.pairwise(style.dash for style in styles[:6]))
    runs = [made_run(tmp_path / "a")] * 60
    assert [run.name for run in read_runs(runs)][:3] == ["a", "a (2)", "a (3)"]
    (returns,) = [figure["figure"] for figure in sections(read_runs(runs))[1]["figures"]]
    assert {len(trace["x"]) for trace in returns["data"]} == {100}


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["ours/seed-0", "theirs/seed-0", "other"], ["ours/seed-0", "theirs/seed-0", "other"]),
        (["x/a", "x/a"], ["a", "a (2)"]),
        ([os.fsdecode(b"x/bad\xff")], ["bad\N{REPLACEMENT CHARACTER}"]),
    ],
)
def test_no_two_runs_of_a_report_have_one_name(folders, found):
    assert names([Path(folder) for folder in folders]) == found


def test_numbers_that_are_none_break_no_page(tmp_path):
    run = made_run(tmp_path / "a")
    for path in (run / "evaluations").glob("*.json"):
        result = json.loads(path.read_text())
        for episode in result["episodes"]:
            episode |= {"return": float("nan"), "track": [[float("nan"), 1.0], [2.0, 3.0]], "route": None}
        path.write_text(json.dumps(result | {"summary": {"return": {"mean": float("inf"), "low": None}}}))
    clip = min((run / "evaluations" / "clips").glob("*.json"))
    clip.write_text(json.dumps(_steps(5) | {"speed_kmh": [float("nan")] * 5}))
    with (run / "evaluations.jsonl").open("ab") as file:
        file.write(b'{"step": 3000, "success": NaN}\n12\n["x"]\n{"success": 1.0}\n\xff\n')
    (run / "provenance.json").write_text('{"machine": {"system": "L"}, "device": {}}')
    data = data_of(report_html([run]))
    assert data["evaluations"][0]["episodes"][0]["track"] == [[2.0, 3.0]]
    assert data["runs"][0]["rows"]["Machine"] == "L"
    assert sum("cannot be read" in failure.get("why_no_clip", "") for failure in data["failures"]) == 1


def test_two_processes_may_write_one_report_at_once(tmp_path, monkeypatch):
    run, path = made_run(tmp_path / "a"), tmp_path / "report.html"
    replace = Path.replace

    def meanwhile(part: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        write_report([run], path)
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    write_report([run], path)
    assert data_of(path.read_text())["failures"]
    assert list(tmp_path.glob("*.part")) == []


def test_runs_stand_side_by_side(tmp_path, capsys):
    runs = [made_run(tmp_path / "a"), made_run(tmp_path / "b", **{"agent.gamma": 0.96})]
    assert main([*map(str, runs), "--out", str(tmp_path / "both.html")]) == 0
    assert "both.html" in capsys.readouterr().out
    data = data_of((tmp_path / "both.html").read_text())
    assert {"key": "agent.gamma", "default": "0.95", "values": ["0.95", "0.96"]} in data["settings"]
    figure = data["sections"][0]["figures"][0]["figure"]
    assert [trace["name"] for trace in figure["data"]] == ["a", "b"]
    assert len({trace["line"]["dash"] for trace in figure["data"]}) == 2
    assert len(data["evaluations"]) == 4


def test_the_newest_of_two_evaluations_of_one_step_comes_first(tmp_path):
    run = made_run(tmp_path / "run", evaluations=1)
    (first,) = (run / "evaluations").glob("*.json")
    for name, age_s in (("step-0001000_a", 60.0), ("step-0001000_z", 120.0)):
        path = first.with_name(f"{name}.json")
        path.write_text(first.read_text().replace('"scenario": "0"', f'"suite": "{name[-1]}"'))
        os.utime(path, (time.time() - age_s,) * 2)
    first.unlink()
    titles = [one["title"].split(": ")[1][0] for one in data_of(report_html([run]))["evaluations"]]
    assert titles == ["a", "z"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.3, 4.0, [0.2, 0.5, 1.0, 2.0, 5.0]),
        (2.0, 2.0, [1.0, 2.0]),
        (1e-4, 1e2, [10.0**power for power in range(-4, 3)]),
    ],
)
def test_a_logarithmic_axis_has_few_plain_numbers(low, high, ticks):
    assert _log_ticks(low, high) == pytest.approx(ticks)


def test_only_what_differs_from_the_defaults_is_listed(tmp_path):
    (run,) = read_runs([made_run(tmp_path / "a", scenario="2")])
    rows = {row["key"]: row for row in changed_settings([run])}
    assert rows["scenario"] == {"key": "scenario", "default": "empty", "values": ["2"]}
    assert set(rows) == {"scenario"}


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"report: {tmp_path} holds no run")


@pytest.mark.parametrize("missing", ["tensorboard", "evaluations", "evaluations.jsonl", "evaluations/clips"])
def test_a_run_that_lacks_something_has_a_report_without_it(tmp_path, missing):
    run = made_run(tmp_path / "a")
    shutil.rmtree(run / missing) if (run / missing).is_dir() else (run / missing).unlink()
    data = data_of(report_html([run]))
    assert len(data["runs"]) == 1
    if missing == "evaluations/clips":
        assert {failure["why_no_clip"] for failure in data["failures"]} == {
            "Its clip was removed: a run keeps the newest ones."
        }


def test_half_written_files_of_a_killed_run_are_read_as_far_as_they_go(tmp_path):
    run = made_run(tmp_path / "a")
    (events,) = (run / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-7])
    with (run / "evaluations.jsonl").open("a") as file:
        file.write('{"step": 30')
    (run / "evaluations" / "step-0009000_x.json").write_text("{")
    (read,) = read_runs([run])
    assert len(read.scalars["episode/return"].steps) == 1499
    assert len(read.curve) == 2
    assert len(read.evaluations) == 2


def test_a_resumed_run_has_each_step_once(tmp_path):
    log = RunLog(tmp_path)
    for step in range(10):
        log.scalars("run", {"x": float(step)}, step)
    log.close()
    (written,) = (tmp_path / "tensorboard").iterdir()
    written.rename(f"{written}.of-another-process")
    again = RunLog(tmp_path, resume_step=5)
    for step in range(6, 9):
        again.scalars("run", {"x": 100.0 + step}, step)
    again.close()
    curve = read_scalars(tmp_path / "tensorboard")["run/x"]
    assert curve.steps == list(range(9))
    assert curve.values == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 106.0, 107.0, 108.0]
    assert curve.hours == sorted(curve.hours)


def test_a_part_in_which_nothing_was_logged_takes_no_time(tmp_path):
    """A run that is resumed and killed at once: an older version gave the mark of its resuming no time."""
    for step in (0, 1):
        log = RunLog(tmp_path, resume_step=step or None)
        log.scalars("run", {"x": 1.0}, step)
        log.close()
        (written,) = (tmp_path / "tensorboard").glob(f"events*.{os.getpid()}")
        written.rename(f"{written}.{step}")
        if not step:
            mark = Event(step=1, session_log=SessionLog(status=SessionLog.START)).SerializeToString()
            record = struct.pack("<QI", len(mark), 0) + mark + bytes(4)
            (renamed,) = (tmp_path / "tensorboard").iterdir()
            renamed.write_bytes(renamed.read_bytes() + record)
    assert all(0.0 <= hours < 0.1 for hours in read_scalars(tmp_path / "tensorboard")["run/x"].hours)


def test_a_copied_run_keeps_the_order_of_its_parts(tmp_path):
    for number, age_s in enumerate((20.0, 10.0)):
        log = RunLog(tmp_path)
        log.scalars("run", {"x": float(number)}, number)
        log.close()
        (written,) = (tmp_path / "tensorboard").glob(f"events*.{os.getpid()}")
        written = written.rename(f"{written}.{1 - number}")
        os.utime(written, (time.time() + age_s,) * 2)
    assert read_scalars(tmp_path / "tensorboard")["run/x"].values == [0.0, 1.0]


def test_no_text_of_a_run_ends_the_script_that_holds_it(tmp_path):
    evil = "</script><script>alert(1)</script>"
    assert "<" not in in_script({"route": evil})
    run = made_run(tmp_path / "a")
    for path in (run / "evaluations").glob("*.json"):
        path.write_text(path.read_text().replace('"blocked"', json.dumps(evil)))
    page = report_html([run])
    assert evil not in page
    assert data_of(page)["failures"][0]["reason"] == evil
