"""Trainings whose environments live on Ray, through the real command: ended by Ctrl-C, and without Ray's head."""

import re
import signal

import psutil
import pytest
from processes import PATIENCE_S, started, until
from test_gym_run import command
from test_train import episodes_in

from avtd3_jax.report.event_files import read_scalars

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
ENDLESS = {
    "num_envs": 2,
    "total_steps": 1_000_000,
    "exploration_steps": 999_999,
    "fleet.backend": "ray",
    "eval_every": 0,
}
APART = {**ENDLESS, "exploration_steps": 100, "fleet.max_lag_updates": 40, "fleet.environments_per_actor": 2}


def name_of(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:  # what Ray needs for a moment only
        return ""


def test_ctrl_c_ends_the_run_in_order_and_leaves_no_process(tmp_path):
    workdir = tmp_path / "run"
    with started(command(workdir, **APART)) as process:
        header = ""
        while not re.search("^run ", header, re.MULTILINE):
            header += process.stdout.readline() or pytest.fail(process.stderr.read())
        family = psutil.Process(process.pid).children(recursive=True)
        names = [name_of(member) for member in family]
        assert {"raylet", "gcs_server"} <= set(names)
        assert sum(name.startswith("ray::EnvActor") for name in names) == 1
        until(lambda: episodes_in(workdir), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, err
        assert re.search(r"fleet +2 environments on Ray at .* \(1 machine\), .* at most 40 updates old", header)
        logged = read_scalars(workdir / "tensorboard")
        assert 0 < max(logged["fleet/lag_updates_max"].values) <= 40
        assert {"fleet/age_s", "fleet/parameters_age_s", "fleet/environments_busy", "fleet/updates_due"} <= set(logged)
        assert "go on with --resume" in err.splitlines()[-1]
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive


def test_without_rays_head_the_run_is_saved_and_ends_with_a_sentence(tmp_path):
    workdir = tmp_path / "run"
    with started(command(workdir, **ENDLESS)) as process:
        until(lambda: episodes_in(workdir), process)
        family = psutil.Process(process.pid).children(recursive=True)
        (head,) = [member for member in family if name_of(member) == "gcs_server"]
        head.kill()
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1, err
        assert re.fullmatch(
            r"train: Ray's head at \S+ is gone: start it again, then go on with --resume\.", err.splitlines()[-1]
        )
        assert "Traceback" not in err
        assert any(path.name.isdigit() for path in (workdir / "checkpoints").iterdir())
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
