"""A run of before some keys existed is evaluated, explained and resumed, through the real commands."""

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from test_train import ROOT, command, run

from avtd3_jax import evaluate, explain
from avtd3_jax.checkpoints import array_files

# class, field, key, value of before: at three depths. The time limit shows in what is driven.
NEW = [
    ("avtd3_jax.settings.schema:ScheduleConfig", "overlap", "overlap", False),
    ("envloop.config:EnvConfig", "settle_ticks", "env.settle_ticks", 8),
    ("envloop.task.termination:TerminationConfig", "min_time_limit_s", "env.termination.min_time_limit_s", 3.0),
]
DECLARING = """
from avtd3_jax import train
from test_old_runs import declared
for field, before in declared():
    field.metadata = before
train.main()
"""


def declared() -> Iterator[tuple[dataclasses.Field, dict[str, object]]]:
    """What a version that declares the new keys says of each."""
    for where, field, _, before in NEW:
        module, cls = where.split(":")
        yield getattr(importlib.import_module(module), cls).__dataclass_fields__[field], {"before": before}


def as_of_later(training: list[str]) -> subprocess.CompletedProcess:
    """The command of such a version."""
    _, _, _, *options = training
    return run(["env", f"PYTHONPATH={ROOT}:{ROOT / 'tests'}", sys.executable, "-c", DECLARING, *options])


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


def test_it_is_refused_where_the_value_of_before_is_unknown(old_run, capsys):
    done = run(command(old_run, "--resume", total_steps=220))
    assert done.returncode == 1
    said = [done.stderr]
    for main in (evaluate.main, explain.main):
        assert main(["--checkpoint", str(old_run)]) == 1
        said.append(capsys.readouterr().err)
    for words in said:
        (line,) = words.strip().splitlines()
        assert "config.overlap is missing in the saved configuration" in line
        assert 'declare that with metadata={"before": VALUE}' in line


def test_it_goes_on_with_the_values_of_before(old_run, tmp_path, monkeypatch):
    for field, before in declared():
        monkeypatch.setattr(field, "metadata", before)
    assert evaluate.main(["--checkpoint", str(old_run), "--episodes", "1", "--workdir", str(tmp_path)]) == 0
    (report,) = (tmp_path / "evaluations").glob("*.json")
    assert [episode["time_limit_s"] for episode in json.loads(report.read_text())["episodes"]] == [3.0]
    assert explain.main(["--checkpoint", str(old_run), "--out", str(tmp_path / "looked")]) == 0
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
