"""The main job through its commands: real processes, a real server, the stock client."""

import contextlib
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from opendrive_maps import street
from processes import PATIENCE_S, ROOT, started, until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.checkpoints.orbax_items import read_item
from avtd3_jax.training.run_directory import held
from envloop.free_ports import free_ports

SMALL = {
    "total_steps": 260,
    "exploration_steps": 200,
    "batch_size": 8,
    "eval_every": 0,
    "eval_episodes": 1,
    "log_every": 20,
    "replay.capacity": 2000,
    "sim.timeout_s": 5.0,
}


def command(workdir: Path, *extra: str, **overrides: object) -> list[str]:
    values = {**SMALL, **{key.replace("__", "."): value for key, value in overrides.items()}}
    config = [f"--config.{key}={value}" for key, value in values.items()]
    return [
        *(sys.executable, "-m", "avtd3_jax.train", "--config", "configs/town01.py", "--workdir", str(workdir)),
        *config,
        *extra,
    ]


def run(arguments: list[str], timeout: float = 200.0) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def final_parameters(workdir: Path) -> dict[str, np.ndarray]:
    """The parameters of the newest checkpoint by path, read without a learner."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.steps()[-1]
    return read_item(workdir / "checkpoints" / str(step) / "params", seals=None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    workdir = tmp_path_factory.mktemp("run with ünicode") / "trained"
    return workdir, run(command(workdir, debug=True, debug_every=20, eval_every=100))


def test_a_run_says_first_what_runs_where(trained):
    _, done = trained
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line)
    assert lines["simulator"].startswith("minicarla")
    assert "127.0.0.1:" in lines["simulator"]
    assert "started here" in lines["simulator"]
    assert "encoder 234,934 (lr 0.001), actor 85,250 (lr 0.001), critic 171,010 (lr 0.001)" in lines["parameters"]
    assert lines["replay"].startswith("2,000 transitions, 0.01 GB")
    assert "cpu" in lines["device"]
    assert "trained" in lines["run"]
    assert "nature" in lines["encoder"]
    assert lines["encoder"].endswith("-bit vectors)"), "the kernels of our own are what a CPU learns with"


def test_a_run_leaves_scalars_of_everything_that_was_promised(trained):
    workdir, _ = trained
    events = EventAccumulator(str(workdir / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    tags = set(events.Tags()["scalars"])
    promised = {
        *(f"reward/{term}" for term in ("efficiency", "lane", "comfort", "safety", "progress")),
        *("episode/return", "episode/success", "episode/route_completion", "episode/mean_speed_kmh"),
        *("learner/loss/critic", "learner/loss/actor", "learner/q/mean", "learner/q/target_mean"),
        *(
            f"learner/{norm}/{group}"
            for norm in ("grad_norm", "param_norm")
            for group in ("encoder", "actor", "critic")
        ),
        *("run/replay_fill", "run/updates_per_s", "run/steps_per_s"),
        *(f"milliseconds/{phase}" for phase in ("act", "env_step", "sample", "dispatch_update", "replay_add")),
        *("evaluation/success", "evaluation/return"),
    }
    assert promised <= tags, promised - tags
    assert all(np.isfinite(point.value) for tag in tags for point in events.Scalars(tag))
    assert events.Tags()["images"] == ["replay/samples"]


def test_every_encoder_parameter_has_a_gradient_and_moves(trained):
    """End to end: the encoder learns too."""
    workdir, done = trained
    events = EventAccumulator(str(workdir / "tensorboard")).Reload()
    for family in ("encoder_gradient_norm", "encoder_weight_change"):
        tags = [tag for tag in events.Tags()["scalars"] if tag.startswith(f"debug/{family}/")]
        assert len(tags) == 10  # kernel and bias of three convolutions and the trunk, scale and bias of its norm
        assert all(events.Scalars(tag)[-1].value > 0.0 for tag in tags)
    similarity = events.Scalars("debug/network/feature_cosine_similarity")
    assert 0.0 < similarity[-1].value < 1.0
    assert events.Scalars("debug/network/q_pi_minus_q_data_abs")[-1].value < 100.0
    assert "encoder_gradient_norm" in done.stdout + done.stderr


def test_the_log_has_one_line_per_episode_and_the_terms_add_up(trained):
    workdir, _ = trained
    episodes = [json.loads(line) for line in (workdir / "episodes.jsonl").read_text().splitlines()]
    assert [episode["episode"] for episode in episodes] == list(range(len(episodes)))
    for before, after in itertools.pairwise(episodes):
        assert after["step"] == before["step"] + after["length"]
    for episode in episodes:
        assert episode["return"] == pytest.approx(sum(episode["reward_terms"].values()))


def test_the_learning_curve_has_one_line_per_evaluation(trained):
    workdir, _ = trained
    curve = [json.loads(line) for line in (workdir / "evaluations.jsonl").read_text().splitlines()]
    files = [json.loads(path.read_text()) for path in sorted((workdir / "evaluations").glob("step-*seed-42*.json"))]
    assert [point["step"] for point in curve] == [file["step"] for file in files]
    assert [point["return"] for point in curve] == [file["summary"]["return"]["mean"] for file in files]
    assert curve[-1]["step"] == 260
    assert all(point["episodes"] == 1 for point in curve)
    walls = [point["wall_s"] for point in curve]
    assert walls == sorted(walls)
    assert walls[0] > 0.0
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        counters = checkpoints.extras()["counters"]
    assert counters["wall_s"] >= walls[-1], "the last checkpoint knows of the last evaluation"
    assert counters["evaluated_at"] == 260
    provenance = json.loads((workdir / "provenance.json").read_text())
    assert provenance["simulator"]["simulator"] == files[0]["simulator"]["simulator"]
    assert provenance["device"]["device"].startswith("cpu")


def test_a_checkpoint_evaluates_with_every_metric_and_a_video(trained, tmp_path):
    workdir, _ = trained
    video = tmp_path / "drive.mp4"
    done = run(
        [
            *(sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(workdir), "--episodes", "2"),
            *("--seed", "7", "--video", str(video)),
        ]
    )
    assert done.returncode == 0, done.stderr
    (path,) = (workdir / "evaluations").glob("*seed-7*.json")
    result = json.loads(path.read_text())
    assert result["simulator"]["simulator"].startswith("minicarla")
    assert result["simulator"]["map"] == "Town01"
    assert len(result["episodes"]) == 2
    assert len({episode["seed"] for episode in result["episodes"]}) == 2
    wanted = "success route_completion mean_speed_kmh mean_jerk mean_lateral_error_m driving_score driving_score_21"
    assert set(wanted.split()) <= set(result["summary"])
    assert "success" in done.stdout
    import av

    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    decisions = sum(math.ceil(episode["duration_s"] / 0.1 - 1e-6) for episode in result["episodes"])
    assert len(frames) == decisions
    assert frames[0].shape == (432, 768 + 432, 3)
    assert frames[0].std() > 20


def test_a_checkpoint_drives_another_map_in_another_weather_and_without_its_camera(trained, tmp_path):
    workdir, _ = trained
    short = tmp_path / "Short.xodr"
    short.write_text(street(80.0))
    evaluate = [sys.executable, "-m", "avtd3_jax.evaluate", "--checkpoint", str(workdir), "--episodes", "1"]
    evaluate += ["--route", "random", "--sim.xodr", str(short), "--workdir", str(tmp_path)]
    refused = run(evaluate)
    assert refused.returncode == 1
    assert "--config.env.random_route.min_m=80" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1, "nothing was driven"
    others = {"env.random_route.min_m": "40", "env.weather": "WetNoon,HardRainSunset", "env.picture": "blank"}
    done = run([*evaluate, *(f"--config.{key}={value}" for key, value in others.items())])
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "evaluations").glob("*.json")
    assert "_picture-blank_min_m-40_weather-WetNoon,HardRainSunset_" in path.name, (
        "no other drive's file is written over"
    )
    result = json.loads(path.read_text())
    assert result["changes"] == others
    (episode,) = result["episodes"]
    assert 40.0 <= episode["route_m"] <= 80.0
    of_training = run([*evaluate, "--config.env.speed.limit_mps=20"])
    assert of_training.returncode == 1
    assert "a checkpoint has its own task, but for env.random_route.min_m" in of_training.stderr


def test_a_checkpoint_explains_itself_in_a_video_and_a_sheet(trained, tmp_path):
    workdir, _ = trained
    done = run(
        [
            *(sys.executable, "-m", "avtd3_jax.explain", "--checkpoint", str(workdir), "--seed", "7"),
            *("--out", str(tmp_path / "looked")),
        ]
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("policy")
    (video,), (sheet,) = (list((tmp_path / "looked").glob(f"*_seed-7_*.{kind}")) for kind in ("mp4", "png"))
    assert f"written to {video} and {sheet}" in done.stdout
    import av
    import cv2

    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) > 10
    assert frames[0].shape == (432 + 32 + 224, 768 + 432, 3)
    panels = np.stack(frames)[:, 464:].astype(int)  # grey pictures, coloured only where there is heat
    assert (panels.max(axis=-1) - panels.min(axis=-1) > 60).any()
    assert cv2.imread(str(sheet)).shape[1] == 1280


def test_explain_refuses_a_directory_that_is_no_run(tmp_path):
    done = run([sys.executable, "-m", "avtd3_jax.explain", "--checkpoint", str(tmp_path), "--out", str(tmp_path)])
    assert done.returncode == 1
    assert done.stderr.startswith("explain: There is no checkpoint directory")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_resumes_and_is_not_overwritten(trained):
    workdir, _ = trained
    refused = run(command(workdir))
    assert refused.returncode == 1
    assert "add --resume" in refused.stderr
    other = run(command(workdir, "--resume", debug=True, debug_every=20, eval_every=100, agent__tau=0.01))
    assert other.returncode == 1
    assert "config.agent.tau" in other.stderr
    before = (workdir / "episodes.jsonl").read_text().splitlines()
    evaluated = json.loads((workdir / "evaluations.jsonl").read_text().splitlines()[-1])
    done = run(command(workdir, "--resume", debug=True, debug_every=20, eval_every=100, total_steps=300))
    assert done.returncode == 0, done.stderr
    after = (workdir / "episodes.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert "step 260 of 300" in done.stdout
    assert "300 steps, 99 updates" in done.stdout
    curve = [json.loads(line) for line in (workdir / "evaluations.jsonl").read_text().splitlines()]
    assert len({point["step"] for point in curve}) == len(curve)
    assert curve[-1]["step"] == 300
    assert curve[-1]["wall_s"] > evaluated["wall_s"]


@pytest.mark.parametrize(
    ("values", "of_the_second"),
    [
        ({}, {}),
        # What a GPU's learner uses: where the frames lie changes no number.
        ({"overlap": True, "updates_per_dispatch": 2}, {"replay__device_resident": True, "replay__gather_threads": 2}),
    ],
)
def test_one_seed_is_one_run_and_neither_evaluations_nor_a_live_page_disturb_it(tmp_path, values, of_the_second):
    runs = [tmp_path / name for name in ("a", "b")]
    watched = {"eval_every": 70, "monitor__port": free_ports(), "monitor__pictures_per_s": 10.0}
    for workdir, more in zip(runs, ({"eval_every": 0}, {**watched, **of_the_second}), strict=True):
        done = run(command(workdir, seed=3, **values, **more))
        assert done.returncode == 0, done.stderr
    assert "monitor    http://127.0.0.1:" in done.stdout
    told = next(line for line in done.stdout.splitlines() if line.startswith("replay"))
    assert ("on the device" in told) == bool(of_the_second)
    assert len(list((runs[1] / "evaluations").iterdir())) >= 3
    assert (runs[0] / "episodes.jsonl").read_text() == (runs[1] / "episodes.jsonl").read_text()
    first, second = (final_parameters(workdir) for workdir in runs)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def episodes_in(workdir: Path) -> int:
    log = workdir / "episodes.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def endless(tmp_path):
    """A run that would go on for long, once it collects; its children are killed afterwards whatever happens."""
    workdir = tmp_path / "endless"
    with started(command(workdir, total_steps=100_000, exploration_steps=100_000 - 1)) as process:
        until(lambda: episodes_in(workdir) >= 2, process)
        children = psutil.Process(process.pid).children(recursive=True)
        yield workdir, process, children
        for leftover in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                leftover.kill()


def test_sigterm_ends_the_run_in_order(endless):
    workdir, process, children = endless
    assert children, "the embedded server is a child of the run"
    ends_in_order(process, signal.SIGTERM, children)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        counters = checkpoints.extras()["counters"]
    lines = (workdir / "episodes.jsonl").read_text().splitlines()
    assert counters["step"] >= json.loads(lines[-1])["step"]


def ends_in_order(process, number, children) -> str:
    """What the run has said when it has ended by the signal."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert "--resume" in stderr
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    return stderr


def test_a_killed_server_costs_the_transition_under_way_and_no_more_and_ctrl_c_ends_the_run_in_order(endless):
    workdir, process, children = endless
    (server,) = children
    server.send_signal(signal.SIGKILL)
    episodes = workdir / "episodes.jsonl"
    before = episodes_in(workdir)
    until(lambda: episodes_in(workdir) >= before + 3, process)
    stderr = ends_in_order(process, signal.SIGINT, psutil.Process(process.pid).children(recursive=True))
    assert "lost its simulator after" in stderr
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        counters = checkpoints.extras()["counters"]
    records = [json.loads(line) for line in episodes.read_text().splitlines()]
    (torn,) = set(range(records[-1]["episode"])) - {record["episode"] for record in records}
    after = next(record for record in records if record["episode"] == torn + 1)
    before_it = next(record for record in records if record["episode"] == torn - 1)
    kept = int(stderr.split("lost its simulator after ")[1].split()[0])
    assert after["step"] - after["length"] == before_it["step"] + kept
    assert counters["step"] >= records[-1]["step"]


BAD_INPUT = [
    (["--config.typo=1"], "typo"),
    (["--config.batch_size=lots"], "batch_size"),
    (["--config.agent.encoder_grad=none"], "encoder_grad is 'none'"),
    (["--config.agent.encoder=resnet"], "encoder is 'resnet': choose one of nature"),
    (
        ["--config.agent.encoder=resnet18", "--config.agent.encoder_weights=no.safetensors"],
        "no file 'no.safetensors'",
    ),
    (["--config.env.route=nowhere"], "config.env.route is 'nowhere'"),
    (["--config.scenario=7"], "config.scenario is '7'"),
    (["--config.sim.endpoint=127.0.0.1:1"], "train: No simulator listens at 127.0.0.1:1"),
    (["--config.sim.xodr=/no/such.xodr"], "/no/such.xodr"),
    (["--config.replay.capacity=10000000000"], "lower its capacity"),
    (["--config.updates_per_dispatch=3"], "multiple of config.agent.policy_delay, which is 2"),
    (["--config.device=gpu"], "device"),
    (["--resume"], "checkpoint"),
]
# Each as a command that has just imported what they all import.
EACH_IN_A_FORK = """
import json, os, sys
import avtd3_jax.session
from avtd3_jax import train
for said, arguments in json.load(sys.stdin):
    if not os.fork():
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()
os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
sys.argv = arguments
train.main()
"""


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> list[tuple[int, str, bool]]:
    """Of a training with each bad input: exit code, standard error, and whether it has left a traceback."""
    folder = tmp_path_factory.mktemp("refused")
    commands = [
        (str(folder / f"{number}.txt"), command(folder / f"{number}", *extra)[2:])
        for number, (extra, _) in enumerate(BAD_INPUT)
    ]
    forks = [sys.executable, "-c", EACH_IN_A_FORK]
    done = subprocess.run(forks, cwd=ROOT, input=json.dumps(commands), stdout=subprocess.PIPE, text=True, check=True)
    codes = [line for line in done.stdout.splitlines() if re.fullmatch(r"-?\d+", line)]
    return [
        (int(code), Path(said).read_text(), Path(said).with_suffix("").joinpath("error.txt").exists())
        for code, (said, _) in zip(codes, commands, strict=True)
    ]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [pytest.param(number, sentence, id=" ".join(extra)) for number, (extra, sentence) in enumerate(BAD_INPUT)],
)
def test_bad_input_is_refused_in_one_plain_sentence_before_work_starts(refused, number, sentence):
    code, said, left_traceback = refused[number]
    assert code > 0
    assert not left_traceback
    assert sentence in said
    assert "Traceback" not in said
    assert "step/s" not in said


def test_two_runs_cannot_share_a_directory(tmp_path):
    with held(tmp_path / "run", resume=False):
        done = run(command(tmp_path / "run"))
    assert done.returncode == 1
    assert "in use by another" in done.stderr


def test_an_output_pipe_that_closes_does_not_leave_a_server_behind(tmp_path):
    endlessly = command(tmp_path / "piped", total_steps=100_000, exploration_steps=99_999)
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started(endlessly, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **nowhere) as process:
        children = until(lambda: psutil.Process(process.pid).children(recursive=True), process)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, "a server outlived the run that was killed"
