"""Any of Gymnasium's environments trains from the command line: evaluated, resumed, logged and filmed like driving."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from orbax.checkpoint import StandardCheckpointer
from test_train import ROOT, run

from avtd3_jax import evaluate, explain


def command(workdir, *options, **config):
    return [
        *(sys.executable, "-m", "avtd3_jax.train", "--config", "configs/gym.py", "--workdir", str(workdir)),
        *options,
        *(f"--config.{key}={value}" for key, value in config.items()),
    ]


def test_pendulum_learns_is_evaluated_and_resumed(tmp_path):
    workdir = tmp_path / "pendulum"
    small = {"exploration_steps": 600, "batch_size": 64, "agent.hidden": "(64,64)"}
    done = run(command(workdir, total_steps=3000, eval_every=1200, eval_episodes=4, **small))
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line)
    assert lines["task"] == "Pendulum-v1"
    assert lines["observes"] == "vector"
    curve = [json.loads(line) for line in (workdir / "evaluations.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [1200, 2400, 3000]
    assert curve[-1]["return"] > curve[0]["return"] + 200.0, "it learns"
    episodes = [json.loads(line) for line in (workdir / "episodes.jsonl").read_text().splitlines()]
    assert [episode["length"] for episode in episodes] == [200] * 15
    assert list((workdir / "tensorboard").iterdir())

    done = run(command(workdir, "--resume", total_steps=3200, eval_every=1200, eval_episodes=4, **small))
    assert done.returncode == 0, done.stderr
    assert "3200 steps, 2599 updates" in done.stdout

    evaluated = ["--checkpoint", str(workdir), "--episodes", "3"]
    done = run([sys.executable, "-m", "avtd3_jax.evaluate", *evaluated, "--video", str(tmp_path / "swing.mp4")])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "swing.mp4").stat().st_size > 10_000
    (path,) = (workdir / "evaluations").glob("step-0003200*")
    result = json.loads(path.read_text())
    returns = [episode["return"] for episode in result["episodes"]]
    assert result["summary"]["return"]["mean"] == pytest.approx(sum(returns) / 3)

    assert evaluate.main([*evaluated, "--policy", "random"]) == 0
    (path,) = (workdir / "evaluations").glob("random*")
    # Three episodes do not tell what 3,000 steps have learned from chance; the curve above does.
    chance = json.loads(path.read_text())["summary"]["return"]
    assert chance["n"] == 3
    assert chance["mean"] != result["summary"]["return"]["mean"]


SHORT = {"total_steps": 240, "exploration_steps": 200, "eval_every": 0, "seed": 3, "agent.hidden": "(16,16)"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("gym") / "one"
    done = run(command(workdir, **SHORT))
    assert done.returncode == 0, done.stderr
    return workdir


def test_one_seed_is_one_run(trained, tmp_path):
    done = run(command(tmp_path / "two", **SHORT))
    assert done.returncode == 0, done.stderr
    params = [
        StandardCheckpointer().restore(path / "checkpoints" / "240" / "params") for path in (trained, tmp_path / "two")
    ]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_pictures_are_learned_from_and_filmed(tmp_path):
    pytest.importorskip("Box2D")
    workdir = tmp_path / "race"
    done = run(
        command(
            workdir,
            **{"env.id": "CarRacing-v3", "total_steps": 60, "exploration_steps": 40, "eval_every": 0, "batch_size": 8},
        )
    )
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line)
    assert lines["observes"] == "image"
    assert "60 steps, 19 updates" in done.stdout


def test_two_environments_in_processes(tmp_path):
    workdir = tmp_path / "two"
    done = run(command(workdir, **{**SHORT, "total_steps": 1600, "eval_every": 800, "eval_episodes": 1, "num_envs": 2}))
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (workdir / "episodes.jsonl").read_text().splitlines()]
    assert {record["environment"] for record in records} == {0, 1}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"env.id": "Nothing-v0"}, "env.id 'Nothing-v0' cannot be made"),
        ({"env.id": "CartPole-v1"}, "env.id 'CartPole-v1' acts in Discrete(2): TD3 needs a Box of one dimension"),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(tmp_path, config, sentence):
    done = subprocess.run(command(tmp_path / "run", **config), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr


def test_a_driving_option_is_refused_for_another_task(trained, capsys):
    assert evaluate.main(["--checkpoint", str(trained), "--scenario", "0"]) == 1
    refused = "--scenario: the run's environment is Gymnasium's Pendulum-v1, which has no such setting"
    assert refused in capsys.readouterr().err
    assert explain.main(["--checkpoint", str(trained)]) == 1
    assert "explain shows drives in CARLA and minicarla" in capsys.readouterr().err
