"""A run of before some keys existed is evaluated, explained and resumed, through the real commands."""

import json
import subprocess
import sys

import pytest
from test_train import ROOT, command, run

from avtd3_jax.checkpoints import array_files

# class, field, key, value of before: at three depths. The time limit shows in what is driven.
NEW = [
    ("avtd3_jax.settings.schema:ScheduleConfig", "overlap", "overlap", False),
    ("envloop.config:EnvConfig", "settle_ticks", "env.settle_ticks", 8),
    ("envloop.task.termination:TerminationConfig", "min_time_limit_s", "env.termination.min_time_limit_s", 3.0),
]
DECLARING = f"""
import importlib, sys
for where, field, _, before in {NEW!r}:
    module, cls = where.split(":")
    getattr(importlib.import_module(module), cls).__dataclass_fields__[field].metadata = {{"before": before}}
name, *arguments = sys.argv[1:]
sys.argv = [name, *arguments]
sys.exit(importlib.import_module(f"avtd3_jax.{{name}}").main())
"""


def as_of_later(arguments: list[str]) -> subprocess.CompletedProcess:
    """A command of a version that declares the new keys."""
    _, _, module, *rest = arguments
    return run([sys.executable, "-c", DECLARING, module.removeprefix("avtd3_jax."), *rest])


@pytest.fixture(scope="module")
def old_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("old") / "run"
    done = run(command(workdir, total_steps=210))
    assert done.returncode == 0, done.stderr
    index = workdir / "checkpoints" / "210" / "checkpoint.json"
    content = array_files.read_sealed_json(index)
    saved = json.loads((workdir / "config.json").read_text())
    for config in (content["extras"]["config"], saved):
        for *_, name, _ in NEW:
            *path, last = name.split(".")
            inner = config
            for part in path:
                inner = inner[part]
            del inner[last]
    array_files.write_sealed_json(index, content)
    (workdir / "config.json").write_text(json.dumps(saved))
    return workdir


def test_it_is_refused_where_the_value_of_before_is_unknown(old_run):
    for arguments in (
        [sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(old_run), "--episodes", "1"],
        [sys.executable, "-m", "avtd3_jax.explain", "--checkpoint", str(old_run)],
        command(old_run, "--resume", total_steps=220),
    ):
        done = run(arguments)
        assert done.returncode == 1
        (line,) = done.stderr.strip().splitlines()
        assert "config.overlap is missing in the saved configuration" in line
        assert 'declare that with metadata={"before": VALUE}' in line


def test_it_goes_on_with_the_values_of_before(old_run, tmp_path):
    evaluate = [sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(old_run), "--episodes", "1"]
    done = as_of_later([*evaluate, "--workdir", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "evaluations").glob("*.json")
    assert [episode["time_limit_s"] for episode in json.loads(report.read_text())["episodes"]] == [3.0]
    explain = [
        sys.executable,
        "-m",
        "avtd3_jax.explain",
        "--checkpoint",
        str(old_run),
        "--out",
        str(tmp_path / "looked"),
    ]
    done = as_of_later(explain)
    assert done.returncode == 0, done.stderr
    other = as_of_later(command(old_run, "--resume", total_steps=220))
    assert other.returncode == 1
    assert "config.env.termination.min_time_limit_s (was 3.0, now 50.0) differ" in other.stderr
    same = {"env.termination.min_time_limit_s": 3.0}
    done = as_of_later(command(old_run, "--resume", total_steps=220, **same))
    assert done.returncode == 0, done.stderr
    assert "step 210 of 220" in done.stdout


def test_the_command_reads_a_runs_own_configuration_and_one_value_of_several(old_run, tmp_path):
    assert (ROOT / "configs").is_dir()
    arguments = command(tmp_path / "again", "--config.exploration.std[0]=0.3", total_steps=30, exploration_steps=40)
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    config = tmp_path / "again" / "config.json"
    assert json.loads(config.read_text())["exploration"]["std"] == [0.3, 0.4]
    again = [word if word != "configs/town01.py" else str(config) for word in command(tmp_path / "third", seed=1)]
    done = run([*again, "--config.total_steps=30", "--config.exploration_steps=40"])
    assert done.returncode == 0, done.stderr
    third = json.loads((tmp_path / "third" / "config.json").read_text())
    assert third["exploration"]["std"] == [0.3, 0.4]
