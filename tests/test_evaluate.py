"""The evaluation command with policies that need no training."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from avtd3_jax.evaluate import main
from avtd3_jax.evaluation.episodes import evaluate
from avtd3_jax.evaluation.report import NETWORK, report, table
from avtd3_jax.seeding import RunStream, episode_seed
from envloop.baselines.policies import follower
from envloop.config import EnvConfig, SimulatorConfig
from envloop.env import CarlaEnv
from envloop.suites import SuiteTown, load_suite

ROOT = Path(__file__).parents[1]
# Every metric that the task names.
METRICS = {
    *("success", "nocrash_success", "route_completion", "collisions_per_km", "vehicle_collisions_per_km"),
    *("static_collisions_per_km", "pedestrian_collisions_per_km", "lane_invasions_per_km", "off_road"),
    *("mean_speed_kmh", "mean_jerk", "mean_lateral_accel", "mean_lateral_error_m", "mean_heading_error_deg"),
    *("driving_score", "driving_score_21"),
}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """The command in this process: its exit code and what it says on standard output and standard error."""
    monkeypatch.chdir(ROOT)

    def run(*extra: str) -> tuple[int, str, str]:
        code = main(["--config", "configs/town01.py", "--workdir", str(tmp_path), *extra])
        return code, *capsys.readouterr()

    return run


def test_scripted_policies_drive_the_same_episodes(command, tmp_path):
    results = {}
    for policy in ("follower", "random"):
        route = ("--route", "92.4,120 -> 92.4,60", "--scenario", "0")
        code, said, errors = command("--policy", policy, "--episodes", "3", *route)
        assert code == 0, errors
        (path,) = (tmp_path / "evaluations").glob(f"{policy}_*.json")
        assert f"written to {path}" in said
        results[policy] = json.loads(path.read_text())
    assert results["follower"]["policy"] == "follower"
    assert (results["follower"]["run"], results["follower"]["step"]) == (None, None)
    for result in results.values():
        assert result["summary"].keys() >= METRICS
        assert result["seed"] == 42
        assert [e["seed"] for e in result["episodes"]] == [episode_seed(42, RunStream.EVALUATION, i) for i in range(3)]
        assert result["routes"][0]["episodes"] == 3
    assert results["follower"]["summary"]["route_completion"]["mean"] > 0.9
    assert results["random"]["summary"]["route_completion"]["mean"] < 0.9
    assert results["follower"]["summary"]["success"]["n"] == 3
    assert len({tuple(e["track"][0]) for e in results["follower"]["episodes"]}) == 3  # start noise: no two the same


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        (["--policy", "network"], "--checkpoint"),
        (["--policy", "follower", "--episodes", "0"], "--episodes"),
        (["--policy", "follower", "--route", "grid-nav/3"], "Grid01"),
    ],
)
def test_what_cannot_be_driven_is_refused(command, extra, names):
    code, _, errors = command(*extra)
    assert code == 1
    assert errors.startswith("evaluate: ")
    assert names in errors


def test_a_directory_that_takes_no_result_is_refused_before_anything_is_driven(command, tmp_path):
    (tmp_path / "evaluations").write_text("a file where the folder of the results belongs")
    code, said, errors = command("--policy", "follower", "--episodes", "1000")
    assert code == 1
    assert errors.startswith(f"evaluate: {tmp_path / 'evaluations'} cannot be written (File exists): ")
    assert "policy" in said
    assert len(errors.splitlines()) == 1, "no progress: nothing was driven"


def test_the_table_is_printed_even_where_the_file_cannot_be_written(command, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("avtd3_jax.evaluate.write_json", full)  # the disk fills while the episodes are driven
    code, said, errors = command("--route", "92.4,120 -> 92.4,90", "--episodes", "1", "--policy", "follower")
    assert code == 1
    assert "route_completion" in said
    assert "No space left on device" in errors


def test_a_suite_is_driven_route_by_route():
    """On the generated town, where no policy was trained."""
    (whole,) = load_suite("grid-nav").towns
    part = SuiteTown(whole.suite, whole.town, whole.routes[:2])
    config = EnvConfig(simulator=SimulatorConfig(town=whole.town), route="grid-nav/0")
    env = CarlaEnv(config)
    try:
        driven = list(evaluate(env, config, follower, 1, 5, part=part))
        identity = env.simulator.identity()
    finally:
        env.close()
    assert identity["map"] == "Grid01"
    assert [episode["route"] for episode in driven] == ["grid-nav/0", "grid-nav/1"]
    assert [episode["success"] for episode in driven] == [1, 1]
    result = report(
        driven, policy=NETWORK, run="some-run", step=7, seed=5, env=config, simulator=identity, suite=part.suite
    )
    assert (result["suite"], result["route"]) == ("grid-nav", None)
    assert [row["kind"] for row in result["routes"]] == ["straight", "straight"]
    assert result["routes"][0]["length_m"] == pytest.approx(part.routes[0].length_m, abs=1.0)
    rows = table(result).splitlines()
    assert rows[1].split()[:5] == ["grid-nav/0", "straight", f"{driven[0]['route_m']:.0f}", "m", "1/1"]
