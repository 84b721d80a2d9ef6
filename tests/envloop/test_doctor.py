"""The doctor's checks as the contract that minicarla keeps, asked by the command itself; what it prints and writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envloop.doctor.__main__ import main, record
from envloop.doctor.examination import ASKED
from envloop.doctor.table import filled, table

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs" / "doctor" / "minicarla.json"


@pytest.fixture(scope="module")
def examined(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], dict]:
    path = tmp_path_factory.mktemp("doctor") / "minicarla.json"
    command = [sys.executable, "-m", "envloop.doctor", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert path.exists(), done.stdout + done.stderr
    return done, json.loads(path.read_text())


@pytest.mark.parametrize("check", ASKED)
def test_minicarla_keeps_the_contract(examined, check):
    (row,) = [row for row in examined[1]["checks"] if row["check"] == check]
    assert (row["verdict"], row["advice"]) == ("ok", ""), row["measured"]


def test_the_command_says_what_it_found(examined):
    done, told = examined
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows, counts, written = done.stdout.splitlines()
    assert "minicarla" in first
    assert "Town01" in first
    assert [row.split("  ")[0] for row in rows] == ["ok"] * len(ASKED)
    assert counts.startswith(f"{len(ASKED)} ok, 0 warn, 0 FAIL, 0 skip")
    assert written.endswith(".json")
    assert told["simulator"]["simulator"].startswith("minicarla")


def test_what_cannot_be_asked_is_said_in_a_sentence(capsys, tmp_path):
    assert main(["--endpoint", "127.0.0.1:1"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  version" in out
    assert "No simulator listens at 127.0.0.1:1" in out
    assert main(["--endpoint", "nowhere"]) == 1
    assert "HOST:PORT" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        main(["--json", str(tmp_path / "absent" / "x.json")])
    assert refused.value.code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_page_shows_what_was_measured():
    page, results = RESULT.parent.with_suffix(".md"), [json.loads(RESULT.read_text())]
    assert {row["check"] for row in results[0]["checks"]} == set(ASKED)
    assert filled(page.read_text(), results) == page.read_text(), "run python -m envloop.doctor.table, see the page"


def test_two_results_stand_side_by_side(examined):
    other = record([], "carla:2000", {"simulator": "CARLA 0.9.16"})
    head, _, first, *_ = table([examined[1], other]).splitlines()
    assert head.split(" | ")[2:] == [examined[1]["simulator"]["simulator"], "CARLA 0.9.16 |"]
    assert first.endswith("| **ok** client 0.9.16, server 0.9.16 | not asked |")
