"""The built distribution: what it holds, and what it does where there is no checkout.

AVTD3_EMPTY_ENV=1 installs what it depends on too, into an environment with nothing else in it, under the versions of
constraints.txt: as a user has it, and slow.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from browser import CHROMIUM, Opened, chromium

ROOT = Path(__file__).parents[1]
PACKAGES = ("avtd3_jax", "envloop", "minicarla")
OF_THE_SERVER_ALONE = {"minicarla/LICENSE", "minicarla/README.md", "minicarla/pyproject.toml"}
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
LEFTOVERS = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy: a build leaves files beside the sources, and would ship what an older one has left."""
    folder = tmp_path_factory.mktemp("sources")
    for name in (*PACKAGES, "configs"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=LEFTOVERS)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    """Python of an environment with the wheel, which borrows all else from this one's unless told to install it."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    empty = "AVTD3_EMPTY_ENV" in os.environ
    depends = ["--constraint", str(ROOT / "constraints.txt")] if empty else ["--no-deps"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *depends, "--no-compile"]
    done = subprocess.run([*pip, str(wheel)], env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if empty:
        return python
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # only now: pip would find our package there
    return python


def run(python: Path, folder: Path, *arguments: str) -> str:
    """What a command says outside of any checkout."""
    done = subprocess.run([python, *arguments], cwd=folder, env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_the_packages_and_the_configurations_and_nothing_else(sources: Path, wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(sources).as_posix() for name in PACKAGES for path in (sources / name).rglob("*.*")}
    configs = {f"avtd3_jax/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    here = {name for name in files if (sources / name).is_file() and "/build/" not in name}
    assert held == (here | configs) - OF_THE_SERVER_ALONE


def test_installed_it_lists_its_commands_and_knows_its_configurations(installed: Path, tmp_path: Path):
    listed = run(installed, tmp_path, "-m", "avtd3_jax")
    assert "python -m avtd3_jax.train " in listed
    script = "import avtd3_jax, pathlib; from avtd3_jax.settings.config_file import load; print(avtd3_jax.__file__); "
    where, gym = run(installed, tmp_path, "-c", script + "print(load(pathlib.Path('gym')).env.id)").split()
    assert Path(where).is_relative_to(installed.parents[1])
    assert gym == "Pendulum-v1"


@pytest.mark.skipif("AVTD3_SLOW" not in os.environ, reason="AVTD3_SLOW is not set: .ci/run sets it")
@pytest.mark.timeout(900)
def test_installed_it_trains_drives_and_reports(installed: Path, tmp_path: Path):
    few = ("--config.total_steps=60", "--config.exploration_steps=60", "--config.eval_every=0")
    patient = "--config.sim.start_timeout_s=400"  # the first server compiles
    said = run(
        installed, tmp_path, "-m", "avtd3_jax.train", "--config", "town01", "--workdir", "runs/wheel", patient, *few
    )
    assert "60 steps" in said
    box = ("--checkpoint", "town01_drive", "--route", "town01-0", "--episodes", "1", "--scenario", "0", "--report")
    said = run(installed, tmp_path, "-m", "avtd3_jax.evaluate", *box)
    assert "report in runs/town01_drive/report.html" in said
    assert "runs/wheel/report.html" in run(installed, tmp_path, "-m", "avtd3_jax.report", "runs/wheel")
    for name, shown in (("wheel", ".curve .main-svg"), ("town01_drive", "#map .main-svg")):
        opens(tmp_path / "runs" / name / "report.html", shown)


def opens(page: Path, shown: str) -> None:
    """A browser, where there is one, shows the page without a complaint, and what the selector `shown` names."""
    assert page.stat().st_size < 15e6
    if CHROMIUM is not None:
        with chromium() as browser:
            opened = Opened(browser, page.as_uri())
            opened.page.wait_for_selector(shown)
            assert opened.complaints == []
