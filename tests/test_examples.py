"""Every example runs, shortened: the real environment, the real learner, a real server."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from envloop.client.minicarla_process import EmbeddedServer

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN_ELSEWHERE = {"pendulum", "pictures", "architecture_picture"}  # have tests, or make the documentation's pictures
NEEDS_TORCH = "needs torch and stable-baselines3, which are large: pip install -e .[bench]; run nightly"


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_run_here():
    tested = Path(__file__).read_text()
    names = {path.stem for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]} - SHOWN_ELSEWHERE
    assert {name for name in names if f'"{name}' not in tested} == set()


def test_the_learner_on_car_racing_from_pixels():
    pytest.importorskip("Box2D", reason="gymnasium[box2d] is not installed")
    returns = example("carracing").train(steps=27, exploration=24, batch=8)
    assert len(returns) == 1
    assert np.isfinite(returns).all()


def test_a_minimal_client_drives_and_sees(tmp_path):
    server = EmbeddedServer(["--town", "Town01"], 240.0)
    try:
        command = [sys.executable, EXAMPLES / "client.py", "--port", str(server.port), "--picture", "seen.png"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) > 10.0
    assert cv2.imread(str(tmp_path / "seen.png")).std() > 10.0


def test_stable_baselines3_learns_on_the_environment():
    pytest.importorskip("stable_baselines3", reason=NEEDS_TORCH)
    model = example("sb3_td3").train(steps=60, exploration=50, batch=8, replay=100)
    assert model.num_timesteps == 60
    assert model._n_updates == 10


def test_a_loop_in_one_file_learns_on_the_environment():
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    returns = example("one_file_td3").train(steps=400, exploration=350, batch=16)
    assert np.isfinite(returns).all()
    assert returns


def test_the_notebook_runs_from_top_to_bottom(monkeypatch):
    root = str(EXAMPLES.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(EXAMPLES / "drive.ipynb", as_version=4)
    done = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": root}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    driven = next(
        text for output in outputs if "of the route" in (text := output.get("data", {}).get("text/plain", ""))
    )
    assert float(driven.strip("'").split("%")[0]) > 10.0
