"""A result file holds figures of a commit, and the pages hold what the result files hold."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reporting import __main__ as pages
from reporting.machine import ROOT, commit


def test_a_result_becomes_a_table(tmp_path):
    (tmp_path / "x.json").write_text(
        '{"machine": {"processor": "P", "cores": 2, "load": 0.1, "python": "3", "versions": {"jax": "1"}, '
        '"xla_flags": "", "commit": "c", "time": "t"}, '
        '"rows": [{"what": "a", "ms": {"median": 1.0, "low": 0.5, "high": 2.0}}, {"what": "b", "GB": 7.0}]}'
    )
    assert pages.table(tmp_path / "x.json").splitlines()[:4] == [
        "| what | ms | GB |",
        "| --- | --- | --- |",
        "| a | 1 (0.5 .. 2) |  |",
        "| b |  | 7 |",
    ]
    assert pages.table(tmp_path / "absent.json") == "Not measured.\n"


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.parent.name)
def test_the_tables_of_a_page_are_those_of_its_results(page):
    text = page.read_text()
    assert pages.MARK.search(text)
    assert pages.filled(text, pages.PAGES[page]) == text, "run python -m reporting"


RESULTS = [path for folder in ("benchmarks/results", "robustness/results") for path in (ROOT / folder).glob("*.json")]


@pytest.mark.parametrize("path", sorted(RESULTS), ids=lambda path: path.name)
def test_a_result_names_a_commit(path):
    assert not json.loads(path.read_text())["machine"]["commit"].endswith("-dirty")


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("*.json")), ids=lambda path: path.name)
def test_no_row_of_a_training_comes_from_changes_that_no_commit_has(path):
    assert "-dirty" not in path.read_text()


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A small checkout with one commit: the package that writes result files, a source, a result, a page."""
    home = tmp_path / "checkout"
    shutil.copytree(ROOT / "reporting", home / "reporting", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("source.py", "page.md", "results/a.json", "benchmarks/results/a.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("1")
    for arguments in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", *arguments], cwd=home, check=True)
    return home


MEASURES = """
from reporting.machine import machine
from reporting.publish import parser, publish

args = parser("python -m measured").parse_args()
print("measuring")
publish([{"what": "a", "ms": 1.0}], machine(), args.json)
"""


def measured(home: Path, to: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MEASURES, "--json", to]
    return subprocess.run(command, cwd=home, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)


def test_a_result_of_changes_that_no_commit_has_is_not_written(checkout, tmp_path):
    result = checkout / "benchmarks" / "results" / "a.json"
    assert measured(checkout, "benchmarks/results/a.json").returncode == 0
    assert json.loads(result.read_text())["machine"]["commit"] == commit(checkout)
    (checkout / "page.md").write_text("2")
    assert not commit(checkout).endswith("-dirty"), "results and pages change no figure"

    (checkout / "source.py").write_text("2")
    assert commit(checkout).endswith("-dirty")
    result.unlink()
    done = measured(checkout, "benchmarks/results/a.json")
    assert done.returncode == 2
    assert "commit first, or leave out --json" in done.stderr
    assert "measuring" not in done.stdout, "it says so before it has measured for an hour"
    assert not result.exists()
    assert measured(checkout, str(tmp_path / "mine.json")).returncode == 0, "a file elsewhere is nobody's record"
    assert json.loads((tmp_path / "mine.json").read_text())["machine"]["commit"].endswith("-dirty")


def test_a_checkout_that_changed_while_it_was_measured_gets_no_result(checkout):
    measures = MEASURES.replace("print(", "open('source.py', 'w').write('2'); print(")
    command = [sys.executable, "-c", measures, "--json", "benchmarks/results/b.json"]
    done = subprocess.run(
        command, cwd=checkout, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "commit first" in done.stderr
    assert "measuring" in done.stdout
    assert not (checkout / "benchmarks" / "results" / "b.json").exists()
