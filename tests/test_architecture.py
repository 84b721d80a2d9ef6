"""The rules that the house stands on, read off the sources."""

import ast
import dataclasses
import json
import typing
from pathlib import Path

import pytest

from avtd3_jax.settings.run_config import RunConfig

ROOT = Path(__file__).parents[1]
LEARNER = sorted((ROOT / "avtd3_jax").rglob("*.py"))
WORLD = sorted((ROOT / "envloop").rglob("*.py"))
MEETING_PLACES = {"train.py", "evaluate.py", "explain.py", "run_config.py"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", WORLD, ids=lambda p: p.name)
def test_the_world_imports_no_learner(path):
    assert not imported(path) & {"jax", "flax", "optax", "orbax", "chex", "avtd3_jax"}


@pytest.mark.parametrize("path", LEARNER, ids=lambda p: p.name)
def test_the_learner_imports_no_simulator_and_meets_the_world_in_few_files(path):
    allowed = {"envloop"} if path.name in MEETING_PLACES else set()
    assert not (imported(path) - allowed) & {"carla", "minicarla", "envloop"}


@pytest.mark.parametrize("path", sorted((ROOT / "envloop" / "task").glob("*.py")), ids=lambda p: p.name)
def test_the_task_is_pure(path):
    assert not imported(path) & {"carla", "socket", "subprocess"}


EVERYTHING = (
    LEARNER
    + WORLD
    + [
        path
        for folder in ("benchmarks", "configs", "examples", "experiments", "minicarla", "robustness")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
)
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# What executes text or an object's own code; `load` with `allow_pickle` is looked for apart.
EXECUTING = {"eval", "exec", "compile", "__import__"}
# Two processes of one run, over a socket pair that nothing else can reach, exchange what multiprocessing pickles.
PRIVATE_PICKLES = {"envloop/workers/process.py", "envloop/workers/worker.py", "envloop/workers/fleet.py"}
# The benchmark of that exchange counts the bytes of a pickle, and loads none.
COUNTS_PICKLES = {"benchmarks/scaling.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_nothing_executes_what_it_loads(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert not names & EXECUTING
    for call in calls:
        for keyword in call.keywords:
            assert keyword.arg != "allow_pickle" or ast.literal_eval(keyword.value) is False
            assert (keyword.arg, getattr(keyword.value, "value", None)) != ("shell", True)
    if name_of(path) in COUNTS_PICKLES:
        assert "Unpickler" not in path.read_text()
        assert "pickle.load" not in path.read_text()
    else:
        assert not imported(path) & UNPICKLERS
    if path in LEARNER + WORLD and name_of(path) not in PRIVATE_PICKLES:
        assert "multiprocessing" not in imported(path)


def config_classes(cls: type) -> list[type]:
    found = [cls]
    for hint in typing.get_type_hints(cls).values():
        if dataclasses.is_dataclass(hint):
            found += config_classes(typing.cast(type, hint))
    return found


def attributes_read() -> set[str]:
    """Names read as attributes anywhere but where a config checks itself."""
    names: set[str] = set()
    for path in LEARNER + WORLD:
        tree = ast.parse(path.read_text())
        checks = [
            n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in ("__post_init__", "validate")
        ]
        inside = {id(n) for check in checks for n in ast.walk(check)}
        names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and id(n) not in inside}
    return names


@pytest.mark.parametrize("cls", config_classes(RunConfig), ids=lambda c: c.__name__)
def test_every_config_key_is_read_somewhere(cls):
    """Fault 13 of the original: config keys that nothing reads."""
    assert {field.name for field in dataclasses.fields(cls)} <= attributes_read()


def test_the_shipped_configs_are_complete():
    import importlib

    from avtd3_jax.settings.run_config import parse

    for path in sorted((ROOT / "configs").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        parse(json.loads(json.dumps(module.get_config().to_dict())))
