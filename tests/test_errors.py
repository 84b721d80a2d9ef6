"""A bug of ours ends a run in order: saved, its servers stopped, its traceback kept. Ours are one sentence."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from test_train import ROOT, command

from avtd3_jax.checkpoints.checkpoint import Checkpoints

BUG = """
import sys
if any(name in sys.orig_argv for name in ("avtd3_jax.train", "envloop.workers.worker")):
    {imports}
    def broken(self, *args, _working={cls}.{method}, _calls=[0], **kwargs):
        _calls[0] += 1
        if _calls[0] > {after}:
            raise {error}("a bug of ours")
        return _working(self, *args, **kwargs)
    {cls}.{method} = broken
"""
TICK = {"imports": "from envloop.task.episode import Episode", "cls": "Episode", "method": "tick", "after": 400}
STEP = {"imports": "from avtd3_jax.agent.td3 import TD3", "cls": "TD3", "method": "step", "after": 3}


def run_with(bug, tmp_path, workdir, **config):
    (tmp_path / "sitecustomize.py").write_text(BUG.format(**bug))
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    process = subprocess.Popen(
        command(workdir, total_steps=100_000, eval_every=0, **config),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children: set[psutil.Process] = set()
    try:
        while process.poll() is None:
            children |= set(psutil.Process(process.pid).children(recursive=True))
            try:
                _, stderr = process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
        _, alive = psutil.wait_procs(list(children), timeout=60)
        assert not alive, "servers or workers outlived the run"
        assert children
        return process.returncode, stderr
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.mark.parametrize(
    ("bug", "config"),
    [
        ({**TICK, "error": "RuntimeError"}, {"num_envs": 1}),
        ({**TICK, "error": "RuntimeError"}, {"num_envs": 2}),
        ({**TICK, "error": "OSError"}, {"num_envs": 1}),
        ({**STEP, "error": "ValueError"}, {"exploration_steps": 100}),
    ],
    ids=["environment", "environment in a process", "an OSError", "learner"],
)
def test_a_bug_ends_the_run_saved_with_its_traceback(bug, config, tmp_path):
    workdir = tmp_path / "run"
    exploration = {"exploration_steps": 50_000, **config}
    code, stderr = run_with(bug, tmp_path, workdir, **exploration)
    assert code == 1, stderr
    for text in (stderr, (workdir / "error.txt").read_text()):
        assert "Traceback (most recent call last)" in text
        assert "in broken" in text
        assert f"{bug['error']}: a bug of ours" in text
    assert "is lost" not in stderr, "the simulator was started anew"
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.extras()["counters"]["step"] > 0


def test_a_run_directory_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(command(tmp_path / "file" / "run"), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"train: {tmp_path / 'file' / 'run'} cannot be written (Not a directory)"
    )


def test_ctrl_c_while_the_process_ends_says_nothing():
    """What is registered first ends last: a signal then found the handler of a run that was over."""
    script = (
        "import atexit, os, runpy, signal, sys\n"
        "atexit.register(lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])\n"
        "sys.argv = ['avtd3_jax.train', '--config', 'nowhere']\n"
        "runpy.run_module('avtd3_jax.train', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr.startswith("train: there is no file nowhere")
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == -signal.SIGINT
