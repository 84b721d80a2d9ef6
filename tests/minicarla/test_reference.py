"""The README's tables of what the server answers: current, and in names that the wheel has."""

import re
import subprocess
import sys
from pathlib import Path

import carla
import pytest
from server_process import ServerProcess, SyncWorld

import minicarla
from minicarla.handlers import unsupported
from minicarla.handlers.registry import METHODS
from minicarla.reference import BEGIN, answered, compared, refused_sensors, served, tables, updated
from minicarla.sensors.factory import SENSORS
from minicarla.world import blueprints

README = Path(minicarla.__file__).with_name("README.md")


def test_the_readme_is_current():
    text = README.read_text(encoding="utf-8")
    assert updated(text) == text, "run: python -m minicarla.reference minicarla/README.md"


def test_the_readmes_example_runs(server: ServerProcess):
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    script = script.replace('"127.0.0.1", 2000', f'"127.0.0.1", {server.port}') + "car.destroy()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_method_is_in_the_tables_and_says_who_calls_it():
    answers = {name: calls for calls, name, _ in answered(METHODS) if name not in unsupported.methods}
    assert answers.keys() | unsupported.methods.keys() == METHODS.keys()
    assert all(answers.values()), [name for name, calls in answers.items() if not calls]
    shown = re.findall(r"^\| `.*` \| `(\w+)` \| (as CARLA|simplified|refused) \|", tables(), re.MULTILINE)
    assert sorted(name for name, status in shown if status != "refused") == sorted(answers)
    assert {name for name, status in shown if status == "refused"} == unsupported.CALLS.keys()


def test_every_row_says_how_it_compares_with_carla_and_what_is_simpler():
    rows = [line for line in tables().splitlines() if line.startswith("| `")]
    assert len(rows) > 140
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        (status,) = {"as CARLA", "simplified", "refused"} & set(cells)
        assert status == "as CARLA" or cells[-1], f"{row}: how, or why?"
        assert "simplified:" not in row, "the mark of a docstring stands at its beginning"


def test_the_client_has_every_call_that_is_named():
    named = {call for calls, name, _ in answered(METHODS) if name not in unsupported.methods for call in calls}
    refused = set(unsupported.CALLS.values())
    assert not named & refused
    for call in named | refused:
        owner, _, name = call.partition(".")
        assert hasattr(getattr(carla, owner), name), call


def test_every_sensor_is_either_made_or_refused():
    refused = {blueprint.id for blueprint in refused_sensors()}
    assert not refused & set(SENSORS)
    assert {name for name in blueprints.library() if name.startswith("sensor.")} == refused | set(SENSORS)


def test_a_refused_call_raises_the_error_that_the_readme_promises(sync: SyncWorld):
    with pytest.raises(RuntimeError, match="minicarla does not have 'apply_color_texture_to_objects'"):
        sync.world.apply_color_texture_to_object("Wall", carla.MaterialParameter.Diffuse, carla.TextureColor(1, 1))


def test_docstrings_are_read():
    assert served("`World.a`, `Client.b`: the first\n    line.\n\n    More.") == (
        ("World.a", "Client.b"),
        "the first line",
    )
    assert served("Nobody calls `World.a`.") == ((), "Nobody calls `World.a`")


def test_a_remark_says_what_is_simpler():
    assert compared("simplified: no wind") == ("simplified", "no wind")
    assert compared("14 numbers") == ("as CARLA", "14 numbers")


def test_a_file_without_marks_is_refused():
    with pytest.raises(ValueError, match=re.escape(BEGIN)):
        updated("# minicarla\n")
