"""Commands on machines unlike the developer's: no home, full disks, odd names, no terminal, nobody who reads."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avtd3_jax.training.run_directory import new_directory

ROOT = Path(__file__).parents[1]
DRIVE = (*(sys.executable, "-m", "avtd3_jax.evaluate", "--config", "configs/town01.py"), "--policy", "random")
COUNT = """
import sys, time
from avtd3_jax import console
console._LINE_EVERY_S = 0.1
from tqdm import tqdm
count = int(sys.argv[1])
for item in console.Progress(range(count), total=count, unit="step"):
    time.sleep(0.005)
    tqdm.write(f"said {item}")
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200
    )


def test_names_with_spaces_and_umlauts_in_an_ascii_locale_without_a_temporary_folder(tmp_path):
    folder = tmp_path / "Fahrschule für alle"
    folder.mkdir()
    arguments = ("--episodes", "1", "--workdir", str(folder / "ein Lauf"), "--video", str(folder / "die Fahrt ü.mp4"))
    done = run(*DRIVE, *arguments, LC_ALL="C", TMPDIR="/proc/nowhere")
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "ein Lauf" / "evaluations").glob("*.json"))) == 1
    assert (folder / "die Fahrt ü.mp4").stat().st_size > 1000
    assert done.stderr.count("\n") == 1  # no terminal: how it went, once
    assert done.stderr.startswith("100% 1/1 episode [")
    assert "\r" not in done.stderr


def test_a_name_that_the_checkpoints_storage_would_misread_is_refused_before_the_run(tmp_path):
    script = "import sys; from avtd3_jax.checkpoints.checkpoint import Checkpoints; Checkpoints(sys.argv[1])"
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run(sys.executable, "-c", script, str(tmp_path / "für alle"), **c_locale)
    assert "orbax writes names in UTF-8 and this process in ascii: set PYTHONUTF8=1" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_closed_standard_streams_and_no_home(tmp_path):
    """The carla package ends a process without HOME by a segmentation fault."""
    arguments = (*DRIVE, "--episodes", "1", "--workdir", str(tmp_path))
    nothing = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *arguments], cwd=ROOT, env=nothing, timeout=200)
    assert done.returncode == 0
    assert len(list((tmp_path / "evaluations").glob("*.json"))) == 1


def test_a_reader_that_goes_away_ends_the_command_without_a_complaint(tmp_path):
    arguments = (*DRIVE, "--episodes", "1", "--workdir", str(tmp_path))
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(200) == 141


def test_progress_is_whole_lines_in_a_pipe_and_a_bar_on_a_terminal():
    piped = run(sys.executable, "-c", COUNT, "200")
    assert piped.stdout.splitlines() == [f"said {item}" for item in range(200)]
    assert re.fullmatch(r"( *\d+% \d+/200 step \[.*\]\n){2,100}", piped.stderr), "not for every one"
    assert piped.stderr.splitlines()[-1].startswith("100% 200/200 step")

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    counting = [sys.executable, "-c", COUNT, "8"]
    with subprocess.Popen(counting, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=slave) as process:
        os.close(slave)
        assert process.wait(200) == 0
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert shown.count("\r") > 8
    assert "step/s]" in shown


def test_where_nothing_can_be_written_the_renderer_is_compiled_anew():
    """Numba refuses a function whose machine code has no place; a read-only checkout and home left it none."""
    nowhere = {"XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator"}
    script = (
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "import numpy as np\n"
        "from minicarla.render.spans import transmission\n"
        "print(transmission(np.float32(10), np.float32(0.1), np.float32(10)))\n"
    )
    done = run(sys.executable, "-c", script, **nowhere)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
    assert re.fullmatch(r"warning: no folder .* set XDG_CACHE_HOME .*\n", done.stderr)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without a home")
def test_a_user_without_a_home_gets_a_warning_and_no_compile_cache():
    script = (
        "import os, jax\n"
        "from avtd3_jax import runtime\n"
        "os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None); os.setuid(54321)\n"
        "print(runtime.setup('cpu').cache_dir)\n"
    )
    done = run(sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert "No compile cache: Could not determine home directory. Every start compiles anew" in done.stderr


def test_runs_that_begin_in_the_same_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(new_directory, ["town01"] * 8))
    assert len({path.absolute() for path in made}) == 8
    assert {path.parent for path in made} == {Path("runs")}
    assert all(path.is_dir() and path.name.startswith("town01-") for path in made)
