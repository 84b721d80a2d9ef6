"""A sweep through the real command: Ray Tune draws, trains and stops; and what is wrong with a file is said."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avtd3_jax.errors import ConfigError, InputError
from experiments import sweep
from experiments.sweep import read

ROOT = Path(__file__).parents[2]
PATIENCE_S = 280
FILE = """
name = "noise"
question = "How much noise?"
config = "gym"
trials = 2
metric = "return"
grace_steps = 100
reduction = 2

[changes]
total_steps = 400
exploration_steps = 100
eval_every = 100
eval_episodes = 1
batch_size = 16
"agent.hidden" = [8]

[space]
"exploration.policy_noise" = { uniform = [0.05, 0.5] }
"replay.n_step" = { choice = [1, 3] }
"""


def written(folder, text=FILE):
    path = folder / "noise.toml"
    path.write_text(text)
    return path


def test_trials_are_drawn_trained_and_leave_rows_though_the_command_is_killed(tmp_path):
    pytest.importorskip("ray.tune")
    where = ["--output", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--row-cpus", "1"]
    command = [sys.executable, "-m", "experiments", "sweep", str(written(tmp_path)), *where]
    begun, deadline = tmp_path / "runs" / "sweeps" / "noise", time.monotonic() + PATIENCE_S
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        while not list(begun.glob("*/config.json")):
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        killed.kill()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(begun.glob("*/config.json"))) == 2, "the same trials go on"
    rows = [json.loads(path.read_text()) for path in (tmp_path / "results" / "noise").glob("*.json")]
    assert len(rows) == 2
    for row in rows:
        assert 0.05 <= row["changes"]["exploration.policy_noise"] <= 0.5
        assert row["config"]["replay"]["n_step"] == row["changes"]["replay.n_step"]
        assert row["training"]["env_steps"] == row["curve"][-1]["step"]
    assert max(row["training"]["env_steps"] for row in rows) == 400
    assert len({row["changes"]["exploration.policy_noise"] for row in rows}) == 2
    assert f"{rows[0]['variant']}  " in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "error", "sentence"),
    [
        ("trials = 2", "trials = 0", ConfigError, "sweep.trials is 0: it must be at least 1."),
        ("trials = 2", "trails = 3", ConfigError, "sweep.trails is no key"),
        ("uniform = [0.05, 0.5]", "uniform = [0.05]", InputError, "give log or uniform of two numbers"),
        ("uniform = [0.05, 0.5]", "uniform = [-1.0, 0.5]", ConfigError, "policy_noise is -1.0: it must not be neg"),
        ('"replay.n_step"', '"replay.n_steps"', ConfigError, "n_steps"),
        ("[space]", "[", InputError, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_work_starts(tmp_path, old, new, error, sentence):
    with pytest.raises(error) as refused:
        read(written(tmp_path, FILE.replace(old, new)), tmp_path, 1.0, 0.0)
    assert sentence in str(refused.value)


def test_the_file_that_its_page_describes_and_the_one_beside_it_are_sweeps(tmp_path):
    text = (sweep.__doc__ or "").partition("TOML:\n")[2].partition("ASHA is")[0]
    for path in (written(tmp_path, text), ROOT / "experiments" / "rates.toml"):
        assert read(path, tmp_path, 1.0, 0.0).space
