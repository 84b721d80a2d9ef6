"""A campaign on Ray: rows of a lost worker are made by another, and no run is two campaigns' at once."""

import contextlib
import fcntl
import json
import signal
import subprocess
import sys

import psutil
import pytest
from processes import started, until

from experiments.__main__ import main
from experiments.campaign import Campaign
from experiments.experiments import experiment
from experiments.processes import Processes, Stopped
from experiments.rows import rows

PATIENCE_S = 250


def evaluations_of(folder):
    """Evaluations under way whose files lie in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(folder) in words and "avtd3_jax.evaluate" in words:
            found.append(process)
    return found


def makers_of(folder):
    """Ray's workers whose evaluations are under way."""
    found = []
    for process in evaluations_of(folder):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            found += [parent for parent in process.parents() if parent.name() == "ray::make_row"]
    return found


def test_rows_of_a_killed_worker_are_made_by_another(tmp_path):
    pytest.importorskip("ray")
    where = ["--output", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--episodes", "1"]
    command = [sys.executable, "-m", "experiments", "run", "route-0", "--only", "random", "pid", *where]
    command += ["--ray", "local", "--row-cpus", "1"]
    with started(command, stderr=subprocess.STDOUT) as process:
        (killed,) = until(lambda: makers_of(tmp_path)[:1], process)
        killed.kill()
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "2 rows on Ray at" in said
    assert "[2/2]" in said
    for name in ("random", "pid"):
        (driven,) = json.loads((tmp_path / "results" / "route-0" / f"{name}.json").read_text())["evaluations"].values()
        assert len(driven["episodes"]) == 1
    assert not evaluations_of(tmp_path)


def test_a_run_that_another_campaign_holds_is_waited_for(tmp_path, capsys, monkeypatch):
    (wanted,) = rows(experiment("route-0"), only=["random"])
    made = Campaign(tmp_path / "results", tmp_path / "runs")
    lock = tmp_path / "runs" / "route-0" / "random.lock"
    lock.parent.mkdir(parents=True)
    looks = []

    def check(processes):
        looks.append(processes)
        if len(looks) == 3:
            raise Stopped(signal.SIGINT)

    monkeypatch.setattr(Processes, "check", check)
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Stopped):
            made.run([wanted])
    assert capsys.readouterr().out.count("another campaign is at it: waits") == 1


def test_what_a_row_cannot_ask_for_is_refused(capsys):
    assert main(["run", "route-0", "--ray", "local", "--row-cpus", "-1"]) == 2
    assert capsys.readouterr().err == "experiments: --row-cpus is -1.0: it must not be negative.\n"
