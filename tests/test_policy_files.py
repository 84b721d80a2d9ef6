"""A policy as two small files: what comes with the package, what export writes, and the drive that shows it."""

import argparse
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avtd3_jax import drive, evaluate, explain, export
from avtd3_jax.agent.registry import make_agent
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import CheckpointError
from avtd3_jax.evaluation.opening import restored
from avtd3_jax.policies.files import DRIVER, is_policy, named_policy, read_policy, write_policy
from avtd3_jax.settings.run_config import file_values, parse, parse_saved
from envloop.make import spaces_of

ROUTE = "92.4,120 -> 92.4,90"


def agent_of(run):
    observations, actions = spaces_of(run.env)
    return make_agent("td3", ObsSpec.from_space(observations), ActionSpec.from_space(actions), run.agent)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A fresh policy's run, and the folder that export makes of it."""
    workdir, run = tmp_path_factory.mktemp("run"), parse({"env": {"route": ROUTE}})
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(7, agent_of(run).init(0), extras={"config": file_values(run)})
    folder = workdir / "policy"
    assert export.main(["--checkpoint", str(workdir), "--out", str(folder)]) == 0
    return workdir, folder


def test_what_is_exported_acts_as_the_checkpoint_does(exported, capsys):
    workdir, folder = exported
    stored = read_policy(folder)
    run = parse_saved(stored.config)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        theirs = restored(run, checkpoints, None)
    ours = restored(run, stored, None)
    assert ours.step == theirs.step == 7
    assert set(ours.params) == {"encoder", "actor"}
    rng = np.random.default_rng(0)
    seen = {"image": rng.integers(0, 256, (4, 84, 84), np.uint8), "vector": rng.random(23, np.float32)}
    np.testing.assert_array_equal(ours.act(seen), theirs.act(seen))
    assert export.main(["--checkpoint", str(workdir), "--out", str(folder)]) == 1
    assert "holds a policy already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["policy.json", "parameters.safetensors"])
def test_a_changed_byte_is_seen(exported, tmp_path, name):
    for file in ("policy.json", "parameters.safetensors"):
        data = bytearray((exported[1] / file).read_bytes())
        if file == name:
            data[len(data) // 2] ^= 1
        (tmp_path / file).write_bytes(data)
    with pytest.raises(CheckpointError, match="has changed"):
        read_policy(tmp_path)


def test_another_architecture_is_refused(exported, tmp_path):
    stored = read_policy(exported[1])
    run = parse_saved(stored.config)
    params = {"encoder": {}, "actor": {"mlp": {"kernel": np.zeros((2, 2), np.float32)}}}
    write_policy(tmp_path, params, 7, stored.config)
    with pytest.raises(CheckpointError, match="another architecture"):
        restored(run, read_policy(tmp_path), None)


def test_a_drive_leaves_video_map_and_table(exported, tmp_path, capsys):
    _, folder = exported
    arguments = ["--checkpoint", str(folder), "--route", ROUTE, "--scenario", "empty", "--seed", "3"]
    assert drive.main([*arguments, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "driving_score" in said
    (result,) = tmp_path.glob("*.json")
    (episode,) = json.loads(result.read_text())["episodes"]
    assert f"ended by: {episode['reason']}" in said
    with av.open(str(result.with_suffix(".mp4"))) as video:
        assert sum(1 for _ in video.decode(video=0)) == episode["length"]
    assert cv2.imread(str(result.with_suffix(".png"))).std() > 1.0


def test_what_a_policys_folder_cannot_do_is_said(exported, tmp_path, capsys):
    _, folder = exported
    assert evaluate.main(["--checkpoint", str(folder), "--step", "3", "--workdir", str(tmp_path)]) == 1
    assert "holds one policy and no run" in capsys.readouterr().err
    assert explain.main(["--checkpoint", str(folder), "--out", str(tmp_path)]) == 1
    assert "without its critics" in capsys.readouterr().err


def test_the_driver_in_the_box_goes_by_its_name_and_keeps_no_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_policy(DRIVER.name) == DRIVER
    assert named_policy("runs/mine") == Path("runs/mine")
    asked = argparse.Namespace(episodes=1, policy="network", video=None, workdir=None, checkpoint=DRIVER)
    assert evaluate._checked(asked) == Path("runs") / DRIVER.name
    (tmp_path / DRIVER.name).mkdir()
    assert named_policy(DRIVER.name) == Path(DRIVER.name), "a run of that name is the user's own"


def test_the_driver_in_the_box_is_small_has_a_card_and_acts():
    assert is_policy(DRIVER)
    assert sum(file.stat().st_size for file in DRIVER.iterdir()) < 5e6
    stored = read_policy(DRIVER)
    network = restored(parse_saved(stored.config), stored, None)
    action = network.act({"image": np.zeros((4, 84, 84), np.uint8), "vector": np.zeros(network.agent.obs_spec.vector)})
    assert np.isfinite(action).all()
    card = (DRIVER / "README.md").read_text()
    assert f"{stored.step:,} steps" in card
    for section in ("What it can do", "What it cannot do", "How it was trained"):
        assert section in card
