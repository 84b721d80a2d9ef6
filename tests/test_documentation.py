"""What the documentation says exists: links, pictures, commands, options, make targets."""

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from avtd3_jax.settings.keys import leaves
from avtd3_jax.settings.run_config import default_config, keys_of

ROOT = Path(__file__).parents[1]
OURS = ("avtd3_jax", "envloop", "minicarla", "benchmarks", "conformance", "experiments", "reporting", "robustness")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in (*OURS, "docs", "results") for page in (ROOT / name).rglob("*.md"))]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
KEYS = {*keys_of({}), *keys_of({"env": {"id": "Pendulum-v1"}})}  # of the driving task, and of any other
COMMAND = re.compile(r"python -m ([\w.]+)([^\n`]*)")

PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md"]  # the changelog names what is gone

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
each_present_page = pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(page: Path) -> str:
    """The page with the continued lines of its commands joined."""
    return page.read_text().replace("\\\n", " ")


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """(module, arguments) of every `python -m MODULE` on a page."""
    return [(module, shlex.split(rest, comments=True)) for module, rest in COMMAND.findall(code_of(page))]


def make_calls(page: Path) -> list[tuple[str, list[str]]]:
    """(target, arguments in ARGS) of every `make TARGET` in the page's code."""
    found = re.findall(
        r"(?:^|`)make ([a-z]+)(?: ARGS=(?:\"([^\"]*)\"|(\S+?)))?(?=[\s`]|$)", code_of(page), re.MULTILINE
    )
    return [(target, shlex.split(quoted or plain)) for target, quoted, plain in found]


@functools.cache
def help_of(module: str, action: str) -> str:
    """What `python -m MODULE [ACTION] --help` prints."""
    words = [sys.executable, "-m", module, *([action] if action else []), "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def check_options(module: str, arguments: list[str]) -> None:
    """Every option among `arguments` is one that the command has."""
    action = arguments[0] if arguments and re.fullmatch("[a-z]+", arguments[0]) else ""
    for word in arguments:
        option = word.split("=")[0]
        if not option.startswith("--"):
            continue
        if option.startswith("--config."):
            key = re.sub(r"\[\d+\]$", "", option.removeprefix("--config."))
            assert key in KEYS or key == "KEY", f"{module} {option}"
        else:
            name = option.removeprefix("--")
            assert re.search(rf"--(\[no\])?{re.escape(name)}\b", help_of(module, action)), f"{module} {option}"


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().split()) <= 1000


@each_present_page
def test_files_exist(page):
    folders = "|".join((*OURS, "configs", "examples", "tests", "docs"))
    for path in re.findall(rf"`((?:{folders})/[\w/.*-]+)`", page.read_text()):
        if "NAME" not in path and not path.startswith("benchmarks/results/"):
            assert list(ROOT.glob(path.rstrip("/"))), path


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_names_of_the_sources_are_current(name):
    sources = "\n".join(path.read_text() for package in OURS for path in (ROOT / package).rglob("*.py"))
    words = set(re.findall(r"\w+", sources))
    for found in re.findall(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`", (ROOT / name).read_text()):
        if not found.endswith((".py", ".md")) and found != "NAME":
            assert found.rpartition(".")[2] in words, found


@each_page
def test_links_and_pictures_exist(page):
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_present_page
def test_commands_exist(page):
    for module, _ in commands(page):
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        runs = importlib.util.find_spec(f"{module}.__main__") if spec.submodule_search_locations else spec
        assert runs is not None, f"python -m {module}: it is a package without __main__"


@each_present_page
def test_options_exist(page):
    for module, arguments in commands(page):
        if module.partition(".")[0] in OURS:
            check_options(module, arguments)


@each_present_page
def test_make_targets_and_their_options_exist(page):
    for target, arguments in make_calls(page):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
        if target == "train":
            check_options("avtd3_jax.train", arguments)


@pytest.mark.parametrize("page", [ROOT / "docs" / "training.md", ROOT / "docs" / "evaluation.md"], ids=lambda p: p.name)
def test_options_told_of_in_tables_exist(page):
    """Options outside of a command, in the page's tables and text, belong to one of the three commands."""
    known = " ".join(help_of(f"avtd3_jax.{name}", "") for name in ("train", "evaluate", "explain"))
    for option in re.findall(r"`(--[\w.\[\]]+)", page.read_text()):
        option = option.replace("--noconfig.", "--config.")
        if option.startswith("--config."):
            check_options("avtd3_jax.train", [option])
        else:
            assert option.removeprefix("--") in known, option


def test_the_table_of_options_shows_the_defaults():
    defaults = dict(leaves(default_config().to_dict()))
    table = (ROOT / "docs" / "training.md").read_text().split("These are used most")[1].split("\n\n")[1]
    shown = dict(re.findall(r"^\| `--config\.([\w.]+)=([^`]*)` \|", table, re.MULTILINE))
    assert len(shown) > 10
    for switch in ("debug", "profile"):  # shown as they are switched on
        assert shown.pop(switch) == str(not defaults[switch])
    assert shown == {key: str(defaults[key]) for key in shown}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "library.md"], ids=lambda p: p.name)
def test_the_example_of_the_environment_runs(page):
    (example,) = re.findall(r"```python\n(import gymnasium\n\nenv = .*?)```", page.read_text(), re.DOTALL)
    check = "\nassert obs['image'].shape == (4, 84, 84) and obs['vector'].shape == (23,) and reward > -1\nenv.close()"
    done = subprocess.run(
        [sys.executable, "-c", example + check], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr


def test_the_checks_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[gone](gone.md) [here](#nowhere)\n"
        "```\npython -m avtd3_jax.gone\npython -m avtd3_jax.evaluate --gone 1\n"
        'python -m avtd3_jax.train --config.gone=1\nmake gone\nmake train ARGS="--config.agent.gone=2"\n```\n'
    )
    with pytest.raises(AssertionError, match="gone"):
        test_links_and_pictures_exist(page)
    with pytest.raises(AssertionError, match="gone"):
        test_commands_exist(page)
    with pytest.raises(AssertionError, match="gone"):
        check_options("avtd3_jax.evaluate", ["--gone", "1"])
    with pytest.raises(AssertionError, match="gone"):
        check_options("avtd3_jax.train", ["--config.agent.gone=2"])
    assert make_calls(page) == [("gone", []), ("train", ["--config.agent.gone=2"])]
