"""The packages list their commands, and each says in its help how it is called."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from test_documentation import help_of

from envloop.listing import commands, listing

ROOT = Path(__file__).parents[1]
LISTED = [*commands("avtd3_jax"), *commands("envloop")]
TOOLS = ("avtd3_jax.settings", "benchmarks", "conformance", "experiments", "minicarla", "reporting", "robustness")
STARTED_BY_OTHERS = {
    "benchmarks.contenders",
    "benchmarks.envloop_row",
    "conformance.drive_agent",
    "robustness.resets.client",
}


def tools() -> list[str]:
    """The commands beside those of users."""
    files = [path for folder in TOOLS for path in ROOT.joinpath(*folder.split(".")).rglob("*.py")]
    called = [path.relative_to(ROOT) for path in files if '__name__ == "__main__"' in path.read_text()]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__main__") for path in called}
    return sorted(names - STARTED_BY_OTHERS)


@pytest.mark.parametrize("package", ["avtd3_jax", "envloop"])
def test_a_package_lists_its_commands(package):
    done = subprocess.run([sys.executable, "-m", package], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listing(package) in done.stdout
    assert len(commands(package)) > 1
    for command, about in commands(package).items():
        assert f"python -m {command} " in done.stdout
        assert about.endswith(".")


@pytest.mark.parametrize("command", [*LISTED, "envloop.doctor.table"])
def test_the_help_shows_an_example(command):
    """A call with arguments, beside the line of the usage."""
    shown = help_of(command, "").partition("\n\n")[2] if command != "avtd3_jax.train" else help_of(command, "")
    assert f"python -m {command} " in " ".join(shown.split())


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", tools())
def test_the_help_of_the_developers_commands_shows_one_too(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(command, run_name="__main__")
    assert ended.value.code == 0
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    assert re.match(rf"usage: (python -m )?{command} ", usage)
    assert f"python -m {command}" in rest
