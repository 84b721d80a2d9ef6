"""The packages list their commands, and each says in its help how it is called."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_documentation import help_of

from envloop.listing import commands, listing

ROOT = Path(__file__).parents[1]
LISTED = [*commands("avtd3_jax"), *commands("envloop")]


@pytest.mark.parametrize("package", ["avtd3_jax", "envloop"])
def test_a_package_lists_its_commands(package):
    done = subprocess.run([sys.executable, "-m", package], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listing(package) in done.stdout
    assert len(commands(package)) > 1
    for command, about in commands(package).items():
        assert f"python -m {command} " in done.stdout
        assert about.endswith(".")


@pytest.mark.parametrize("command", [*LISTED, "envloop.doctor.table", "minicarla"])
def test_the_help_shows_an_example(command):
    """A call with arguments, beside the line of the usage."""
    shown = help_of(command, "").partition("\n\n")[2] if command != "avtd3_jax.train" else help_of(command, "")
    assert f"python -m {command} " in " ".join(shown.split())
