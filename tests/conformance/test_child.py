"""How the end of a program is told: real children that pass, fail, crash and go on."""

import re
import signal
import sys
from pathlib import Path

import jax
import pytest

from conformance import child

RUNS_ON = "import time\nwhile True: time.sleep(0.05)"


def ran(script: str, folder: Path, limit_s: float = 20.0, endless: bool = False) -> child.Ending:
    return child.run([sys.executable, "-c", script], folder, child.environment(), limit_s, endless)


@pytest.mark.parametrize("script", ["pass", "raise SystemExit(0)", "print('Error: none, it only looks like one')"])
def test_what_ends_with_0_has_passed(tmp_path, script):
    assert ran(script, tmp_path).verdict == "passed"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise RuntimeError('no such blueprint')", "RuntimeError: no such blueprint"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("print('it does not drive'); raise SystemExit(1)", "it does not drive"),
        ("import os; os.abort()", "signal 6 (SIGABRT)"),
        # A callback's exception does not end a client, and yet the script does not work.
        ("import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()", "ZeroDivisionError"),
    ],
)
def test_what_fails_says_why(tmp_path, script, reason):
    ending = ran(script, tmp_path)
    assert ending.verdict == "failed"
    assert reason in ending.reason


def test_a_missing_module_is_a_reason_to_skip(tmp_path):
    ending = ran("import a_module_that_nobody_has", tmp_path)
    assert (ending.verdict, ending.reason) == ("skipped", "needs the module a_module_that_nobody_has")


def test_code_for_another_client_is_skipped(tmp_path):
    ending = ran("import carla; carla.GeoEllipsoid", tmp_path)
    assert ending.verdict == "skipped"
    assert "carla.GeoEllipsoid" in ending.reason


def test_what_runs_until_it_is_stopped_has_passed_if_it_is_made_for_that(tmp_path):
    assert ran(RUNS_ON, tmp_path, limit_s=5.0, endless=True).verdict == "passed"
    assert re.match(r"not done after \d+ s", ran(RUNS_ON, tmp_path, limit_s=1.0, endless=False).reason)


def test_ctrl_c_is_pressed_again_where_a_script_has_swallowed_it(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_GRACE_S", 8.0)
    swallows = f"import time\ntry:\n  while True: time.sleep(0.05)\nexcept: pass\n{RUNS_ON}"
    assert ran(swallows, tmp_path, limit_s=3.0, endless=True).verdict == "passed"


def test_an_inherited_deafness_to_ctrl_c_ends_at_the_child(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert ran(RUNS_ON, tmp_path, limit_s=3.0, endless=True).verdict == "passed"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_is_begun_without_a_fork_beside_jax(tmp_path):
    jax.devices("cpu")  # from now on a fork warns, and a warning is an error here
    assert ran("pass", tmp_path).verdict == "passed"


def test_a_failure_before_the_stop_counts(tmp_path):
    script = "import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n" + RUNS_ON
    assert "ZeroDivisionError" in ran(script, tmp_path, limit_s=6.0, endless=True).reason


def test_a_child_that_ignores_ctrl_c_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_GRACE_S", 0.5)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + RUNS_ON
    ending = ran(deaf, tmp_path, limit_s=5.0, endless=True)  # in which it becomes deaf
    assert ending.verdict == "failed"
    assert "SIGKILL" in ending.reason
    assert ending.seconds < 20.0
