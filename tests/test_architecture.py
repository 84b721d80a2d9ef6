"""The rules that the house stands on, read off the sources."""

import ast
import subprocess
import sys
import typing
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("avtd3_jax", "envloop", "minicarla")


def sources(folder: str) -> list[Path]:
    """Its modules, without what a build has left there."""
    root = ROOT / folder
    return sorted(path for path in root.rglob("*.py") if "build" not in path.relative_to(root).parts)


LEARNER, WORLD, SERVER = (sources(package) for package in PACKAGES)
# The commands, what they share, and a run's configuration as a whole.
COMMANDS = {"__main__.py", "train.py", "evaluate.py", "explain.py", "drive.py", "export.py"}
MEETING_PLACES = {*COMMANDS, "session.py", "commands.py", "evaluation", "settings"}
LEARNING = {"jax", "jaxlib", "flax", "optax", "orbax", "chex", "avtd3_jax"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> set[str]:
    """Full names of what a file imports anywhere: at its top, in functions, under TYPE_CHECKING.

    `from a import b` gives both "a" and "a.b", for b may be a module or a name in one.
    """
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def imported(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules(path)}


def import_graph(paths: list[Path]) -> nx.DiGraph:
    """Who imports whom among the modules.

    To import a.b.c runs a and a.b before, so these count too, unless they are the importing module's own packages:
    those are under way already. `from a import b` counts as an import of a only if b is no module.
    """
    modules = {module_of(path): path for path in paths}
    graph = nx.DiGraph()
    for module, path in modules.items():
        names = imported_modules(path)
        for name in names & modules.keys():
            if name != module and not (module.startswith(f"{name}.") and is_only_a_way_to_modules(path, name, modules)):
                graph.add_edge(module, name)
            parts = name.split(".")
            for package in (".".join(parts[:i]) for i in range(1, len(parts))):
                if package in modules and package != module and not module.startswith(f"{package}."):
                    graph.add_edge(module, package)
    return graph


def is_only_a_way_to_modules(path: Path, package: str, modules: typing.Container[str]) -> bool:
    """Whether all that the file takes from the package are modules in it."""
    taken = {name for name in imported_modules(path) if name.rpartition(".")[0] == package}
    return bool(taken) and all(name in modules for name in taken)


def cycles(graph: nx.DiGraph) -> list[list[str]]:
    loops = [[module] for module in graph if graph.has_edge(module, module)]
    return loops + [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


@pytest.mark.parametrize("path", SERVER, ids=module_of)
def test_the_server_knows_neither_package_and_no_learning_library(path):
    assert not imported(path) & (LEARNING | {"envloop", "torch", "gymnasium"})


@pytest.mark.parametrize("path", WORLD, ids=module_of)
def test_the_world_imports_no_learner_and_starts_the_server_as_a_process(path):
    assert not imported(path) & (LEARNING | {"minicarla"})


@pytest.mark.parametrize("path", LEARNER, ids=module_of)
def test_the_learner_imports_no_simulator_and_meets_the_world_in_few_files(path):
    allowed = {"envloop"} if path.relative_to(ROOT / "avtd3_jax").parts[0] in MEETING_PLACES else set()
    assert not (imported(path) - allowed) & {"carla", "minicarla", "envloop"}


def test_no_module_imports_itself_by_a_detour():
    assert cycles(import_graph(LEARNER + WORLD + SERVER)) == []


def test_minicarlas_folders_use_each_other_one_way():
    graph = nx.DiGraph()
    for module, other in import_graph(SERVER).edges:
        room, other_room = (name.split(".")[1:2] for name in (module, other))
        if room and other_room and room != other_room:
            graph.add_edge(*room, *other_room)
    assert {"geometry", "handlers", "maps", "physics", "protocol", "render", "sensors", "world"} <= set(graph)
    assert cycles(graph) == []


@pytest.mark.parametrize(
    "files",
    [
        {"a/__init__.py": "", "a/b.py": "from a.c import x", "a/c.py": "def f():\n    import a.b"},
        {"a/__init__.py": "", "a/b.py": "from a import c", "a/c.py": "if TYPE_CHECKING:\n    from .b import X"},
        {"a/__init__.py": "from a.b import x", "a/b.py": "from a import x"},
        {"a/__init__.py": "from a.b import x", "a/b.py": "from d import y", "d.py": "import a.c", "a/c.py": ""},
        {"a/__init__.py": "import a.b", "a/b.py": "import a"},
    ],
)
def test_cycles_are_found(tmp_path, monkeypatch, files):
    monkeypatch.setattr("test_architecture.ROOT", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = sorted(tmp_path.rglob("*.py"))
    assert len(cycles(import_graph(paths))) == 1
    (tmp_path / "a" / "b.py").write_text("import numpy")
    assert cycles(import_graph(paths)) == []


def test_a_training_starts_its_simulator_before_jax_is_imported():
    """Its settings are read, and bad ones refused, without it."""
    script = (
        "import sys; from pathlib import Path; import avtd3_jax.train, envloop.workers.local\n"
        "from avtd3_jax.settings.config_file import load\n"
        "load(Path('configs/town01_drive.py'), {'agent.encoder': 'resnet18'}).environments()\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert "envloop" in found
    assert not found & {"jax", "jaxlib", "flax", "optax", "orbax", "carla", "matplotlib"}


@pytest.mark.parametrize("path", sorted((ROOT / "envloop" / "task").glob("*.py")), ids=lambda p: p.name)
def test_the_task_is_pure(path):
    """Neither it nor anything of the package that it uses reaches for a simulator."""
    graph, modules = import_graph(WORLD), {module_of(path): path for path in WORLD}
    used = {module_of(path)} | (nx.descendants(graph, module_of(path)) if module_of(path) in graph else set())
    for module in used:
        assert not imported(modules[module]) & {"carla", "socket", "subprocess"}, module


@pytest.mark.parametrize("path", WORLD, ids=module_of)
def test_only_the_client_side_calls_carla(path):
    """There its errors become the environment's own; the suites plan on maps, and the doctor makes errors its rows."""
    calls_carla = path.relative_to(ROOT / "envloop").parts[0] in ("client", "doctor", "suites")
    assert calls_carla or "carla" not in imported(path)


ROOMS = {
    "benchmarks": {"conformance", "experiments", "robustness"},
    "conformance": {"avtd3_jax", "envloop", "minicarla", "benchmarks", "experiments", "robustness"},
    "experiments": {"benchmarks", "conformance", "robustness"},
    "robustness": {"benchmarks", "conformance", "experiments"},
    "reporting": {"avtd3_jax", "envloop", "minicarla", "benchmarks", "conformance", "experiments", "robustness"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_beside_the_packages_do_not_import_each_other(room):
    paths = sources(room)
    assert paths
    assert not {name_of(path): imported(path) & ROOMS[room] for path in paths if imported(path) & ROOMS[room]}


EVERYTHING = (
    LEARNER
    + WORLD
    + SERVER
    + [
        path
        for folder in ("benchmarks", "configs", "conformance", "examples", "experiments", "reporting", "robustness")
        for path in sources(folder)
    ]
)
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# What executes text or an object's own code; `load` with `allow_pickle` is looked for apart.
EXECUTING = {"eval", "exec", "compile", "__import__"}
# Two processes of one run, over a socket pair that nothing else can reach, exchange what multiprocessing pickles.
PRIVATE_PICKLES = {"envloop/workers/process.py", "envloop/workers/worker.py", "envloop/workers/pool.py"}
# The benchmark of that exchange counts the bytes of a pickle, and loads none.
COUNTS_PICKLES = {"benchmarks/scaling.py"}


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by it: only one of two would run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


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
