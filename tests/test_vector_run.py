"""A run that sees no picture, through its commands; its actor is pushed to the edge, and the run says so."""

import json
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_train import command, final_parameters, run

OVERRIDES = {
    "total_steps": 160,
    "exploration_steps": 100,
    "env.observation": "vector",
    "agent.actor_lr": 1.0,
    "replay.n_step": 3,
    "warn_window": 20,
    "debug": True,
    "debug_every": 40,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("vector") / "run"
    done = run(command(workdir, **OVERRIDES))
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_no_picture_is_seen_stored_or_learned_from(trained):
    workdir, done = trained
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line)
    assert lines["observes"] == "vector"
    assert lines["encoder"].startswith("none")
    assert lines["parameters"].startswith("encoder 0 ")
    assert lines["replay"].startswith("2,000 transitions, 0.00 GB")
    parameters = final_parameters(workdir)
    assert parameters
    assert all(np.isfinite(array).all() for array in parameters.values())
    assert not EventAccumulator(str(workdir / "tensorboard")).Reload().Tags()["images"]


def test_a_saturated_policy_is_reported_once_with_what_to_do(trained):
    workdir, done = trained
    (line,) = [line for line in done.stderr.splitlines() if "The policy is saturated" in line]
    assert "warning: " in line
    assert "agent.actor_lr" in line
    events = EventAccumulator(str(workdir / "tensorboard")).Reload()
    levels = {name: events.Scalars(f"monitor/mean_abs_{name}")[-1].value for name in ("steer", "accel")}
    assert max(levels.values()) > 0.95
    assert {"monitor/parked_share", "monitor/q_gap_of_return_range"} <= set(events.Tags()["scalars"])


def test_it_resumes_and_evaluates_with_a_video(trained, tmp_path):
    workdir, _ = trained
    done = run(command(workdir, "--resume", **{**OVERRIDES, "total_steps": 170}))
    assert done.returncode == 0, done.stderr
    assert "step 160 of 170" in done.stdout
    video = tmp_path / "drive.mp4"
    done = run(
        [
            *(sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(workdir), "--episodes", "1"),
            *("--video", str(video)),
        ]
    )
    assert done.returncode == 0, done.stderr
    (path,) = [path for path in (workdir / "evaluations").glob("*.json") if "0000170" in path.name]
    assert len(json.loads(path.read_text())["episodes"]) == 1
    import av

    with av.open(str(video)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert frame[:, :768].std() > 20  # the camera's half of it
