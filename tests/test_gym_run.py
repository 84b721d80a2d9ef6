"""Any of Gymnasium's environments trains from the command line: evaluated, resumed, logged and filmed like driving."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from orbax.checkpoint import StandardCheckpointer
from test_train import ROOT, run


def command(workdir, *options, **config):
    return [
        *(sys.executable, "-m", "avtd3_jax.train", "--config", "configs/gym.py", "--workdir", str(workdir)),
        *options,
        *(f"--config.{key}={value}" for key, value in config.items()),
    ]


def evaluate(*options):
    return run([sys.executable, "-m", "avtd3_jax.evaluate", *map(str, options)])


def test_pendulum_learns_is_evaluated_and_resumed(tmp_path):
    workdir = tmp_path / "pendulum"
    done = run(command(workdir, total_steps=3000, exploration_steps=600, eval_every=1200, eval_episodes=4))
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

    done = run(command(workdir, "--resume", total_steps=3200, exploration_steps=600, eval_every=1200, eval_episodes=4))
    assert done.returncode == 0, done.stderr
    assert "3200 steps, 2599 updates" in done.stdout

    done = evaluate("--checkpoint", workdir, "--episodes", 3, "--video", tmp_path / "swing.mp4")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "swing.mp4").stat().st_size > 10_000
    (path,) = (workdir / "evaluations").glob("step-0003200*")
    result = json.loads(path.read_text())
    returns = [episode["return"] for episode in result["episodes"]]
    assert result["summary"]["return"]["mean"] == pytest.approx(sum(returns) / 3)

    done = evaluate("--checkpoint", workdir, "--policy", "random", "--episodes", 3)
    assert done.returncode == 0, done.stderr
    (path,) = (workdir / "evaluations").glob("random*")
    # Three episodes do not tell what 3,000 steps have learned from chance; the curve above does.
    chance = json.loads(path.read_text())["summary"]["return"]
    assert chance["n"] == 3
    assert chance["mean"] != result["summary"]["return"]["mean"]


def test_one_seed_is_one_run(tmp_path):
    params = []
    for name in ("one", "two"):
        done = run(command(tmp_path / name, total_steps=500, exploration_steps=200, eval_every=0, seed=3))
        assert done.returncode == 0, done.stderr
        params.append(StandardCheckpointer().restore(tmp_path / name / "checkpoints" / "500" / "params"))
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
    done = run(command(workdir, total_steps=900, exploration_steps=300, eval_every=400, eval_episodes=1, num_envs=2))
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


def test_a_driving_option_is_refused_for_another_task(tmp_path):
    workdir = tmp_path / "run"
    assert run(command(workdir, total_steps=210, exploration_steps=200, eval_every=0)).returncode == 0
    done = evaluate("--checkpoint", workdir, "--scenario", "0")
    assert done.returncode == 1
    assert "--scenario: the run's environment is Gymnasium's Pendulum-v1, which has no such setting" in done.stderr
    done = run([sys.executable, "-m", "avtd3_jax.explain", "--checkpoint", str(workdir)])
    assert done.returncode == 1
    assert "explain shows drives in CARLA and minicarla" in done.stderr
