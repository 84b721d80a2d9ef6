"""Runs with several environments, with a profile, and what their configuration refuses."""

import gzip
import json
import re
import signal

import psutil
import pytest
from processes import PATIENCE_S, started, until
from test_train import ROOT, command, episodes_in, run

from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.config_file import load
from avtd3_jax.settings.migration import put
from avtd3_jax.settings.run_config import changed_keys, file_values, parse


def config(**changes):
    values = file_values(load(ROOT / "configs" / "town01.py"))
    for name, value in changes.items():
        put(values, name, value)
    return values


def test_two_environments_learn_evaluate_resume_and_leave_a_trace(tmp_path):
    workdir = tmp_path / "two"
    several = {"num_envs": 2, "eval_every": 300, "seed": 5, "exploration_steps": 500}
    done = run(command(workdir, profile=True, total_steps=560, **several))
    assert done.returncode == 0, done.stderr
    assert re.search(r"560 steps, 5\d updates", done.stdout)
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line)
    assert lines["simulator"].count("127.0.0.1:") == 2
    check_trace(workdir, done.stdout + done.stderr)
    records = [json.loads(line) for line in (workdir / "episodes.jsonl").read_text().splitlines()]
    assert {record["environment"] for record in records} == {0, 1}
    assert len({record["episode"] for record in records}) == len(records)
    for record in records:
        assert record["return"] == pytest.approx(sum(record["reward_terms"].values()))
    assert list((workdir / "evaluations").iterdir())

    other = run(command(workdir, "--resume", total_steps=560, **{**several, "num_envs": 1}))
    assert other.returncode == 1
    assert "config.num_envs" in other.stderr
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        before = checkpoints.extras()["counters"]
    assert before["episode"] > max(record["episode"] for record in records)
    done = run(command(workdir, "--resume", total_steps=600, **several))
    assert done.returncode == 0, done.stderr
    assert re.search(r"600 steps, 9\d updates", done.stdout)
    after = [json.loads(line)["episode"] for line in (workdir / "episodes.jsonl").read_text().splitlines()]
    assert len(set(after)) == len(after), "a resumed run goes on with new episodes"


def check_trace(workdir, said):
    (path,) = workdir.rglob("perfetto_trace.json.gz")
    assert str(path) in said
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    names = {event.get("name") for event in events}
    assert {"act", "sample", "dispatch_update", "env_wait", "replay_add"} <= names


def test_a_signal_ends_several_environments_in_order(tmp_path):
    workdir = tmp_path / "endless"
    with started(command(workdir, total_steps=100_000, exploration_steps=100_000 - 1, num_envs=2)) as process:
        until(lambda: episodes_in(workdir) >= 2, process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 4
        workers = [child for child in children if "envloop.workers.worker" in child.cmdline()]
        workers[0].kill()
        driven = episodes_in(workdir)
        until(lambda: episodes_in(workdir) >= driven + 4, process)
        children += psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 128 + signal.SIGTERM
        assert "is lost and started again, the others go on" in stderr
        assert "Traceback" not in stderr
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.extras()["counters"]["step"] > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_envs": 0}, "num_envs is 0: it must be at least 1"),
        ({"num_envs": 2, "sim.endpoint": "127.0.0.1:2000"}, "num_envs is 2 and config.sim.endpoint names 1 simulators"),
        ({"sim.endpoint": "127.0.0.1:2000,127.0.0.1:2004"}, "num_envs is 1 and config.sim.endpoint names 2"),
        ({"num_envs": 2, "sim.endpoint": "127.0.0.1:2000,127.0.0.1:2000"}, "names a simulator twice"),
        ({"num_envs": 2, "sim.endpoint": "127.0.0.1:2000,nowhere"}, "is 'nowhere'; write"),
    ],
)
def test_simulators_that_do_not_fit_the_environments_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse(config(**changes))


def test_every_environment_has_its_endpoint():
    run_config = parse(config(**{"num_envs": 2, "sim.endpoint": "127.0.0.1:2000,127.0.0.1:2004"}))
    assert [env.simulator.endpoint for env in run_config.environments()] == ["127.0.0.1:2000", "127.0.0.1:2004"]
    assert [env.simulator.endpoint for env in parse(config(num_envs=3)).environments()] == ["embedded"] * 3


def test_a_resumed_run_keeps_its_number_of_environments_and_may_be_traced():
    assert changed_keys(config(), config(profile=True)) == {}
    assert changed_keys(config(), config(num_envs=2)) == {"num_envs": (1, 2)}
