"""minicarla as a distribution of its own: what it consists of, and an installation that a stock client drives."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import carla
import pytest
from processes import copy
from server_process import ready, synchronous

import minicarla

SOURCES = Path(minicarla.__file__).parent
ROOT = SOURCES.parent
PROJECT = tomllib.loads((SOURCES / "pyproject.toml").read_text())
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPILING_TIMEOUT_S = 200.0  # the first start compiles the renderer
MODULES = sorted(path for path in SOURCES.rglob("*.py") if "build" not in path.relative_to(SOURCES).parts)


def requirements(project: dict) -> dict[str, str]:
    """Name of the distribution -> the whole requirement."""
    return {re.match(r"[\w-]+", line)[0].lower(): line for line in project["project"]["dependencies"]}


def test_the_list_of_packages_is_complete():
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in MODULES}
    assert sorted(folders) == sorted(PROJECT["tool"]["setuptools"]["packages"])
    assert all((ROOT / folder.replace(".", "/") / "__init__.py").is_file() for folder in folders)


def test_dependencies_are_what_the_sources_import():
    names = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    foreign = names - sys.stdlib_module_names - {"minicarla"}
    owners = packages_distributions()
    assert {owners[name][0].lower() for name in foreign} == set(requirements(PROJECT))


def test_both_distributions_say_the_same():
    alone, whole = requirements(PROJECT), requirements(WHOLE)
    assert alone.items() <= whole.items()
    assert PROJECT["project"]["requires-python"] == WHOLE["project"]["requires-python"]
    assert PROJECT["project"]["scripts"]["minicarla"] == WHOLE["project"]["scripts"]["minicarla"]
    assert (SOURCES / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but `pip install ./minicarla`; its folder of commands."""
    folder = tmp_path_factory.mktemp("alone")
    reached = pip("download", "--no-deps", "--dest", str(folder), "setuptools")
    if reached.returncode != 0:
        pytest.skip(f"pip reaches no package index: {reached.stderr.strip().splitlines()[-1]}")
    # A copy: a build leaves files beside the sources, and would ship what an older one has left.
    leftovers = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    sources = shutil.copytree(SOURCES, folder / "minicarla", ignore=leftovers)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    done = pip("--python", str(folder / "venv" / "bin" / "python"), "install", "--no-compile", str(sources))
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("venv/lib/python*/site-packages/minicarla")
    shares_compiled_code(made)
    return folder / "venv" / "bin"


def shares_compiled_code(made: Path) -> None:
    """Gives a copy of the sources what is compiled of them here, which is found by their times."""
    for path in MODULES:
        told = path.stat()
        os.utime(made / path.relative_to(SOURCES), ns=(told.st_atime_ns, told.st_mtime_ns))
    for kept in SOURCES.rglob("__pycache__"):
        shutil.copytree(kept, made / kept.relative_to(SOURCES), dirs_exist_ok=True, copy_function=copy)


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_an_empty_environment_gets_no_learning_library(installed: Path):
    listed = pip("--python", str(installed / "python"), "list", "--format=freeze").stdout
    names = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert set(requirements(PROJECT)) | {"minicarla"} <= names
    assert not names & {"jax", "jaxlib", "flax", "optax", "torch", "orbax-checkpoint", "gymnasium", "avtd3-jax"}


@pytest.mark.parametrize("command", [["minicarla"], ["python", "-m", "minicarla"]], ids=" ".join)
def test_an_installed_server_is_driven_by_a_stock_client(installed: Path, tmp_path: Path, command: list[str]):
    """Started from a folder that is no checkout: a tick, a car that has moved, and the picture of that very tick."""
    line = [str(installed / command[0]), *command[1:], "--port", "0", "--parent-pid", str(os.getpid())]
    process = subprocess.Popen(
        line, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with ready(process, COMPILING_TIMEOUT_S) as server:
        assert server.version == minicarla.__version__
        sync = synchronous(server)
        car = sync.car()
        start = car.get_location()
        _, images = sync.camera("rgb", car)
        car.apply_control(carla.VehicleControl(throttle=1.0))
        frame = sync.ticks(40)
        assert car.get_location().distance(start) > 2.0
        image = next(image for image in iter(lambda: images.get(timeout=10), None) if image.frame == frame)
        assert (image.width, image.height, len(set(bytes(image.raw_data)))) > (63, 35, 10)
        assert server.stop()[0] == 0


def test_the_command_says_its_version(installed: Path):
    done = subprocess.run(
        [installed / "minicarla", "--version"], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["minicarla", minicarla.__version__]
