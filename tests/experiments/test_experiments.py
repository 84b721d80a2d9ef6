"""Results of driving can be trusted: rows are what was run, intervals are the textbook's, a campaign can be cut off."""

import dataclasses
import itertools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import started, until
from scipy import stats

from envloop.config import StartNoise
from envloop.task.metrics import summarise
from experiments import campaign, figures, record, summary, tables
from experiments.__main__ import main
from experiments.experiments import Experiment, Variant, experiment
from experiments.rows import Row, changes_of

ROOT = Path(__file__).parents[2]
TINY = {
    "total_steps": 900,  # many are left when the first evaluation is seen
    "exploration_steps": 880,
    "batch_size": 8,
    "eval_every": 150,
    "eval_episodes": 1,
    "replay.capacity": 2000,
}


def episode(success: int, completion: float, seed: int) -> dict:
    """As an evaluation writes it, of route 0 from (317, 129) westwards."""
    return {
        "seed": seed,
        "success": success,
        "nocrash_success": success,
        "route_completion": completion,
        "distance_km": 0.26 * completion,
        "collisions": 1 - success,
        "pedestrian_collisions": 0,
        "vehicle_collisions": 1 - success,
        "static_collisions": 0,
        "lane_invasions": seed % 2,
        "red_lights": 0,
        "off_road": 0.0,
        "off_lane": 0.01,
        "mean_speed_kmh": 20.0 + seed,
        "completion_time_s": 36.0 if success else None,
        "min_ttc_s": None,
        "mean_jerk": 10.0,
        "mean_lateral_accel": 1.0,
        "mean_lateral_error_m": 0.2,
        "mean_heading_error_deg": 2.0,
        "driving_score": 100.0 * completion,
        "driving_score_21": 100.0 * completion,
        "return": 10.0 * completion,
        "track": [[317.0, 129.5], [317.0 - 200.0 * completion, 129.5]],
    }


def row(of: Experiment, variant: Variant, seed: int | None, outcomes: list[int], curve: list[tuple]) -> dict:
    """A row of an experiment whose evaluations ended as `outcomes`; `curve` holds (step, success, completion)."""
    episodes = [episode(success, 1.0 if success else 0.4, 10 * (seed or 0) + i) for i, success in enumerate(outcomes)]
    spread = {name: {"mean": s.mean, "low": s.low, "high": s.high, "n": s.n} for name, s in summarise(episodes).items()}
    evaluation = {
        "seed": 1000,
        "simulator": {"simulator": "minicarla 0.1.0", "map": "Town01"},
        "episodes": episodes,
        "routes": [{"route": "a/0", "kind": "left", "episodes": len(outcomes), "successes": sum(outcomes)}],
        "summary": spread,
    }
    points = [
        {"step": step, "update": step, "wall_s": 6.0 * step, "episodes": 5, "success": s, "route_completion": c}
        for step, s, c in curve
    ]
    trained = variant.policy == "network"
    training = {
        "device": {"device": "cpu:0", "kind": "a processor", "jax": "0.10.2"},
        "launches": [{"commit": "abc1234", "time": "today"}],
        "env_steps": points[-1]["step"] if points else 0,
        "wall_minutes": 90.0,
        "first_all_successful": record.first_all_successful(points),
    }
    return {
        "experiment": of.name,
        "variant": variant.name,
        "policy": variant.policy,
        "seed": seed,
        "config": Row(of, variant, seed, {}).config() if trained else None,
        "machine": {"python": "3.11"},
        "training": training if trained else None,
        "curve": points,
        "evaluations": {task.name: evaluation for task in of.tasks},
    }


@pytest.fixture
def results(tmp_path) -> Path:
    """Route 0 with three seeds, PID and chance."""
    of = experiment("route-0")
    td3, pid, chance = of.variants
    curves = [
        [(1000, 0.0, 0.1), (2000, 1.0, 1.0), (3000, 0.8, 0.9)],
        [(1100, 0.0, 0.2), (2100, 0.6, 0.8), (3100, 1.0, 1.0)],
        [(1200, 0.0, 0.3), (2200, 0.0, 0.6), (2900, 0.4, 0.8)],
    ]
    outcomes = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]
    for seed in range(3):
        record.write(tmp_path / of.name / f"td3-seed{seed}.json", row(of, td3, seed, outcomes[seed], curves[seed]))
    record.write(tmp_path / of.name / "pid.json", row(of, pid, None, [1, 0, 1, 0], []))
    record.write(tmp_path / of.name / "random.json", row(of, chance, None, [0, 0, 0, 0], []))
    return tmp_path


def test_intervals_are_those_of_the_textbook(results):
    td3, pid, chance = summary.groups(results, experiment("route-0"))
    (task,) = td3.tasks()
    success = td3.metric(task, "success")
    shares = [4 / 4, 3 / 4, 1 / 4]
    low, high = stats.t.interval(0.95, 2, np.mean(shares), stats.sem(shares))
    assert (low, high) == pytest.approx((-0.282, 1.615), abs=1e-3), "wider than a share can be"
    assert (success.mean, success.low, success.high, success.n) == (pytest.approx(8 / 12), 0.0, 1.0, 3)
    means = [20.0 + 10 * seed + 1.5 for seed in range(3)]
    speed = td3.metric(task, "mean_speed_kmh")
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (speed.mean, speed.high) == pytest.approx((np.mean(means), high), abs=0.02)
    assert speed.low == pytest.approx(max(low, 0.0), abs=0.02)
    assert td3.metric(task, "route_completion").high == 1.0, "no interval leaves what a share can be"
    speed = pid.metric(task, "mean_speed_kmh")
    assert (speed.n, speed.unit) == (4, "episode"), "of a policy without training the unit is an episode"
    of_pid = pid.metric(task, "success")
    expected = stats.binomtest(2, 4).proportion_ci(method="wilson")
    assert (of_pid.low, of_pid.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert chance.metric(task, "completion_time_s") is None
    assert chance.metric(task, "success").low == 0.0


NAMES = ("success", "route_completion", "mean_speed_kmh", "driving_score")


def test_more_episodes_of_the_same_seeds_narrow_no_interval(tmp_path):
    """The same policies driven twice as often: pooled, n would have doubled; a seed stays one observation."""
    of = experiment("route-0")
    outcomes = [[1, 1, 1, 1, 1, 0, 1, 1], [1, 1, 1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 1, 1, 0, 0]]
    found = {}
    for times in (1, 2):
        for seed, ended in enumerate(outcomes):
            content = row(of, of.variants[0], seed, ended, [(1000, 0.0, 0.1), (2000, 1.0, 1.0)])
            for evaluation in content["evaluations"].values():
                evaluation["episodes"] *= times
                spread = summarise(evaluation["episodes"])
                evaluation["summary"] = {name: dataclasses.asdict(value) for name, value in spread.items()}
            record.write(tmp_path / of.name / f"td3-seed{seed}.json", content)
        (td3,) = summary.groups(tmp_path, of)
        (task,) = td3.tasks()
        found[times] = [td3.metric(task, name) for name in NAMES]
        assert td3.successes(task) == f"{7 * times}, {6 * times}, {5 * times} of {8 * times}"
    assert [(e.n, e.unit) for e in found[2]] == [(3, "seed")] * len(NAMES)
    for before, after in zip(found[1], found[2], strict=True):
        assert (after.mean, after.low, after.high) == pytest.approx((before.mean, before.low, before.high))
        assert after.low < after.mean < after.high


def test_one_seed_has_no_interval_and_the_table_says_so(tmp_path):
    of = experiment("navigation")
    content = row(of, of.variants[0], 0, [1, 1, 0, 1], [(1000, 0.0, 0.1), (2000, 1.0, 1.0)])
    record.write(tmp_path / of.name / "td3-seed0.json", content)
    record.write(tmp_path / of.name / "pid.json", row(of, of.variants[1], None, [1, 0, 1, 0], []))
    lines = tables.section(tmp_path, of).splitlines()
    assert "|  | td3, 1 seed | pid (privileged), 4 episodes |" in lines
    assert "| success, % | 75 | 50 (15 .. 85) |" in lines
    assert "| successful episodes | 3 of 4 | 2 of 4 |" in lines


def test_a_metric_that_not_every_seed_has_says_how_many_have_it(tmp_path):
    of = experiment("route-0")
    for seed, outcomes in enumerate([[1, 1], [0, 0], [1, 0]]):
        content = row(of, of.variants[0], seed, outcomes, [(1000, 0.0, 0.1), (2000, 1.0, 1.0)])
        record.write(tmp_path / of.name / f"td3-seed{seed}.json", content)
    text = tables.section(tmp_path, of)
    assert re.search(r"\| completion time, simulated s \| [\d.]+( \(.*\))?, of 2 \|", text)


def test_the_mean_curve_covers_what_every_seed_has_driven(results):
    td3 = summary.groups(results, experiment("route-0"))[0]
    band = td3.band("route_completion", points=18)
    assert (band.places[0], band.places[-1]) == (1200, 2900)
    at_1200 = [0.1 + 0.9 * 0.2, 0.2 + 0.6 * 0.1, 0.3]
    assert band.mean[0] == pytest.approx(np.mean(at_1200))
    low, high = stats.t.interval(0.95, 2, np.mean(at_1200), stats.sem(at_1200))
    assert (band.low[0], band.high[0]) == pytest.approx((low, high), abs=1e-3)
    assert np.all((band.low >= 0.0) & (band.high <= 1.0))


def test_how_soon_is_the_mean_under_the_learning_curve(results):
    td3 = summary.groups(results, experiment("route-0"))[0]
    areas = [0.55 * 1000 + 0.95 * 1000, 0.5 * 1000 + 0.9 * 1000, 0.45 * 1000 + 0.7 * 700]
    means = np.divide(areas, [2000, 2000, 1700])
    found = td3.learning("route_completion")
    assert (found.mean, found.n) == (pytest.approx(means.mean()), 3)
    assert found.low == pytest.approx(stats.t.interval(0.95, 2, means.mean(), stats.sem(means))[0], abs=1e-3)
    one = {**td3.rows[0], "curve": td3.rows[0]["curve"][:1]}
    assert summary.Group("td3", (one,)).learning("route_completion").mean == pytest.approx(0.1)


def test_the_first_all_successful_evaluation_is_told_for_each_seed(results):
    found = [r["training"]["first_all_successful"] for r in summary.groups(results, experiment("route-0"))[0].rows]
    assert found[0] == {"env_steps": 2000, "wall_minutes": 200.0}
    assert found[2] is None
    text = tables.section(results, experiment("route-0"))
    assert "| td3 | 0, 1, 2 | 3,000" in text
    assert "| successful episodes | 4, 3, 1 of 4 | 2 of 4 | 0 of 4 |" in text
    assert "| 2 of 3 | 2,000, 3,100, never | 200, 310, never | 66.8 (" in text
    assert "| left | 4, 3, 1 of 4 | 2 of 4 | 0 of 4 |" in text


def test_tables_go_between_the_marks_and_say_nothing_of_what_was_not_run(results):
    page = results / "README.md"
    page.write_text("before\n<!-- tables -->\nold\n<!-- end -->\nafter\n")
    assert main(["table", "--output", str(results)]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- tables -->\n## route-0\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert "## traffic" not in text
    assert "| success, % | 66.7 (0 .. 100) | 50 (15 .. 85) | 0 (0 .. 49) |" in text
    assert main(["table", "--output", str(results)]) == 0
    assert page.read_text() == text
    page.write_text("no marks")
    assert main(["table", "--output", str(results)]) == 2


def test_seeds_that_ran_with_different_settings_are_pointed_out(results):
    path = results / "route-0" / "td3-seed1.json"
    changed = json.loads(path.read_text())
    changed["config"]["agent"]["tau"] = 0.01
    record.write(path, changed)
    assert "different configurations: agent.tau" in tables.section(results, experiment("route-0"))


def test_seeds_that_all_ran_before_a_key_came_do_not_differ_in_it(results):
    of = experiment("route-0")
    assert "different configurations" not in tables.section(results, of)
    for path in (results / "route-0").glob("td3-*.json"):
        saved = json.loads(path.read_text())
        del saved["config"]["agent"]["columns"]
        record.write(path, saved)
    assert "different configurations" not in tables.section(results, of)


def test_figures_show_curves_bars_and_tracks(results):
    cv2 = pytest.importorskip("cv2")
    assert main(["figures", "--output", str(results)]) == 0
    pictures = {path.name: cv2.imread(str(path)) for path in (results / "figures").iterdir()}
    assert set(pictures) == {f"{kind}-route-0.png" for kind in ("curves", "success", "tracks")}
    for name, picture in pictures.items():
        assert picture.std() > 10, name
    blue, green, red = (pictures["tracks-route-0.png"].astype(int)[..., i] for i in range(3))
    assert np.any((green > red + 60) & (green > blue + 60)), "a success is green"
    assert np.any((red > green + 60) & (red > blue + 60)), "a failure is red"


def test_the_levels_of_a_factor_are_drawn_beside_the_base(tmp_path):
    of = experiment("ablations")
    chosen = [v for v in of.variants if v.name in ("base", "n_step=3", "observation=image", "observation=vector")]
    for variant in chosen:
        content = row(of, variant, 0, [1, 0], [(1000, 0.0, 0.1), (2000, 1.0, 1.0)])
        record.write(tmp_path / of.name / f"{variant.name}-seed0.json", content)
    canvas = figures.curves(of, summary.groups(tmp_path, of))
    drawn = {
        axis.get_title(): [label.get_text().partition(" ")[0] for label in axis.get_legend().get_texts()]
        for axis in canvas.axes
        if axis.get_legend()
    }
    assert drawn == {
        "observation": ["base", "observation=image", "observation=vector"],
        "n_step": ["base", "n_step=3"],
    }


def test_the_clock_moves_a_curve_of_the_same_heights(tmp_path):
    of = experiment("precision")
    for variant, seconds in zip(of.variants, (90.0, 60.0), strict=True):
        content = row(of, variant, 0, [1, 0], [(1000, 0.0, 0.1), (2000, 1.0, 1.0)])
        for number, point in enumerate(content["curve"], start=1):
            point["wall_s"] = number * seconds
        record.write(tmp_path / of.name / f"{variant.name}-seed0.json", content)
    steps, clock = (figures.curves(of, summary.groups(tmp_path, of), over).axes[0] for over in ("step", "wall_s"))
    (slow, fast), (one, other) = ([line.get_xydata() for line in axis.lines[::2]] for axis in (clock, steps))
    assert slow[:, 0].tolist() == [90.0, 180.0]
    assert fast[:, 0].tolist() == [60.0, 120.0]
    assert one[:, 0].tolist() == other[:, 0].tolist() == [1000.0, 2000.0]
    assert slow[:, 1].tolist() == one[:, 1].tolist()
    assert (clock.get_xlabel(), steps.get_xlabel()) == ("wall time, s", "environment steps")


def test_bad_requests_are_refused_in_a_sentence(capsys, tmp_path):
    where = ["--output", str(tmp_path), "--runs", str(tmp_path)]
    for arguments, sentence in (
        (["nothing"], "no experiment 'nothing'"),
        (["route-0", "--only", "sac"], "no variant 'sac'"),
        (["route-0", "--config.agent.typo=1"], "agent.typo"),
        (["route-0", "--config.eval_every=0"], "eval_every is 0"),
        (["route-0", "--fast"], "Unknown argument '--fast'"),
        (["route-0", "--episodes", "0"], "at least 1"),
    ):
        assert main(["run", *arguments, *where]) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_progress_says_how_far_and_how_well(results, capsys):
    folder = results / "run"
    folder.mkdir()
    progress = campaign.Progress("[1/1] x", folder, total=1000)
    progress()
    (folder / "episodes.jsonl").write_text('{"step": 100}\n{"step": 250}\n{"st')
    (folder / "evaluations.jsonl").write_text('{"step": 240, "success": 0.4, "route_completion": 0.75}\n')
    progress()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[1/1] x: 0 of 1,000 steps, 0 min"
    assert second.startswith(
        "[1/1] x: 250 of 1,000 steps, 0 min, 0 min left; at 240: success 40%, route completion 75%"
    )


def test_changes_keep_their_types():
    given = ["--config.agent.tau=0.01", "--config.scenario=0", "--config.debug=True", "--config.agent.hidden=(8, 8)"]
    assert changes_of(given) == {"agent.tau": 0.01, "scenario": "0", "debug": True, "agent.hidden": [8, 8]}


def test_a_row_holds_no_place_of_this_machine_and_an_episode_a_line(tmp_path):
    found = record._portable({"host": "127.0.0.1:5", "flags": {"xodr": "/home/me/maps/A.xodr", "delta": 0.05}})
    assert found == {"flags": {"xodr": "A.xodr", "delta": 0.05}}
    of = experiment("route-0")
    content = row(of, of.variants[0], 0, [1, 0], [(1000, 0.0, float("nan"))])
    record.write(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text)["evaluations"] == content["evaluations"]
    assert json.loads(text)["curve"][0]["route_completion"] is None
    assert sum('"track"' in line for line in text.splitlines()) == 2


def command(tmp_path: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "experiments", "run", "route-0", "--only", "random", "td3", "--seeds", "3"),
        *("--episodes", "1", "--output", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")),
        *(f"--config.{key}={value}" for key, value in TINY.items()),
    ]


@pytest.fixture
def interrupted(tmp_path) -> tuple[str, str, int]:
    """What a campaign said that was told to stop within its training, and its exit code."""
    run = tmp_path / "runs" / "route-0" / "td3-seed3"
    with started(command(tmp_path)) as process:
        until(lambda: record.last_line(run / "evaluations.jsonl") and campaign._checkpoints(run), process)
        process.terminate()
        said, told = process.communicate(timeout=100)
    return said, told, process.returncode


def test_a_campaign_that_is_cut_off_goes_on_where_it_was(tmp_path, interrupted, capsys):
    """Through the real commands: a training, its evaluation, a baseline, the tables and the figures of them."""
    said, told, code = interrupted
    run, folder = tmp_path / "runs" / "route-0" / "td3-seed3", tmp_path / "results" / "route-0"
    assert code == 128 + signal.SIGTERM, said + told
    assert "the same command goes on" in told
    assert [path.name for path in folder.iterdir()] == ["random.json"], "half a row is no row"
    reached = campaign._checkpoints(run)[-1]
    assert reached < TINY["total_steps"]

    second = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "route-0/random: done already" in second.stdout
    assert f"training, from step {reached}" in second.stdout
    made = json.loads((folder / "td3-seed3.json").read_text())
    assert made["training"]["env_steps"] == TINY["total_steps"]
    assert made["training"]["updates"] == 19  # the last step's comes after it
    assert len(made["training"]["launches"]) == 2
    assert made["config"]["seed"] == 3
    assert made["training"]["simulator"]["simulator"].startswith("minicarla")
    steps, walls = ([point[key] for point in made["curve"]] for key in ("step", "wall_s"))
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert all(a < b for a, b in itertools.pairwise(walls))
    (driven,) = made["evaluations"].values()
    assert driven["step"] == TINY["total_steps"]
    assert len(driven["episodes"]) == 1
    x, y = driven["episodes"][0]["track"][0]
    noise = StartNoise()  # the route leads west
    assert 317.74 - noise.along_m - 0.1 <= x <= 317.74 + 0.1
    assert y == pytest.approx(129.49, abs=noise.lateral_m + 0.1)
    assert not re.search(r'"(/|~)|127\.0\.0\.1', (folder / "td3-seed3.json").read_text())
    assert not list((run / "checkpoints").rglob("replay*"))

    (chance,) = json.loads((folder / "random.json").read_text())["evaluations"].values()
    assert chance["episodes"][0]["seed"] == driven["episodes"][0]["seed"], "all policies drive the same episodes"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(command(tmp_path)[3:]) == 0
    assert capsys.readouterr().out.count("done already") == 2
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before

    output = ["--output", str(tmp_path / "results")]
    assert main(["figures", *output]) == 0
    assert main(["table", *output]) == 0
    assert "![route-0: tracks](figures/tracks-route-0.png)" in (tmp_path / "results" / "README.md").read_text()
