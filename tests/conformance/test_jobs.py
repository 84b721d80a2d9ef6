"""What is found in a folder like CARLA's, and a whole run of it against a real server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import agents, scripts, smoke
from envloop.free_ports import free_ports

ROOT = Path(__file__).parents[2]
PYTHON_API, MAPS = os.environ.get("CARLA_PYTHONAPI", ""), os.environ.get("CARLA_MAPS", "")

CONNECTS = """
import carla, unittest
from . import TESTING_ADDRESS

class TestClient(unittest.TestCase):
    def test_version(self):
        client = carla.Client(*TESTING_ADDRESS)
        client.set_timeout(20.0)
        self.assertEqual(client.get_client_version(), client.get_server_version())

    def test_that_fails(self):
        self.fail("as it should")

    def helper(self):
        pass

class Scenario:
    def test_scenario(self, client):
        pass
"""


@pytest.fixture
def python_api(tmp_path: Path) -> Path:
    smoke_folder = tmp_path / "PythonAPI" / "test" / "smoke"
    smoke_folder.mkdir(parents=True)
    (smoke_folder / "__init__.py").write_text(f"TESTING_ADDRESS = ('localhost', {free_ports(2)})\n")
    (smoke_folder / "test_client.py").write_text(CONNECTS)
    (tmp_path / "PythonAPI" / "examples").mkdir()
    for name in ("manual_control.py", "V2XDemo.py"):
        (tmp_path / "PythonAPI" / "examples" / name).write_text("raise RuntimeError('started')")
    return tmp_path / "PythonAPI"


def test_every_test_method_and_script_is_a_job(python_api):
    assert [job.name for job in smoke.jobs(python_api)] == [
        "smoke test_client.TestClient.test_version",
        "smoke test_client.TestClient.test_that_fails",
    ]
    assert [job.name for job in scripts.jobs(python_api)] == ["examples/V2XDemo.py", "examples/manual_control.py"]
    assert list(agents.jobs(python_api)) == []
    (python_api / "carla" / "agents").mkdir(parents=True)
    assert len(list(agents.jobs(python_api))) == len(agents.AGENTS)


def test_what_cannot_run_is_skipped_and_not_started(python_api, tmp_path):
    (job,) = (job for job in scripts.jobs(python_api) if job.name.endswith("V2XDemo.py"))
    ending = job.run(tmp_path)
    assert ending.verdict == "skipped"
    assert "V2X" in ending.reason


def test_the_command_runs_them_against_a_server_and_counts(python_api, tmp_path):
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "conformance", python_api, "--suites", "smoke", "--json", result]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stderr
    assert "smoke: 1 of 2 passed, 1 failed, 0 skipped" in done.stdout
    rows = json.loads(result.read_text())["rows"]
    assert [(row["verdict"], row["why"]) for row in rows] == [
        ("passed", ""),
        ("failed", "AssertionError: as it should"),
    ]


def test_what_runs_on_is_stopped_even_where_ctrl_c_is_ignored(python_api):
    """As it is behind a shell's &."""
    (python_api / "util").mkdir()
    (python_api / "util" / "lane_explorer.py").write_text("import time\nwhile True: time.sleep(0.05)")
    run = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); from conformance import scripts, __main__;"
        f"scripts.PORT = {free_ports(2)}; scripts._WAYS['lane_explorer.py'] = scripts._Way(limit_s=5.0);"
        f"sys.argv = ['conformance', {str(python_api)!r}, '--suites', 'scripts', '--only', 'lane'];"
        "sys.exit(__main__.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert "1 of 1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["{tmp}"], "has no folder 'examples'"), (["{api}", "--only", "nothing"], "leave out --only")],
)
def test_a_wrong_folder_is_refused_in_a_sentence(python_api, tmp_path, arguments, says):
    words = [word.format(tmp=tmp_path, api=python_api) for word in arguments]
    command = [sys.executable, "-m", "conformance", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.skipif(not PYTHON_API, reason="CARLA_PYTHONAPI names no copy of CARLA's PythonAPI folder")
@pytest.mark.timeout(3600)
def test_carlas_own_code():
    command = [sys.executable, "-m", "conformance", PYTHON_API, *(["--maps", MAPS] if MAPS else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
